-- Whose each object is. Columns: relation, name, definition. Schema public is not restored.
with
member as (
  select d.classid, d.objid
  from pg_catalog.pg_depend as d
  where d.deptype = 'e'
)

select
  n.nspname || '.' || c.relname as relation,
  format('%%I.%%I', n.nspname, c.relname) as name,
  pg_catalog.pg_get_userbyid(c.relowner)::text as definition
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(proven)s)
  and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  and ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) not in (
    select m.classid, m.objid from member as m
  )
union all
select
  p.oid::pg_catalog.regprocedure::text,
  p.oid::pg_catalog.regprocedure::text,
  pg_catalog.pg_get_userbyid(p.proowner)::text
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where n.nspname = any(%(proven)s)
  and ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) not in (
    select m.classid, m.objid from member as m
  )
union all
select
  n.nspname::text,
  format('schema %%I', n.nspname),
  pg_catalog.pg_get_userbyid(n.nspowner)::text
from pg_catalog.pg_namespace as n
where n.nspname = any(%(proven)s) and n.nspname <> 'public'
order by 1, 2
