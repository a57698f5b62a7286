-- What contract() would drop: rows of the archived table, and those of them that were rejected,
-- which are then in ledger.migration_rejects alone.
select
  count(*) as archived,
  count(*) filter (
    where exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
  ) as rejected,
  pg_total_relation_size('ledger.electricity_readings_archive'::regclass) as size_bytes
from ledger.electricity_readings_archive as a
