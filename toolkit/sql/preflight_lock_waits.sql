-- Who waits for a lock on the tables now: the rollout would queue behind, and the app behind it.
select
  'warn' as severity,
  format('pid %s', k.pid) as subject,
  format('pid %s waits for %s on %s, held up by pid %s', k.pid, k.mode, k.relation::regclass,
    coalesce(nullif(array_to_string(pg_blocking_pids(k.pid), ', '), ''), '?')) as finding,
  'see what the blocking session does (pg_stat_activity), and let it end first' as next_step,
  1::bigint as amount
from pg_catalog.pg_locks as k
where not k.granted and k.locktype = 'relation'
  and k.database = (
    select d.oid from pg_catalog.pg_database as d where d.datname = current_database()
  )
  and k.relation in (
    to_regclass('public.electricity_readings'), to_regclass('public.token_events'),
    to_regclass('public.recalculation_batches'), to_regclass('public.user_profiles')
  )
order by k.pid
