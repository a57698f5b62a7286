-- Primary keys, unique constraints and unique indexes of the proven schemas, part by part.
with asked as (
  select %(schemas)s::text[] as schema_names
)

select
  n.nspname as schema_name,
  c.relname as table_name,
  x.relname as index_name,
  m.amname as method,
  k.conname as constraint_name,
  case k.contype when 'p' then 'primary key' else 'unique' end as constraint_word,
  pg_catalog.pg_get_expr(i.indpred, i.indrelid) as predicate,
  array(
    select coalesce(a.attname, '')
    from pg_catalog.generate_series(1, i.indnkeyatts) as s (place)
    left join pg_catalog.pg_attribute as a
      on a.attrelid = i.indrelid and a.attnum = i.indkey[s.place - 1] and a.attnum <> 0
    order by s.place
  )::text[] as column_names,
  array(
    select pg_catalog.pg_get_indexdef(i.indexrelid, s.place::integer, false)
    from pg_catalog.generate_series(1, i.indnkeyatts) as s (place)
    order by s.place
  ) as parts
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as x on x.oid = i.indexrelid
inner join pg_catalog.pg_am as m on m.oid = x.relam
inner join pg_catalog.pg_class as c on c.oid = i.indrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
left join pg_catalog.pg_constraint as k
  on k.conindid = i.indexrelid and k.contype in ('p', 'u')
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and i.indisunique
  and pg_catalog.pg_has_role(c.relowner, 'usage')
order by n.nspname, c.relname, x.relname
