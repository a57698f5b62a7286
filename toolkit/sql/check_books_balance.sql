-- Legacy rows that are not exactly one of migrated and rejected, or entries without their row.
select d.user_id, d.reading_id as row_id, d.problem as finding
from ledger.migration_differences() as d
where d.problem in (
    'neither migrated nor rejected', 'both migrated and rejected', 'its event is missing',
    'migrated or rejected, but not in electricity_readings'
  )
