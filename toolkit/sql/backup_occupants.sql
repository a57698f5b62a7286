-- What is in the way of a restore: relations, functions and types of the app's schemas that no
-- extension brought.
with
member as (
  select d.classid, d.objid
  from pg_catalog.pg_depend as d
  where d.deptype = 'e'
)

select format('%%I.%%I', n.nspname, c.relname) as name
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(proven)s)
  and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  and ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) not in (
    select m.classid, m.objid from member as m
  )
union all
select p.oid::pg_catalog.regprocedure::text
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where n.nspname = any(%(proven)s)
  and ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) not in (
    select m.classid, m.objid from member as m
  )
union all
select format('%%I.%%I', n.nspname, t.typname)
from pg_catalog.pg_type as t
inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
where n.nspname = any(%(proven)s)
  and t.typtype in ('e', 'd', 'r')
  and ('pg_catalog.pg_type'::pg_catalog.regclass, t.oid) not in (
    select m.classid, m.objid from member as m
  )
order by 1
