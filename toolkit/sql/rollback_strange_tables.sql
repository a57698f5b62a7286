-- Tables in the schema ledger that no phase made; dropping the schema would take them along.
select format('ledger.%%s', c.relname) as name
from pg_class as c
where c.relnamespace = to_regnamespace('ledger') and c.relkind in ('r', 'p', 'm')
  and c.relname <> all(%(known)s)
order by 1
