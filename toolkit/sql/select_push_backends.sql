-- Other sessions of this database that are in a transaction, with what tells a push: pg_locks
-- shows everybody's locks, also where a session's query may not be seen.
select
  a.pid,
  coalesce(a.application_name, '') as application_name,
  a.backend_start,
  a.query_start,
  coalesce(a.query, '') as query,
  a.pid in (
    select l.pid from pg_catalog.pg_locks as l
    inner join pg_catalog.pg_class as c on c.oid = l.relation
    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where l.locktype = 'relation'
      and l.database = (
        select d.oid from pg_catalog.pg_database as d where d.datname = current_database()
      )
      and (
        n.nspname = 'supabase_migrations'
        or (
          n.nspname in ('public', 'ledger')
          and l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
        )
      )
  ) as migrates
from pg_catalog.pg_stat_activity as a
where a.datname = current_database() and a.pid <> pg_backend_pid()
  and exists (
    select from pg_catalog.pg_locks as v
    where v.pid = a.pid and v.locktype = 'virtualxid' and v.granted
  )
order by a.backend_start, a.pid
