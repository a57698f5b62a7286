-- Every trigger of public and ledger, and those that a migration may have hung on auth.users; every
-- rewrite rule but the views' own.
select
  'trigger' as aspect,
  n.nspname as schema_name,
  c.relname as relation_name,
  t.tgname as name,
  jsonb_build_object(
    'definition', pg_get_triggerdef(t.oid),
    'enabled', t.tgenabled
  ) as facts
from pg_trigger as t
inner join pg_class as c on c.oid = t.tgrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('public', 'ledger', 'auth') and not t.tgisinternal
union all
select
  'rule' as aspect,
  n.nspname as schema_name,
  c.relname as relation_name,
  r.rulename as name,
  jsonb_build_object(
    'definition', pg_get_ruledef(r.oid),
    'enabled', r.ev_enabled
  ) as facts
from pg_rewrite as r
inner join pg_class as c on c.oid = r.ev_class
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('public', 'ledger') and r.rulename <> '_RETURN'
