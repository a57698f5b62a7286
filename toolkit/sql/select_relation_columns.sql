-- The columns of the relations of the proven schemas, in order.
select
  n.nspname || '.' || c.relname as name,
  a.attname::text,
  a.attgenerated <> '' as generated
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on c.oid = a.attrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(proven)s) and c.relkind in ('r', 'p', 'f', 'v', 'm')
  and a.attnum > 0 and not a.attisdropped
order by n.nspname, c.relname, a.attnum
