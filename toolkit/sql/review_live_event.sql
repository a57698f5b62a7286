-- The event that stands for a legacy reading, unless it is voided.
select e.user_id, e.id
from ledger.mapped_readings as m
inner join ledger.migrated_readings as l
  on l.user_id = m.user_id and l.reading_id = m.reading_id and not l.superseded
inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
where m.reading_id = %(reading_id)s::uuid and not e.is_voided
