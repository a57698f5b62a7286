-- The phases of which something is not there. %(landmarks)s: {phase: [table or function, …]}.
select distinct l.key as phase
from pg_catalog.jsonb_each(%(landmarks)s::jsonb) as l
cross join pg_catalog.jsonb_array_elements_text(l.value) as n (name)
where to_regclass(n.name) is null and to_regproc(n.name) is null
