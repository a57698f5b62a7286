-- Rights on whole objects that a grantee holds in no way, neither by name nor through PUBLIC.
with
asked as (
  select
    %(grantees)s::text[] as grantee_names,
    %(schemas)s::text[] as schema_names,
    %(table_privileges)s::text[] as privilege_names
),

grantees as (
  select g.grantee from unnest((select q.grantee_names from asked as q)) as g (grantee)
),

relations as (
  select
    c.oid,
    n.nspname as schema_name,
    c.relname as object_name,
    c.relkind = 'S' as is_sequence
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any((select q.schema_names from asked as q)::text[])
    and c.relkind in ('r', 'p', 'v', 'm', 'S')
    and pg_catalog.pg_has_role(c.relowner, 'usage')
)

select
  'table' as object_class,
  r.schema_name,
  r.object_name::text as object_name,
  p.privilege,
  g.grantee
from relations as r
cross join unnest((select q.privilege_names from asked as q)) as p (privilege)
cross join grantees as g
where not r.is_sequence
  and not pg_catalog.has_table_privilege(g.grantee, r.oid, p.privilege)
union all
select
  'sequence' as object_class,
  r.schema_name,
  r.object_name::text as object_name,
  p.privilege,
  g.grantee
from relations as r
cross join unnest(array['usage', 'select', 'update']) as p (privilege)
cross join grantees as g
where r.is_sequence
  and not pg_catalog.has_sequence_privilege(g.grantee, r.oid, p.privilege)
union all
select
  'function' as object_class,
  n.nspname as schema_name,
  f.oid::regprocedure::text as object_name,
  'execute' as privilege,
  g.grantee
from pg_catalog.pg_proc as f
inner join pg_catalog.pg_namespace as n on n.oid = f.pronamespace
cross join grantees as g
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and f.prokind in ('f', 'w')
  and pg_catalog.pg_has_role(f.proowner, 'usage')
  and not pg_catalog.has_function_privilege(g.grantee, f.oid, 'execute')
union all
select
  'schema' as object_class,
  n.nspname as schema_name,
  n.nspname::text as object_name,
  p.privilege,
  g.grantee
from pg_catalog.pg_namespace as n
cross join unnest(array['usage', 'create']) as p (privilege)
cross join grantees as g
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and pg_catalog.pg_has_role(n.nspowner, 'usage')
  and not pg_catalog.has_schema_privilege(g.grantee, n.oid, p.privilege)
union all
select
  'database' as object_class,
  '' as schema_name,
  d.datname::text as object_name,
  'create' as privilege,
  g.grantee
from pg_catalog.pg_database as d
cross join grantees as g
where d.datname = current_database()
  and pg_catalog.pg_has_role(d.datdba, 'usage')
  and not pg_catalog.has_database_privilege(g.grantee, d.oid, 'create')
order by 1, 2, 3, 5, 4
