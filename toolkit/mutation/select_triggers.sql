-- Triggers of the proven schemas' tables, with what they call.
with asked as (
  select %(schemas)s::text[] as schema_names
)

select
  n.nspname as schema_name,
  c.relname as table_name,
  t.tgname as trigger_name,
  t.tgtype & 1 = 1 as is_for_each_row,
  pg_catalog.pg_get_triggerdef(t.oid) as definition,
  t.tgfoid::regprocedure::text as function_signature
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_class as c on c.oid = t.tgrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and not t.tgisinternal
order by n.nspname, c.relname, t.tgname
