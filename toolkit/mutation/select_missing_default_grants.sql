-- Rights on what postgres creates later that a grantee does not get by itself. A schema's own
-- defaults come on top of the role's, which stand under the empty name.
with
asked as (
  select
    %(schemas)s::text[] as schema_names,
    %(kinds)s::text[] as kind_names,
    %(privileges)s::text[] as privilege_names,
    %(grantees)s::text[] as grantee_names
),

schemas as (
  select
    n.oid,
    n.nspname::text as schema_name
  from pg_catalog.pg_namespace as n
  where n.nspname = any((select q.schema_names from asked as q)::text[])
  union all
  select
    0,
    ''
),

held as (
  select
    k.kind,
    s.schema_name,
    case x.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(x.grantee) end as grantee,
    lower(x.privilege_type) as privilege
  from unnest(array['r', 'S', 'f']) as k (kind)
  cross join schemas as s
  left join pg_catalog.pg_default_acl as d
    on d.defaclrole = 'postgres'::regrole and d.defaclnamespace = s.oid
      and d.defaclobjtype::text = k.kind
  cross join lateral pg_catalog.aclexplode(
    case
      when d.defaclacl is not null then d.defaclacl
      when s.oid <> 0 then null
      when k.kind = 'r' then pg_catalog.acldefault('r', 'postgres'::regrole)
      when k.kind = 'S' then pg_catalog.acldefault('s', 'postgres'::regrole)
      else pg_catalog.acldefault('f', 'postgres'::regrole)
    end
  ) as x
)

select
  w.kind,
  s.schema_name,
  w.privilege,
  g.grantee
from unnest(
  (select q.kind_names from asked as q), (select q.privilege_names from asked as q)
) as w (kind, privilege)
cross join schemas as s
cross join unnest((select q.grantee_names from asked as q)) as g (grantee)
where not exists (
  select from held as h
  where h.kind = w.kind
    and h.privilege = w.privilege
    and h.grantee in (g.grantee, 'public')
    and h.schema_name in (s.schema_name, '')
)
order by w.kind, s.schema_name, g.grantee, w.privilege
