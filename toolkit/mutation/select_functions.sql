-- Functions of the proven schemas: what they run as, what they hold, who can call them.
with asked as (
  select
    %(roles)s::text[] as role_names,
    %(schemas)s::text[] as schema_names
)

select
  n.nspname as schema_name,
  p.oid::regprocedure::text as signature,
  l.lanname as language_name,
  p.prosecdef as is_definer,
  exists(
    select from unnest(p.proconfig) as s (setting)
    where s.setting like 'search_path=%%'
  ) as pins_search_path,
  pg_catalog.pg_get_functiondef(p.oid) as definition,
  coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) as body,
  p.prorettype <> 'pg_catalog.trigger'::regtype and exists (
    select from unnest((select q.role_names from asked as q)) as r (role_name)
    where pg_catalog.has_schema_privilege(r.role_name, n.oid, 'usage')
      and pg_catalog.has_function_privilege(r.role_name, p.oid, 'execute')
  ) as is_callable
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
inner join pg_catalog.pg_language as l on l.oid = p.prolang
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and p.prokind = 'f'
  and pg_catalog.pg_has_role(p.proowner, 'usage')
order by n.nspname, signature
