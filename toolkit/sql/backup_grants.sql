-- Who may do what with which object: one row an object and grantee. Columns: relation, name,
-- definition. A missing list of grants is the built-in one, so both sides compare. Schema public
-- is not restored, so its own grants are the target's.
with
member as (
  select d.classid, d.objid
  from pg_catalog.pg_depend as d
  where d.deptype = 'e'
),

object as (
  select
    n.nspname || '.' || c.relname as relation,
    format('%%I.%%I', n.nspname, c.relname) as name,
    coalesce(
      c.relacl,
      case
        when c.relkind = 'S' then pg_catalog.acldefault('s', c.relowner)
        else pg_catalog.acldefault('r', c.relowner)
      end
    ) as acl
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any(%(proven)s)
    and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    and ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) not in (
      select m.classid, m.objid from member as m
    )
  union all
  select
    n.nspname || '.' || c.relname,
    format('%%I.%%I (%%I)', n.nspname, c.relname, a.attname),
    a.attacl
  from pg_catalog.pg_attribute as a
  inner join pg_catalog.pg_class as c on c.oid = a.attrelid
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any(%(proven)s) and a.attacl is not null and not a.attisdropped
    and ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) not in (
      select m.classid, m.objid from member as m
    )
  union all
  select
    p.oid::pg_catalog.regprocedure::text,
    p.oid::pg_catalog.regprocedure::text,
    coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = any(%(proven)s)
    and ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) not in (
      select m.classid, m.objid from member as m
    )
  union all
  select
    n.nspname::text,
    format('schema %%I', n.nspname),
    coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
  from pg_catalog.pg_namespace as n
  where n.nspname = any(%(proven)s) and n.nspname <> 'public'
  union all
  select
    'default privileges of ' || pg_catalog.pg_get_userbyid(d.defaclrole),
    format(
      'default privileges of %%I in %%I on %%s',
      pg_catalog.pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype
    ),
    d.defaclacl
  from pg_catalog.pg_default_acl as d
  inner join pg_catalog.pg_namespace as n on n.oid = d.defaclnamespace
  where n.nspname = any(%(proven)s)
)

select
  o.relation,
  format(
    '%%s to %%s', o.name,
    case when g.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(g.grantee)::text end
  ) as name,
  string_agg(
    distinct g.privilege_type || case when g.is_grantable then '*' else '' end, ', '
    order by g.privilege_type || case when g.is_grantable then '*' else '' end
  ) as definition
from object as o
cross join lateral pg_catalog.aclexplode(o.acl) as g
group by o.relation, o.name, g.grantee
order by o.relation, name
