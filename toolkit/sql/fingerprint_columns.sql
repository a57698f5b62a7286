-- Every column of the relations of public and ledger. Where a table was found, only the base type
-- and what the phases promise count; so the parts are told apart.
select
  'column' as aspect,
  n.nspname as schema_name,
  c.relname as relation_name,
  a.attname as name,
  jsonb_build_object(
    'base', format_type(a.atttypid, null),
    'type', format_type(a.atttypid, a.atttypmod),
    'not_null', a.attnotnull,
    'default', pg_get_expr(d.adbin, d.adrelid),
    'generated', a.attgenerated,
    'identity', a.attidentity
  ) as facts
from pg_attribute as a
inner join pg_class as c on c.oid = a.attrelid
inner join pg_namespace as n on n.oid = c.relnamespace
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where n.nspname in ('public', 'ledger') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
  and a.attnum > 0 and not a.attisdropped
