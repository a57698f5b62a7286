-- The tables whose rows a backup holds, auth.users among them, and whether its role reads all rows
-- of each: a role that row level security binds would dump nothing of it, or fail.
select
  n.nspname::text as schema,
  c.relname::text as name,
  row_security_active(c.oid) as bound,
  has_schema_privilege(n.oid, 'usage')
  and (
    has_table_privilege(c.oid, 'select')
    or (
      n.nspname = 'auth'
      and has_column_privilege(c.oid, 'id', 'select')
      and has_column_privilege(c.oid, 'email', 'select')
    )
  ) as readable
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where
  c.relkind = 'r'
  and (n.nspname = any(%(proven)s) or (n.nspname = 'auth' and c.relname = 'users'))
  and not exists (
    select from pg_catalog.pg_depend as d
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
      and d.deptype = 'e'
  )
order by n.nspname, c.relname
