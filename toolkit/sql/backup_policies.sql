-- Who may see which rows: every policy, and whether it is in force. Columns: relation, name,
-- definition.
select
  p.schemaname || '.' || p.tablename as relation,
  format('policy %%I of %%I.%%I', p.policyname, p.schemaname, p.tablename) as name,
  format(
    '%%s, for %%s to %%s, using (%%s), with check (%%s)',
    p.permissive, p.cmd, array_to_string(p.roles, ', '), p.qual, p.with_check
  ) as definition
from pg_catalog.pg_policies as p
where p.schemaname = any(%(proven)s)
union all
select
  n.nspname || '.' || c.relname,
  format('row level security of %%I.%%I', n.nspname, c.relname),
  case when not c.relrowsecurity then 'off' when c.relforcerowsecurity then 'forced' else 'on' end
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(proven)s) and c.relkind in ('r', 'p')
order by 1, 2
