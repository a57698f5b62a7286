-- Replication slots that nobody reads from: the server keeps its whole log for them, until the disk
-- is full. And subscriptions that are switched off.
select
  format('replication slot %s is read by nobody, and keeps %s of the log', s.slot_name,
    coalesce(
      pg_size_pretty(pg_wal_lsn_diff(
        case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
        s.restart_lsn
      )),
      'nothing yet'
    )) as finding,
  format('select pg_drop_replication_slot(%L);', s.slot_name) as repair,
  false as safe
from pg_replication_slots as s
where not s.active and not s.temporary
  and (s.database is null or s.database = current_database())
union all
select
  format('subscription %s is switched off', s.subname) as finding,
  format('alter subscription %I enable;', s.subname) as repair,
  false as safe
from pg_subscription as s
where not s.subenabled
  and s.subdbid = (select d.oid from pg_database as d where d.datname = current_database())
order by 1
