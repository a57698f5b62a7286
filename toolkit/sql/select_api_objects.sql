-- Every object of the proven schemas that the declaration must name: kind, name as the declaration
-- writes it, and what extension it belongs to. Indexes, toast and row types come with their tables.
with
member as (
  select d.classid, d.objid, e.extname
  from pg_catalog.pg_depend as d
  inner join pg_catalog.pg_extension as e on e.oid = d.refobjid
  where d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass and d.deptype = 'e'
)
select
  case c.relkind
    when 'r' then 'table' when 'p' then 'table' when 'f' then 'table' when 'v' then 'view'
    when 'm' then 'materialized view' when 'S' then 'sequence'
  end as kind,
  n.nspname || '.' || c.relname as name,
  m.extname
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
left join member as m on m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and m.objid = c.oid
where n.nspname = any(%(proven)s) and c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')
  -- The sequence behind an identity column of an exposed table comes with the table.
  and not (
    c.relkind = 'S' and n.nspname = any(%(exposed)s)
    and exists (
      select from pg_catalog.pg_depend as d
      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
        and d.deptype = 'i'
    )
  )
union all
select 'function', p.oid::pg_catalog.regprocedure::text, m.extname
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
left join member as m on m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and m.objid = p.oid
where n.nspname = any(%(proven)s)
union all
select 'schema', n.nspname::text, null
from pg_catalog.pg_namespace as n
where n.nspname = any(%(proven)s)
order by 1, 2
