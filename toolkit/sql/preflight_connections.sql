-- The connection budget: who limits this role here, and how much of it is left.
with
limits as (
  select
    'max_connections' as subject,
    current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0) as allowed,
    (
      select count(*) from pg_catalog.pg_stat_activity as a
      where a.datid is not null
    ) as used
  union all
  select
    'the limit of database ' || d.datname,
    d.datconnlimit,
    (select count(*) from pg_catalog.pg_stat_activity as a where a.datid = d.oid)
  from pg_catalog.pg_database as d
  where d.datname = current_database() and d.datconnlimit >= 0
  union all
  select
    'the limit of role ' || r.rolname,
    r.rolconnlimit,
    (
      select count(*) from pg_catalog.pg_stat_activity as a
      where a.usesysid = r.oid
    )
  from pg_catalog.pg_roles as r
  where r.rolname = session_user and r.rolconnlimit >= 0
)

select
  case
    when l.allowed - l.used < %(needed)s then 'fail'
    when l.used > l.allowed * 0.8 then 'warn'
    else 'pass'
  end as severity,
  l.subject,
  format('%%s allows %%s connections, and %%s are in use', l.subject, l.allowed, l.used)
    as finding,
  'close idle clients, make the app''s pools smaller, or raise the limit' as next_step,
  l.allowed - l.used as amount
from limits as l
