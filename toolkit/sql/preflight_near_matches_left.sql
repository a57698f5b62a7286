-- The same question once the rollout is there. A pair that matches exactly will be merged when its
-- reading moves, and is no near one.
select
  'warn' as severity,
  'events' as subject,
  format('%s events almost state a reading''s fact (%s pairs)',
    count(distinct n.user_id || ' ' || n.event_id), count(*)) as finding,
  'both stay and count; look through them: meterledger duplicates ENV' as next_step,
  count(*) as amount
from ledger.near_matches as n
where not (
  n.event_kwh = n.reading_kwh and n.event_day = n.reading_day
  and exists (
    select from ledger.pending_readings as p
    where p.user_id = n.user_id and p.id = n.reading_id
  )
)
having count(*) > 0
