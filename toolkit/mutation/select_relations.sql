-- Relations whose rows an owner-rights view could show, with their columns.
with asked as (
  select %(schemas)s::text[] as schema_names
)

select
  n.nspname as schema_name,
  c.relname as relation_name,
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
  and c.relkind in ('r', 'p', 'm')
  and pg_catalog.pg_has_role(c.relowner, 'usage')
order by n.nspname, c.relname
