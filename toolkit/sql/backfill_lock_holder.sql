-- Who holds the session lock of that name in this database.
with wanted as (
  select hashtextextended(%(name)s, 0) as lock_key
)
select
  l.pid,
  coalesce(a.usename::text, 'an unknown user') as user_name,
  coalesce(nullif(a.application_name, ''), 'an unnamed program') as program,
  coalesce(a.client_addr::text, 'this machine') as client,
  a.backend_start,
  l.pid = pg_backend_pid() as is_ours
from pg_locks as l
left join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select d.oid from pg_database as d where d.datname = current_database())
  and (l.classid::bigint << 32) | l.objid::bigint = (
    select w.lock_key from wanted as w
  )
order by l.pid
limit 1
