-- Near matches that are to be decided. A reading that is not migrated yet may still absorb its
-- event, so it is none; a merge that a rollback took back is to be decided again.
select
  n.user_id,
  n.event_id,
  n.reading_id,
  n.event_type,
  n.event_day,
  n.reading_day,
  n.event_kwh,
  n.reading_kwh,
  count(*) over () as matches
from ledger.near_matches as n
where (%(event_id)s::uuid is null or n.event_id = %(event_id)s::uuid)
  and (%(reading_id)s::uuid is null or n.reading_id = %(reading_id)s::uuid)
  and exists (
    select from ledger.migrated_readings as l
    where l.user_id = n.user_id and l.reading_id = n.reading_id and not l.superseded
  )
  and not exists (
    select from ledger.reviewed_matches as r
    where r.user_id = n.user_id and r.event_id = n.event_id and r.reading_id = n.reading_id
      and r.decision = 'both'
  )
order by n.user_id, n.event_day, n.event_id, n.reading_id
limit %(limit)s
