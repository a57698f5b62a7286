-- Rights as they are against rights as declared, by object, role, privilege and column. Somebody
-- else's right on an object (a role of one's own) is one that nobody declared. On the app's own
-- objects only what passes row level security by is held to the declaration.
with
declared as (
  select
    d.name,
    d.kind,
    -- What the rollout made has the rollout's grants; what it found, the app's.
    d.found and not exists (
      select from ledger.found_objects as o
      where o.object_name = d.name and o.origin = 'created'
    ) as found,
    r.role_name,
    r.privilege,
    r.column_name
  from pg_catalog.jsonb_to_recordset(%(declared)s) as d (
    name text, kind text, found boolean, rights jsonb
  )
  left join lateral pg_catalog.jsonb_to_recordset(d.rights) as r (
    role_name text, privilege text, column_name text
  ) on true
),
object as (
  select distinct d.name, d.kind, d.found from declared as d
),
-- Every entry of every access list: who, what, on which column.
held as (
  select
    o.name, o.found, o.kind, a.grantee, lower(a.privilege_type) as privilege, null as column_name
  from object as o
  inner join pg_catalog.pg_class as c
    on o.kind in ('table', 'view', 'materialized view', 'sequence') and c.oid = to_regclass(o.name)
  cross join aclexplode(coalesce(c.relacl, acldefault(
    case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner -- noqa: RF06
  ))) as a
  where a.grantee <> c.relowner
  union all
  select o.name, o.found, o.kind, a.grantee, lower(a.privilege_type), t.attname::text
  from object as o
  inner join pg_catalog.pg_class as c on o.kind in ('table', 'view', 'materialized view')
    and c.oid = to_regclass(o.name)
  inner join pg_catalog.pg_attribute as t on t.attrelid = c.oid and not t.attisdropped
  cross join aclexplode(t.attacl) as a
  where a.grantee <> c.relowner
  union all
  select o.name, o.found, o.kind, a.grantee, lower(a.privilege_type), null
  from object as o
  inner join pg_catalog.pg_proc as p on o.kind = 'function' and p.oid = to_regprocedure(o.name)
  cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
  where a.grantee <> p.proowner
  union all
  select o.name, o.found, o.kind, a.grantee, lower(a.privilege_type), null
  from object as o
  inner join pg_catalog.pg_namespace as n on o.kind = 'schema' and n.nspname = o.name
  cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
  where a.grantee <> n.nspowner
    and a.grantee <> coalesce(to_regrole(%(owner)s), 0::pg_catalog.oid)
  union all
  select 'database', false, 'database', a.grantee, lower(a.privilege_type), null
  from pg_catalog.pg_database as d
  cross join aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) as a
  left join pg_catalog.pg_roles as r on r.oid = a.grantee
  where d.datname = current_database() and a.privilege_type = 'CREATE'
    and (a.grantee = 0 or r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator'))
),
named as (
  select
    h.name, h.found, h.kind, h.privilege, h.column_name,
    case h.grantee when 0 then 'public' else h.grantee::pg_catalog.regrole::text end as role_name
  from held as h
  left join pg_catalog.pg_roles as r on r.oid = h.grantee
  where not coalesce(r.rolsuper, false)
)
select
  h.name as subject,
  format(
    '%%s holds %%s on %%s%%s, which nobody declared',
    h.role_name, h.privilege, h.name, ' (' || h.column_name || ')'
  ) as finding,
  format('revoke %%s on … from %%s;', h.privilege, h.role_name) as next_step
from named as h
where not exists (
    select from declared as d
    where d.name = h.name and d.role_name = h.role_name and d.privilege = h.privilege
      and (d.column_name is null or d.column_name = h.column_name)
  )
  and not (
    h.found
    and (
      (h.role_name in ('anon', 'authenticated', 'service_role')
        and h.privilege in ('select', 'insert', 'update', 'delete'))
      or h.kind = 'function'
    )
  )
  -- USAGE on public is the platform's, for everybody.
  and not (h.name = 'public' and h.kind = 'schema' and h.privilege = 'usage')
union all
select
  o.name,
  format('%%s may pass %%s on %%s on to others', a.grantee::pg_catalog.regrole,
    lower(a.privilege_type), o.name),
  format('revoke grant option for %%s on … from %%s;', lower(a.privilege_type),
    a.grantee::pg_catalog.regrole)
from object as o
inner join pg_catalog.pg_class as c
  on o.kind in ('table', 'view', 'materialized view', 'sequence') and c.oid = to_regclass(o.name)
cross join aclexplode(c.relacl) as a
inner join pg_catalog.pg_roles as r on r.oid = a.grantee
where a.is_grantable and r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
