-- Schemas that nobody named and that API roles can use or fill.
select
  n.nspname::text as subject,
  format(
    '%%s may %%s in schema %%s', r.name,
    case when has_schema_privilege(r.name, n.oid, 'create') then 'create objects'
      else 'use what is' end,
    n.nspname
  ) as finding,
  'declare it as one of the rooms, or revoke usage on it' as next_step
from pg_catalog.pg_namespace as n
cross join unnest(%(roles)s::text[]) as r (name)
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (
    (has_schema_privilege(r.name, n.oid, 'usage')
      and not n.nspname = any(%(proven)s) and not n.nspname = any(%(platform)s))
    or (has_schema_privilege(r.name, n.oid, 'create') and not n.nspname = any(%(proven)s))
  )
