-- Ways round the proven schemas: objects elsewhere that belong to the ledger's owner and that API
-- roles can reach, tables that inherit, and what declared objects depend on that lies elsewhere.
with
reachable_schema as (
  select n.oid, n.nspname
  from pg_catalog.pg_namespace as n
  where n.nspname <> all(%(proven)s) and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
),
member as (
  select d.classid, d.objid from pg_catalog.pg_depend as d where d.deptype = 'e'
),
-- What hangs on objects of the proven schemas and calls or reads something.
dependent as (
  select
    pg_catalog.pg_describe_object(d.classid, d.objid, 0) as what,
    coalesce(rewritten.relname, policied.relname, defaulted.relname, checked.relname) as holder,
    d.refclassid,
    d.refobjid
  from pg_catalog.pg_depend as d
  left join pg_catalog.pg_rewrite as w
    on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and w.oid = d.objid
  left join pg_catalog.pg_class as rewritten on rewritten.oid = w.ev_class
  left join pg_catalog.pg_policy as p
    on d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and p.oid = d.objid
  left join pg_catalog.pg_class as policied on policied.oid = p.polrelid
  left join pg_catalog.pg_attrdef as f
    on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and f.oid = d.objid
  left join pg_catalog.pg_class as defaulted on defaulted.oid = f.adrelid
  left join pg_catalog.pg_constraint as k
    on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = d.objid
    and k.contype = 'c'
  left join pg_catalog.pg_class as checked on checked.oid = k.conrelid
  inner join pg_catalog.pg_namespace as n
    on n.oid = coalesce(
      rewritten.relnamespace, policied.relnamespace, defaulted.relnamespace, checked.relnamespace
    )
  where n.nspname = any(%(proven)s)
)
select
  s.nspname || '.' || c.relname as subject,
  format(
    '%%s can reach %%s.%%s, which belongs to %%s and lies outside of what is proven',
    r.name, s.nspname, c.relname, %(owner)s::text
  ) as finding,
  'move it into a proven schema and declare it, or revoke the rights on it' as next_step
from pg_catalog.pg_class as c
inner join reachable_schema as s on s.oid = c.relnamespace
cross join unnest(%(roles)s::text[]) as r (name)
left join member as m
  on m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and m.objid = c.oid
where c.relkind in ('r', 'p', 'v', 'm', 'f') and m.objid is null
  and c.relowner = to_regrole(%(owner)s)
  and has_schema_privilege(r.name, s.oid, 'usage')
  and (
    has_table_privilege(r.name, c.oid, 'select, insert, update, delete')
    or has_any_column_privilege(r.name, c.oid, 'select, insert, update')
  )
union all
select
  p.oid::pg_catalog.regprocedure::text,
  format(
    '%%s can call %%s, which runs with the rights of %%s and lies outside of what is proven',
    r.name, p.oid::pg_catalog.regprocedure, %(owner)s::text
  ),
  'move it into a proven schema and declare it, or revoke execute on it'
from pg_catalog.pg_proc as p
inner join reachable_schema as s on s.oid = p.pronamespace
cross join unnest(%(roles)s::text[]) as r (name)
left join member as m on m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and m.objid = p.oid
where p.prosecdef and m.objid is null and p.proowner = to_regrole(%(owner)s)
  and has_schema_privilege(r.name, s.oid, 'usage')
  and has_function_privilege(r.name, p.oid, 'execute')
union all
select
  n.nspname || '.' || c.relname,
  format('%%s inherits from %%s: whoever may read the one reads both', i.inhrelid::regclass,
    i.inhparent::regclass),
  format('alter table %%s no inherit %%s;', i.inhrelid::regclass, i.inhparent::regclass)
from pg_catalog.pg_inherits as i
inner join pg_catalog.pg_class as c on c.oid in (i.inhrelid, i.inhparent)
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(proven)s) and c.relkind in ('r', 'p')
union all
select distinct
  coalesce(d.holder, d.what),
  format('%%s depends on %%s, which lies outside of what is proven', d.what,
    pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0)),
  'take it out, or move what it calls into a proven schema and declare it'
from dependent as d
left join pg_catalog.pg_proc as p
  on d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass and p.oid = d.refobjid
left join pg_catalog.pg_class as c
  on d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = d.refobjid
inner join pg_catalog.pg_namespace as n on n.oid = coalesce(p.pronamespace, c.relnamespace)
left join member as m on m.classid = d.refclassid and m.objid = d.refobjid
where n.nspname <> all(%(proven)s) and n.nspname not in ('pg_catalog', 'pg_toast', 'auth')
  and m.objid is null
