-- The app's triggers on auth.users, which no dump of the app's schemas holds. Columns: name,
-- definition.
select t.tgname::text as name, pg_catalog.pg_get_triggerdef(t.oid) as definition
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_class as c on c.oid = t.tgrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
inner join pg_catalog.pg_namespace as o on o.oid = p.pronamespace
where n.nspname = 'auth' and c.relname = 'users' and not t.tgisinternal
  and o.nspname = any(%(proven)s)
order by 1
