-- Per user, kWh left and kWh bought, summed over the legacy rows and over the view's: of %(users)s,
-- or of everybody where that is null. Rows that a cutback copied were rounded, and are left out.
with
standing as (
  select l.user_id, l.reading_id
  from ledger.migrated_readings as l
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
  where not l.superseded and not e.is_voided and not l.copied
    and (%(users)s::uuid[] is null or l.user_id = any(%(users)s::uuid[]))
),
legacy as (
  select
    r.user_id, count(*) as n, sum(r.kwh_value) as kwh,
    coalesce(sum(r.token_amount) filter (where r.token_amount > 0), 0) as bought
  from public.electricity_readings as r
  inner join standing as s on s.user_id = r.user_id and s.reading_id = r.id
  group by r.user_id
),
shown as (
  select
    v.user_id, count(*) as n, sum(v.kwh_value) as kwh,
    coalesce(sum(v.token_amount) filter (where v.token_amount > 0), 0) as bought
  from public.electricity_readings_v as v
  inner join standing as s on s.user_id = v.user_id and s.reading_id = v.id
  group by v.user_id
)
select
  coalesce(l.user_id, s.user_id) as user_id,
  null::uuid as row_id,
  format(
    '%%s rows, %%s kWh, %%s kWh bought in the legacy table; %%s, %%s, %%s in the view',
    l.n, l.kwh, l.bought, s.n, s.kwh, s.bought
  ) as finding
from legacy as l
full join shown as s on s.user_id = l.user_id
where (l.n, l.kwh, l.bought) is distinct from (s.n, s.kwh, s.bought)
