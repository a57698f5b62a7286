-- Whatever knows the legacy table by name and is not the rollout's own. It goes on working until
-- the cutover, which puts a view under that name: ledger.cutover_obstacles() refuses or asks then.
with
legacy as (
  select to_regclass('public.electricity_readings') as oid
)

select
  'warn' as severity,
  format('foreign key %s', f.conname) as subject,
  format('foreign key %s of %s points at electricity_readings', f.conname, f.conrelid::regclass)
    as finding,
  'before the cutover: point it at token_events (user_id, id), or drop it' as next_step,
  1::bigint as amount
from legacy as l
inner join pg_catalog.pg_constraint as f on f.contype = 'f' and f.confrelid = l.oid
union all
select distinct
  'warn',
  format('view %s', r.ev_class::regclass),
  format('view %s reads electricity_readings', r.ev_class::regclass),
  case c.relkind
    when 'v' then 'nothing: the cutover points it at the view'
    else 'before the cutover: drop it, and create it again afterwards'
  end,
  1
from legacy as l
inner join pg_catalog.pg_depend as d
  on d.refobjid = l.oid and d.refclassid = 'pg_catalog.pg_class'::regclass
    and d.classid = 'pg_catalog.pg_rewrite'::regclass
inner join pg_catalog.pg_rewrite as r on r.oid = d.objid and r.ev_class <> l.oid
inner join pg_catalog.pg_class as c on c.oid = r.ev_class
where c.relnamespace::regnamespace::text <> 'ledger'
union all
select
  'warn',
  format('function %s', p.oid::regprocedure),
  format('function %s names electricity_readings', p.oid::regprocedure),
  'see that it inserts, updates and deletes in ways that a view allows (no on conflict)',
  1
from legacy as l
inner join pg_catalog.pg_proc as p
  on p.prosrc ~ '\melectricity_readings\M'
    or exists (
      select from pg_catalog.pg_depend as d
      where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.refobjid = l.oid
        and d.refclassid = 'pg_catalog.pg_class'::regclass
    )
where l.oid is not null
  and p.pronamespace::regnamespace::text not in ('ledger', 'pg_catalog', 'information_schema')
union all
select
  'warn',
  format('publication %s', t.pubname),
  format(
    'publication %s sends changes of electricity_readings%s', t.pubname,
    case t.pubname when 'supabase_realtime' then ' to Realtime''s subscribers' else '' end
  ),
  'a view is never published: let subscribers follow token_events before the cutover',
  1
from pg_catalog.pg_publication_tables as t
where t.schemaname = 'public' and t.tablename = 'electricity_readings'
union all
select
  'warn',
  format('trigger %s', t.tgname),
  format('trigger %s of electricity_readings calls %s', t.tgname, t.tgfoid::regprocedure),
  'before the cutover: move what it does to token_events, then drop it',
  1
from legacy as l
inner join pg_catalog.pg_trigger as t on t.tgrelid = l.oid and not t.tgisinternal
inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
where p.pronamespace::regnamespace::text <> 'ledger'
union all
select distinct
  'warn',
  format('policy %s', y.polname),
  format('policy "%s" of %s reads electricity_readings', y.polname, y.polrelid::regclass),
  'before the cutover: drop it, and create it again afterwards',
  1
from legacy as l
inner join pg_catalog.pg_depend as d
  on d.refobjid = l.oid and d.refclassid = 'pg_catalog.pg_class'::regclass
    and d.classid = 'pg_catalog.pg_policy'::regclass
inner join pg_catalog.pg_policy as y on y.oid = d.objid and y.polrelid <> l.oid
order by subject
