-- The newest runs of the data migration and of its undoing.
select
  r.run_id, r.kind, r.started_at, r.finished_at, r.started_by, r.legacy_rows, r.migrated,
  r.completed,
  r.merged, r.rejected
from ledger.migration_runs as r
order by r.run_id desc
limit %(limit)s
