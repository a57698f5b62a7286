-- Rights on columns that a grantee holds in no way, neither on the column nor on the relation.
with asked as (
  select
    %(grantees)s::text[] as grantee_names,
    %(schemas)s::text[] as schema_names
)

select
  n.nspname as schema_name,
  c.relname as relation_name,
  a.attname as column_name,
  p.privilege,
  g.grantee
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_attribute as a
  on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
cross join unnest(array['select', 'insert', 'update']) as p (privilege)
cross join unnest((select q.grantee_names from asked as q)) as g (grantee)
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and c.relkind in ('r', 'p', 'v', 'm')
  and pg_catalog.pg_has_role(c.relowner, 'usage')
  and not pg_catalog.has_column_privilege(g.grantee, c.oid, a.attnum, p.privilege)
order by n.nspname, c.relname, a.attnum, g.grantee, p.privilege
