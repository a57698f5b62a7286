-- Who holds or awaits an advisory lock of ours in this database.
select
  n.name,
  l.pid,
  l.granted,
  coalesce(a.usename::text, '') as role_name,
  coalesce(a.application_name, '') as application,
  a.backend_start as since
from (
  values
    ('meterledger.deploy'), ('meterledger.backfill'), ('meterledger.refresh_readings_mv')
) as n (name)
inner join pg_catalog.pg_locks as l
  on l.locktype = 'advisory' and l.objsubid = 1
    and (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(n.name, 0)
inner join pg_catalog.pg_database as d
  on d.oid = l.database and d.datname = current_database()
left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
order by n.name asc, l.granted desc, l.pid asc
