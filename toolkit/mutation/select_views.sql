-- Views of the proven schemas: options, definition, whether an API role can read them.
with asked as (
  select
    %(roles)s::text[] as role_names,
    %(schemas)s::text[] as schema_names
)

select
  n.nspname as schema_name,
  c.relname as view_name,
  coalesce(c.reloptions, '{}') as options,
  pg_catalog.pg_get_viewdef(c.oid) as definition,
  exists(
    select from unnest((select q.role_names from asked as q)) as r (role_name)
    where pg_catalog.has_schema_privilege(r.role_name, n.oid, 'usage')
      and pg_catalog.has_any_column_privilege(r.role_name, c.oid, 'select')
  ) as is_readable,
  array(
    select pg_catalog.format(
      '%%I %%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
    )
    from pg_catalog.pg_attribute as a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  ) as columns
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and c.relkind = 'v'
  and pg_catalog.pg_has_role(c.relowner, 'usage')
order by n.nspname, c.relname
