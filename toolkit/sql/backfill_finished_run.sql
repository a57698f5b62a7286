-- The newest finished run, unless the data migration was undone since.
select max(m.run_id) as run_id
from ledger.migration_runs as m
where m.kind = 'migrate' and m.finished_at is not null
  and m.run_id > coalesce((
    select max(u.run_id) from ledger.migration_runs as u where u.kind = 'undo'
  ), 0)
