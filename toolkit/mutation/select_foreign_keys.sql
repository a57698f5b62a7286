-- Foreign keys between tables of the proven schemas, column by column.
with asked as (
  select %(schemas)s::text[] as schema_names
)

select
  n.nspname as schema_name,
  c.relname as table_name,
  k.conname as constraint_name,
  tn.nspname as target_schema,
  t.relname as target_table,
  x.relname as target_index,
  pg_catalog.pg_get_constraintdef(k.oid) as definition,
  array(
    select a.attname
    from unnest(k.conkey) with ordinality as s (attnum, place)
    inner join pg_catalog.pg_attribute as a on a.attrelid = k.conrelid and a.attnum = s.attnum
    order by s.place
  )::text[] as column_names,
  array(
    select a.attname
    from unnest(k.confkey) with ordinality as s (attnum, place)
    inner join pg_catalog.pg_attribute as a on a.attrelid = k.confrelid and a.attnum = s.attnum
    order by s.place
  )::text[] as target_columns
from pg_catalog.pg_constraint as k
inner join pg_catalog.pg_class as c on c.oid = k.conrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_class as t on t.oid = k.confrelid
inner join pg_catalog.pg_namespace as tn on tn.oid = t.relnamespace
inner join pg_catalog.pg_class as x on x.oid = k.conindid
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and tn.nspname = any((select q.schema_names from asked as q)::text[])
  and k.contype = 'f'
  and k.conparentid = 0
  and pg_catalog.pg_has_role(c.relowner, 'usage')
order by n.nspname, c.relname, k.conname
