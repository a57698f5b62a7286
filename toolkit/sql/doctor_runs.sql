-- Runs of the data migration that were begun and never ended, while nobody holds the backfill's or
-- the deploy's lock. Where no row is pending any more, what is left is the proof that ends a run.
with
pending as (
  select count(*) as n from ledger.pending_readings
)
select
  format('run %s (%s) was begun at %s by %s and never ended, and nobody works on it', m.run_id,
    m.kind, m.started_at, m.started_by) as finding,
  case
    when m.kind = 'migrate' and p.n = 0
    then format('select ledger.finish_migration(%s);', m.run_id)
    when m.kind = 'undo' then 'meterledger rollback ENV --to data'
    else 'meterledger backfill ENV'
  end as repair,
  m.kind = 'migrate' and p.n = 0 as safe
from ledger.migration_runs as m
cross join pending as p
where m.finished_at is null
  and not exists (
    select from pg_locks as l
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and (l.classid::bigint << 32) | l.objid::bigint in (
        hashtextextended('meterledger.backfill', 0), hashtextextended('meterledger.deploy', 0)
      )
  )
order by m.run_id
