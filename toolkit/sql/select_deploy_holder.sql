-- Who holds the lock of a deploy of this database: the pair of numbers that stands for its key.
with
wanted as (select hashtextextended(%(key)s::text, 0) as key)
select
  a.pid,
  coalesce(a.application_name, '') as application_name,
  coalesce(a.usename::text, '') as role_name,
  a.backend_start
from pg_catalog.pg_locks as l
inner join pg_catalog.pg_stat_activity as a on a.pid = l.pid
cross join wanted as w
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (
    select d.oid from pg_catalog.pg_database as d where d.datname = current_database()
  )
  and l.classid::bigint = (w.key >> 32) & 4294967295
  and l.objid::bigint = w.key & 4294967295
