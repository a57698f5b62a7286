-- What objects that postgres makes later open by themselves: one of the platform's regimes for
-- public, and nothing that opens ledger to anybody.
with
entry as (
  select
    coalesce(n.nspname::text, 'any schema') as place,
    d.defaclobjtype as kind,
    case a.grantee when 0 then 'public' else a.grantee::pg_catalog.regrole::text end as grantee,
    case
      when d.defaclobjtype in ('r', 'S')
      then string_agg(lower(a.privilege_type), ' ' order by a.privilege_type)
      else lower(min(a.privilege_type))
    end as privileges
  from pg_catalog.pg_default_acl as d
  left join pg_catalog.pg_namespace as n on n.oid = d.defaclnamespace
  cross join aclexplode(d.defaclacl) as a
  where d.defaclrole = to_regrole(%(owner)s) and a.grantee <> d.defaclrole
    and (n.nspname is null or n.nspname = any(%(proven)s))
    and d.defaclobjtype in ('r', 'S', 'f')
  group by 1, 2, 3
)
select
  e.place as subject,
  format(
    'what %%s makes later in %%s opens to %%s by itself: %%s on %%s',
    %(owner)s::text, e.place, e.grantee, e.privileges,
    case e.kind when 'r' then 'tables' when 'S' then 'sequences' else 'functions' end
  ) as finding,
  'alter default privileges … revoke …; the platform''s own regimes open everything of public, '
  'nothing, or all but reading and writing' as next_step
from entry as e
where not (
  -- Functions open to PUBLIC everywhere: PostgreSQL's own default.
  (e.kind = 'f' and e.grantee = 'public' and e.place = 'any schema')
  or (
    e.place = 'public' and e.grantee in ('anon', 'authenticated', 'service_role')
    and case e.kind
      when 'f' then true
      when 'S' then e.privileges = 'select update usage'
      else e.privileges in (
        'delete insert maintain references select trigger truncate update',
        'delete insert references select trigger truncate update',
        'maintain references trigger truncate', 'references trigger truncate'
      )
    end
    -- A regime is the same for all three.
    and (
      select count(distinct o.grantee) from entry as o
      where o.place = e.place and o.kind = e.kind and o.privileges = e.privileges
        and o.grantee in ('anon', 'authenticated', 'service_role')
    ) = 3
  )
)
