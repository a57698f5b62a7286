-- How far the slowest replica is behind, in bytes; null where the role may not see how far.
select
  count(*) as replicas,
  max(pg_wal_lsn_diff(
    pg_current_wal_lsn(), coalesce(s.replay_lsn, s.flush_lsn, s.write_lsn, s.sent_lsn)
  ))::bigint as lag_bytes
from pg_stat_replication as s
