-- What there is beside the rows: columns, indexes, constraints, triggers, views and functions.
-- Columns: relation, name, definition.
with
member as (
  select d.classid, d.objid
  from pg_catalog.pg_depend as d
  where d.deptype = 'e'
),

relation as (
  select
    c.oid, c.relkind, c.reloptions, c.relispopulated,
    n.nspname || '.' || c.relname as relation,
    format('%%I.%%I', n.nspname, c.relname) as name
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any(%(proven)s)
    and c.relkind in ('r', 'p', 'v', 'm')
    and ('pg_catalog.pg_class'::pg_catalog.regclass, c.oid) not in (
      select m.classid, m.objid from member as m
    )
)

select
  r.relation,
  format('column %%s.%%I', r.name, a.attname) as name,
  concat_ws(
    ' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
    case when a.attnotnull then 'not null' end,
    case when a.attidentity <> '' then format('identity %%s', a.attidentity) end,
    case when a.attgenerated <> '' then 'generated' end,
    'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
  ) as definition
from relation as r
inner join pg_catalog.pg_attribute as a on a.attrelid = r.oid
left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped
union all
select
  r.relation,
  format('%%s %%s', case r.relkind when 'v' then 'view' else 'materialized view' end, r.name),
  concat_ws(
    ' ', r.reloptions::text,
    case when not r.relispopulated then 'unpopulated' end, pg_catalog.pg_get_viewdef(r.oid)
  )
from relation as r
where r.relkind in ('v', 'm')
union all
select r.relation, format('index %%s', i.indexrelid::pg_catalog.regclass), concat_ws(
  ' ', pg_catalog.pg_get_indexdef(i.indexrelid), case when not i.indisvalid then 'invalid' end
)
from relation as r
inner join pg_catalog.pg_index as i on i.indrelid = r.oid
union all
select
  r.relation,
  format('constraint %%I of %%s', c.conname, r.name),
  pg_catalog.pg_get_constraintdef(c.oid)
from relation as r
inner join pg_catalog.pg_constraint as c on c.conrelid = r.oid
where c.contype in ('c', 'f', 'p', 'u', 'x')
union all
select
  r.relation,
  format('trigger %%I of %%s', t.tgname, r.name),
  format('%%s, enabled: %%s', pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled)
from relation as r
inner join pg_catalog.pg_trigger as t on t.tgrelid = r.oid
where not t.tgisinternal
union all
select
  p.oid::pg_catalog.regprocedure::text,
  format('function %%s', p.oid::pg_catalog.regprocedure),
  concat_ws(
    ' ', pg_catalog.md5(p.prosrc), p.provolatile, case when p.prosecdef then 'definer' end,
    p.proconfig::text
  )
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where n.nspname = any(%(proven)s)
  and ('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid) not in (
    select m.classid, m.objid from member as m
  )
order by 1, 2
