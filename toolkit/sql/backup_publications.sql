-- Which tables are published, Realtime's among them, which no dump of the app's schemas holds.
-- Columns: publication, schema, table, and whether all of its rows and columns are.
select
  p.pubname::text as publication,
  n.nspname::text as schema,
  c.relname::text as name,
  r.prqual is null and r.prattrs is null as whole
from pg_catalog.pg_publication_rel as r
inner join pg_catalog.pg_publication as p on p.oid = r.prpubid
inner join pg_catalog.pg_class as c on c.oid = r.prrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(proven)s)
order by 1, 2, 3
