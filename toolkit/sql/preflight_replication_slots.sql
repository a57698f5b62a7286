-- Slots that nobody reads, or that lag: the rollout writes much, and the server keeps all of it
-- for them.
with
slots as (
  select
    s.slot_name, s.active, s.wal_status,
    pg_wal_lsn_diff(
      case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
      s.restart_lsn
    )::bigint as lag_bytes
  from pg_catalog.pg_replication_slots as s
)

select
  'warn' as severity,
  s.slot_name::text as subject,
  format('replication slot %%s %%s; %%s of WAL are kept for it', s.slot_name,
    case
      when s.wal_status = 'lost' then 'has lost what it needs'
      when not s.active then 'is read by nobody'
      else 'lags'
    end,
    coalesce(pg_size_pretty(s.lag_bytes), 'unknown amounts')) as finding,
  case
    when not s.active
    then format('start its reader, or: select pg_drop_replication_slot(%%L);', s.slot_name)
    else 'let it catch up before the rollout'
  end as next_step,
  coalesce(s.lag_bytes, 0) as amount
from slots as s
where not s.active or s.wal_status = 'lost' or s.lag_bytes > %(lag_bytes)s
order by s.slot_name
