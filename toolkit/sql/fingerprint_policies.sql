-- Every policy of public and ledger.
select
  'policy' as aspect,
  p.schemaname as schema_name,
  p.tablename as relation_name,
  p.policyname as name,
  jsonb_build_object(
    'definition', concat_ws(
      ' ',
      p.permissive,
      'for', p.cmd,
      'to', (
        select string_agg(r.role_name::text, ', ' order by r.role_name)
        from unnest(p.roles) as r (role_name)
      ),
      'using (' || p.qual || ')',
      'with check (' || p.with_check || ')'
    )
  ) as facts
from pg_policies as p
where p.schemaname in ('public', 'ledger')
