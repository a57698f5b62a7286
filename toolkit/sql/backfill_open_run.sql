-- The newest run that nobody finished; one from before the last undoing is over.
select max(m.run_id) as run_id
from ledger.migration_runs as m
where m.kind = 'migrate' and m.finished_at is null
  and m.run_id > coalesce((
    select max(u.run_id) from ledger.migration_runs as u where u.kind = 'undo'
  ), 0)
