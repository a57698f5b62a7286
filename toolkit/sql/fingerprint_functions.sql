-- Every function of public and ledger that no extension brought, whole.
select
  'function' as aspect,
  n.nspname as schema_name,
  p.proname as relation_name,
  pg_get_function_identity_arguments(p.oid) as name,
  jsonb_build_object(
    'definition', pg_get_functiondef(p.oid),
    'owner', p.proowner::regrole::text
  ) as facts
from pg_proc as p
inner join pg_namespace as n on n.oid = p.pronamespace
where n.nspname in ('public', 'ledger') and p.prokind in ('f', 'p')
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
