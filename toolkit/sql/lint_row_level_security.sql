-- Tables without row level security, and policies that hang on a table where it is off.
select
  n.nspname || '.' || c.relname as subject,
  'row level security is off on ' || n.nspname || '.' || c.relname as finding,
  format('alter table %%I.%%I enable row level security;', n.nspname, c.relname) as next_step
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(proven)s) and c.relkind in ('r', 'p') and not c.relrowsecurity
