-- Legacy rows that cannot become an event, by reason: the same reasons, in the same order, as
-- ledger.mapped_readings has, without anything of the rollout. A test holds them together.
select
  'warn' as severity,
  x.reason as subject,
  format('%%s rows: %%s', count(*), x.reason) as finding,
  'correct them in electricity_readings, or leave them: they are kept whole in '
  || 'ledger.migration_rejects, and the cutover waits until a person has decided' as next_step,
  count(*) as amount
from (
  select
    case
      when r.user_id is null then 'no user'
      when p.id is null then 'no profile owns it'
      when r.date is null then 'no date'
      when m.event_date is null then 'date out of range'
      when pg_typeof(r.date) = 'date'::regtype
        and (m.event_date at time zone %(zone_name)s)::date::timestamp <> r.date::timestamp
      then 'the day does not exist in the time zone'
      when r.kwh_value is null then 'no kwh_value'
      when not abs(r.kwh_value) < 1e12 or r.kwh_value < 0 then 'kwh_value out of range'
      when not abs(r.token_amount) < 1e12 then 'token_amount out of range'
      when not abs(r.token_cost) < 1e12 then 'token_cost out of range'
      when not isfinite(r.created_at) then 'created_at out of range'
    end as reason
  from public.electricity_readings as r
  left join public.user_profiles as p on p.id = r.user_id
  cross join lateral (
    select case
      when not r.date between '4713-01-05 00:00+00 BC' and '294276-12-27 00:00+00' then null
      when pg_typeof(r.date) = 'date'::regtype
      then r.date::timestamp at time zone %(zone_name)s
      else r.date::timestamptz
    end as event_date
  ) as m
) as x
where x.reason is not null
group by x.reason
order by count(*) desc, x.reason
