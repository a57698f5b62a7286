-- A vacuum, an analyze or an index build at work on the tables: its lock (share update exclusive
-- or more) makes the phases wait. Autovacuum gives way, unless it prevents a wraparound.
select
  'warn' as severity,
  format('pid %s', k.pid) as subject,
  format('pid %s (%s) works on %s under %s', k.pid, coalesce(a.backend_type, 'unknown'),
    k.relation::regclass, k.mode) as finding,
  'wait until it is done; autovacuum gives way by itself' as next_step,
  1::bigint as amount
from pg_catalog.pg_locks as k
left join pg_catalog.pg_stat_activity as a on a.pid = k.pid
where k.granted and k.locktype = 'relation' and k.pid <> pg_backend_pid()
  and k.mode in (
    'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
    'AccessExclusiveLock'
  )
  and k.database = (
    select d.oid from pg_catalog.pg_database as d where d.datname = current_database()
  )
  and k.relation in (
    to_regclass('public.electricity_readings'), to_regclass('public.token_events'),
    to_regclass('public.recalculation_batches'), to_regclass('public.user_profiles')
  )
order by k.pid
