-- Every constraint of public and ledger but NOT NULL, which the columns tell on every version.
select
  'constraint' as aspect,
  n.nspname as schema_name,
  c.relname as relation_name,
  k.conname as name,
  jsonb_build_object(
    'definition', pg_get_constraintdef(k.oid),
    'cascades_from', case
      when k.contype = 'f' and k.confdeltype = 'c' then format(
        '%s.%s',
        (select s.nspname from pg_namespace as s where s.oid = f.relnamespace),
        f.relname
      )
    end
  ) as facts
from pg_constraint as k
inner join pg_class as c on c.oid = k.conrelid
inner join pg_namespace as n on n.oid = c.relnamespace
left join pg_class as f on f.oid = k.confrelid
where n.nspname in ('public', 'ledger') and k.contype not in ('n', 't')
