-- What stops the phases from lifting token_events' limits and from changing the keys of id alone,
-- as they themselves ask.
with
changed as (
  select k.oid
  from (
    values
    (to_regclass('public.token_events')), (to_regclass('public.recalculation_batches'))
  ) as k (oid)
),
what as (
  select
    format('foreign key %s on %s', f.conname, f.conrelid::regclass) as name, 'the key of id alone'
      as depends_on
  from pg_catalog.pg_constraint as f
  inner join changed as k on k.oid = f.confrelid
  where f.contype = 'f' and array_length(f.confkey, 1) = 1
    and not (
      f.conrelid = f.confrelid and f.conrelid = to_regclass('public.token_events')
      and f.conkey = array[(
        select a.attnum from pg_catalog.pg_attribute as a
        where a.attrelid = f.conrelid and a.attname = 'void_of_event'
      )]
    )
  union
  select format('view %s', r.ev_class::regclass), 'the key of id alone'
  from pg_catalog.pg_constraint as p
  inner join changed as k on k.oid = p.conrelid
  inner join pg_catalog.pg_depend as d
    on d.refclassid = 'pg_catalog.pg_constraint'::regclass and d.refobjid = p.oid
      and d.classid = 'pg_catalog.pg_rewrite'::regclass
  inner join pg_catalog.pg_rewrite as r on r.oid = d.objid
  where p.contype = 'p' and array_length(p.conkey, 1) = 1
  union
  select
    pg_describe_object(d.classid, d.objid, 0), format('%s of token_events, whose limit goes',
      a.attname)
  from pg_catalog.pg_depend as d
  inner join pg_catalog.pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where d.refclassid = 'pg_catalog.pg_class'::regclass
    and d.refobjid = to_regclass('public.token_events')
    and a.attname in ('kwh_amount', 'token_cost') and a.atttypmod <> -1
    and d.classid in (
      'pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_trigger'::regclass,
      'pg_catalog.pg_attrdef'::regclass, 'pg_catalog.pg_proc'::regclass
    )
    and not (
      d.classid = 'pg_catalog.pg_attrdef'::regclass and a.atthasdef and a.attgenerated = ''
    )
)

select
  'fail' as severity,
  w.name as subject,
  format('%s depends on %s', w.name, w.depends_on) as finding,
  'drop it, roll out, and create it again; foreign keys then as (user_id, …) → (user_id, id)'
    as next_step,
  1::bigint as amount
from what as w
order by w.name
