-- What a restore's target lacks of what the backup stands on and does not bring: roles of the
-- server, and Supabase's schema auth. Column: name. From the catalogs, which nobody may be denied.
select format('role %%s', r.name) as name
from unnest(%(roles)s::text[]) as r (name)
where r.name not in (select p.rolname from pg_catalog.pg_roles as p)
union all
select 'schema auth'
where %(users)s and not exists (
  select from pg_catalog.pg_namespace as n where n.nspname = 'auth'
)
union all
select format('column auth.users.%%s', w.name)
from (values ('id'), ('email')) as w (name)
where %(users)s and not exists (
  select
  from pg_catalog.pg_attribute as a
  inner join pg_catalog.pg_class as c on c.oid = a.attrelid
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = 'auth' and c.relname = 'users' and a.attname = w.name and not a.attisdropped
)
union all
select format('function auth.%%s()', f.name)
from unnest(%(functions)s::text[]) as f (name)
where f.name not in (
  select p.proname
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = 'auth'
)
order by 1
