-- Tables of the proven schemas that are ours to change: a row each.
with asked as (
  select %(schemas)s::text[] as schema_names
)

select
  n.nspname as schema_name,
  c.relname as table_name,
  c.relrowsecurity as has_rls
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and c.relkind in ('r', 'p')
  and pg_catalog.pg_has_role(c.relowner, 'usage')
order by n.nspname, c.relname
