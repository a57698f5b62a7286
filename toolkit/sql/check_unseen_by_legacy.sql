-- What new clients wrote that readers of the legacy table cannot see before cutover.
select e.user_id, e.id as row_id, 'a migrated reading that a client voided' as finding
from ledger.migrated_readings as l
inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
inner join public.electricity_readings as r on r.user_id = l.user_id and r.id = l.reading_id
where e.is_voided and not l.superseded
union all
select e.user_id, e.id as row_id, 'an event without a legacy row' as finding
from public.token_events as e
where not e.is_voided and e.event_type <> 'VOID'
  and not exists (
    select from ledger.migrated_readings as l
    where l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id)
      and l.event_id = e.id
  )
