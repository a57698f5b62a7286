-- Every index of public and ledger but those of a constraint, which says the same.
select
  'index' as aspect,
  n.nspname as schema_name,
  t.relname as relation_name,
  c.relname as name,
  jsonb_build_object(
    'definition', pg_get_indexdef(i.indexrelid),
    'valid', i.indisvalid and i.indisready
  ) as facts
from pg_index as i
inner join pg_class as c on c.oid = i.indexrelid
inner join pg_class as t on t.oid = i.indrelid
inner join pg_namespace as n on n.oid = t.relnamespace
where n.nspname in ('public', 'ledger')
  and not exists (
    select from pg_constraint as k
    where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
  )
