-- What each role but the owner may do with each schema, relation, column, function and type, one
-- row a role. PostgreSQL's own defaults are said too, where nothing was granted or revoked.
with
held as (
  select
    'schema' as kind, n.nspname as schema_name, null as relation_name, null as name,
    n.nspowner as owner, a.grantee, a.privilege_type, a.is_grantable
  from pg_namespace as n
  cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
  where n.nspname = 'ledger'
  union all
  select
    'relation' as kind, n.nspname as schema_name, c.relname as relation_name, null as name,
    c.relowner as owner, a.grantee, a.privilege_type, a.is_grantable
  from pg_class as c
  inner join pg_namespace as n on n.oid = c.relnamespace
  cross join aclexplode(
    coalesce(
      c.relacl,
      case c.relkind
        when 'S' then acldefault('s', c.relowner)
        else acldefault('r', c.relowner)
      end
    )
  ) as a
  where n.nspname in ('public', 'ledger') and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  union all
  select
    'column' as kind, n.nspname as schema_name, c.relname as relation_name, t.attname as name,
    c.relowner as owner, a.grantee, a.privilege_type, a.is_grantable
  from pg_attribute as t
  inner join pg_class as c on c.oid = t.attrelid
  inner join pg_namespace as n on n.oid = c.relnamespace
  cross join aclexplode(t.attacl) as a
  where n.nspname in ('public', 'ledger') and t.attnum > 0 and not t.attisdropped
  union all
  select
    'function' as kind, n.nspname as schema_name, p.proname as relation_name,
    pg_get_function_identity_arguments(p.oid) as name,
    p.proowner as owner, a.grantee, a.privilege_type, a.is_grantable
  from pg_proc as p
  inner join pg_namespace as n on n.oid = p.pronamespace
  cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
  where n.nspname in ('public', 'ledger') and p.prokind in ('f', 'p')
  union all
  select
    'type' as kind, n.nspname as schema_name, t.typname as relation_name, null as name,
    t.typowner as owner, a.grantee, a.privilege_type, a.is_grantable
  from pg_type as t
  inner join pg_class as c on c.oid = t.typrelid and c.relkind = 'c'
  inner join pg_namespace as n on n.oid = t.typnamespace
  cross join aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) as a
  where n.nspname = 'ledger'
)
select
  'grants' as aspect,
  h.schema_name,
  h.relation_name,
  h.name,
  jsonb_build_object(
    'kind', h.kind,
    'grantee', case h.grantee when 0 then 'public' else h.grantee::regrole::text end,
    'privileges', jsonb_agg(
      distinct h.privilege_type || case when h.is_grantable then ' with grant option' else '' end
    )
  ) as facts
from held as h
where h.grantee <> h.owner
group by h.kind, h.schema_name, h.relation_name, h.name, h.grantee
