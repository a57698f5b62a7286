-- What runs beside a write: triggers of the proven tables and of auth.users must call a declared
-- function, and only views have rules. A rule's actions run with its owner's rights.
with
declared as (
  select d.name
  from pg_catalog.jsonb_to_recordset(%(declared)s) as d (name text, kind text)
  where d.kind = 'function'
),
proven as (
  select c.oid, n.nspname || '.' || c.relname as name
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any(%(proven)s)
)
select
  t.tgrelid::pg_catalog.regclass::text as subject,
  format(
    'trigger %%s on %%s calls %%s, which nobody declared', t.tgname,
    t.tgrelid::pg_catalog.regclass, t.tgfoid::pg_catalog.regprocedure
  ) as finding,
  'declare the function and why it may run there, or drop the trigger' as next_step
from pg_catalog.pg_trigger as t
left join proven as p on p.oid = t.tgrelid
left join declared as d on d.name = t.tgfoid::pg_catalog.regprocedure::text
where not t.tgisinternal and d.name is null
  and (p.oid is not null or t.tgrelid = to_regclass('auth.users'))
union all
select
  p.name,
  format('rule %%s of %%s runs with its owner''s rights on %%s', w.rulename, p.name,
    case w.ev_type when '2' then 'update' when '3' then 'insert' when '4' then 'delete'
      else 'select' end),
  format('drop rule %%I on %%s;', w.rulename, p.name)
from pg_catalog.pg_rewrite as w
inner join proven as p on p.oid = w.ev_class
inner join pg_catalog.pg_class as c on c.oid = w.ev_class
where not (w.ev_type = '1' and c.relkind in ('v', 'm'))
