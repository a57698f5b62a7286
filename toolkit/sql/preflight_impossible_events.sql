-- Unvoided events that cannot be true, by the rules of phase 1, which stops at them.
select
  'fail' as severity,
  x.problem as subject,
  format('%s events: %s (%s)', count(*), x.problem,
    array_to_string((array_agg(x.id order by x.user_id, x.id))[1:5], ', ')) as finding,
  'correct them, or void them: update public.token_events set is_voided = true, '
  || 'voided_reason = ''cannot be true'' where id = …;' as next_step,
  count(*) as amount
from (
  select
    e.user_id, e.id,
    case
      when not abs(e.kwh_amount) < 1e12 then 'kwh_amount out of range'
      when not abs(e.token_cost) < 1e12 then 'token_cost out of range'
      when not e.event_date between '4713-01-03 00:00+00 BC' and '294276-12-29 00:00+00'
      then 'event_date out of range'
      when not isfinite(e.created_at) then 'created_at out of range'
      when e.event_type = 'TOPUP' and e.kwh_amount <= 0 then 'a top-up of nothing'
      when e.event_type = 'METER_READING' and e.kwh_amount < 0 then 'a meter below zero'
      when e.event_type = 'VOID' and e.kwh_amount <> 0 then 'a void that has an amount'
      when e.event_type not in ('TOPUP', 'METER_READING', 'ADJUSTMENT', 'VOID')
      then 'unknown event_type'
    end as problem
  from public.token_events as e
  where e.is_voided is not true
) as x
where x.problem is not null
group by x.problem
order by x.problem
