-- One owner for everything, whom row level security does not bind: another owner's refresh would
-- empty the materialized view, and another's definer function would run as somebody else.
with
owned as (
  select n.nspname || '.' || c.relname as name, c.relowner as owner
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any(%(proven)s) and c.relkind in ('r', 'p', 'v', 'm', 'S')
  union all
  select p.oid::pg_catalog.regprocedure::text, p.proowner
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = any(%(proven)s)
  union all
  select 'type ' || t.oid::pg_catalog.regtype::text, t.typowner
  from pg_catalog.pg_type as t
  inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
  where n.nspname = any(%(proven)s) and t.typtype in ('c', 'd', 'e', 'r')
  union all
  select 'schema ' || n.nspname, n.nspowner
  from pg_catalog.pg_namespace as n
  where n.nspname = any(%(proven)s) and n.nspname <> 'public'
)
select
  o.name as subject,
  format('%%s belongs to %%s and not to %%s', o.name, o.owner::pg_catalog.regrole, %(owner)s::text)
    as finding,
  'alter … owner to …; one role owns tables, views and functions' as next_step
from owned as o
where o.owner <> to_regrole(%(owner)s)
union all
select
  r.rolname::text,
  format('row level security binds %%s, who owns the ledger', r.rolname),
  format('alter role %%I bypassrls;', r.rolname)
from pg_catalog.pg_roles as r
where r.rolname = %(owner)s and not r.rolbypassrls and not r.rolsuper
