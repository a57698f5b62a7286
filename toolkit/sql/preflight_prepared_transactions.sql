-- A prepared transaction holds its locks, and every index build up, until somebody ends it.
select
  'fail' as severity,
  p.gid as subject,
  format('transaction %s was prepared by %s at %s and not ended', p.gid, p.owner,
    to_char(p.prepared at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')) as finding,
  format('commit prepared %L; or rollback prepared %L;', p.gid, p.gid) as next_step,
  1::bigint as amount
from pg_catalog.pg_prepared_xacts as p
where p.database = current_database()
order by p.prepared
