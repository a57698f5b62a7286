-- While electricity_readings is a view: rows of the archived table that nothing stands for. Each is
-- rejected, shown (as it is, or as it was changed since), or was taken away by its user since.
select a.user_id, a.id as row_id, 'no event stands for this row of the archived table' as finding
from ledger.electricity_readings_archive as a
where not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
  and not exists (
    select from ledger.readings as r where r.user_id = a.user_id and r.id = a.id
  )
  and not exists (
    select from ledger.migrated_readings as l
    inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
    where l.user_id = a.user_id and l.reading_id = a.id and e.is_voided
  )
