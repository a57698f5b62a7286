-- Views run as their caller, unless the declaration says why not; then they are barriers. A view
-- with its owner's rights over whatever row level security guards, or over a materialized view, is
-- how everybody reads everything.
with recursive
declared as (
  select d.name, d.owner_rights, d.reads
  from pg_catalog.jsonb_to_recordset(%(declared)s) as d (
    name text, owner_rights text, reads text[]
  )
),
view as (
  select
    c.oid,
    n.nspname || '.' || c.relname as name,
    coalesce((
      select o.option_value::boolean from pg_options_to_table(c.reloptions) as o
      where o.option_name = 'security_invoker'
    ), false) as is_invoker,
    coalesce((
      select o.option_value::boolean from pg_options_to_table(c.reloptions) as o
      where o.option_name = 'security_barrier'
    ), false) as is_barrier
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any(%(proven)s) and c.relkind = 'v'
),
-- What each view reads, through further views.
reads as (
  select distinct v.oid, d.refobjid
  from view as v
  inner join pg_catalog.pg_rewrite as r on r.ev_class = v.oid
  inner join pg_catalog.pg_depend as d
    on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
    and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> v.oid
  union
  select s.oid, d.refobjid
  from reads as s
  inner join pg_catalog.pg_rewrite as r on r.ev_class = s.refobjid
  inner join pg_catalog.pg_depend as d
    on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
    and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> s.refobjid
)
select
  v.name as subject,
  format(
    'view %%s runs with its owner''s rights, over %%s', v.name,
    coalesce((
      select string_agg(s.name, ', ' order by s.name)
      from (
        select r.refobjid::pg_catalog.regclass::text as name from reads as r where r.oid = v.oid
      ) as s
    ), 'nothing')
  ) as finding,
  format(
    'alter view %%s set (security_invoker = true); or declare why it may (owner_rights), and make '
    'it a security_barrier', v.name
  ) as next_step
from view as v
left join declared as d on d.name = v.name
where not v.is_invoker and coalesce(d.owner_rights, '') = ''
union all
select
  v.name,
  format('view %%s runs with its owner''s rights and is no security_barrier', v.name),
  format('alter view %%s set (security_barrier = true);', v.name)
from view as v
inner join declared as d on d.name = v.name
where not v.is_invoker and not v.is_barrier and d.owner_rights <> ''
union all
select
  n.nspname || '.' || c.relname,
  format(
    '%%s can read materialized view %%s.%%s, which knows no row level security',
    r.name, n.nspname, c.relname
  ),
  format('revoke all on table %%I.%%I from public, anon, authenticated;', n.nspname, c.relname)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
cross join unnest(%(roles)s::text[]) as r (name)
where c.relkind = 'm' and n.nspname = any(%(exposed)s)
  and (
    has_table_privilege(r.name, c.oid, 'select')
    or has_any_column_privilege(r.name, c.oid, 'select')
  )
union all
select
  v.name,
  format('view %%s reads %%s, which it is not declared to', v.name,
    s.refobjid::pg_catalog.regclass),
  'compare the view with its migration; declare what it reads (reads)'
from view as v
inner join declared as d on d.name = v.name and d.reads <> '{}'
inner join reads as s on s.oid = v.oid
inner join pg_catalog.pg_class as c on c.oid = s.refobjid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname || '.' || c.relname <> all(d.reads)
union all
select
  v.name,
  format('view %%s calls %%s: a view of rows calls nothing', v.name,
    e.refobjid::pg_catalog.regprocedure),
  'compare the view with its migration'
from view as v
inner join declared as d on d.name = v.name and d.reads <> '{}'
inner join pg_catalog.pg_rewrite as w on w.ev_class = v.oid
inner join pg_catalog.pg_depend as e
  on e.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and e.objid = w.oid
  and e.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
