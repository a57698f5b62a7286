-- Policies of the proven schemas, with their expressions as Postgres writes them.
with asked as (
  select %(schemas)s::text[] as schema_names
)

select
  n.nspname as schema_name,
  c.relname as table_name,
  p.polname as policy_name,
  p.polcmd::text as command,
  pg_catalog.pg_get_expr(p.polqual, p.polrelid) as using_text,
  pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as check_text,
  array(
    select case r.member_oid when 0 then 'public' else pg_catalog.pg_get_userbyid(r.member_oid) end
    from unnest(p.polroles) as r (member_oid)
  )::text[] as role_names
from pg_catalog.pg_policy as p
inner join pg_catalog.pg_class as c on c.oid = p.polrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any((select q.schema_names from asked as q)::text[])
  and pg_catalog.pg_has_role(c.relowner, 'usage')
order by n.nspname, c.relname, p.polname
