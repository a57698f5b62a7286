-- Supabase's side, and the shape of each table that is there already. What the phases expect of a
-- column is read from the phases.
with
expected as (
  select t.key as table_name, c.key as column_name, c.value #>> '{}' as types
  from jsonb_each(%(shapes)s::jsonb) as t
  cross join jsonb_each(t.value) as c
),
found as (
  select
    e.table_name, e.column_name, e.types,
    (
      select format_type(a.atttypid, null) from pg_catalog.pg_attribute as a
      where a.attrelid = to_regclass(e.table_name) and a.attname = e.column_name
        and a.attnum > 0 and not a.attisdropped
    ) as found_type
  from expected as e
  where to_regclass(e.table_name) is not null
)

select
  'fail' as severity,
  f.table_name as subject,
  format('%%s.%%s: expected %%s, found %%s', f.table_name, f.column_name, f.types,
    coalesce(f.found_type, 'no column')) as finding,
  'bring the column to the expected type, or tell meterledger''s authors about this shape'
    as next_step,
  1::bigint as amount
from found as f
where f.found_type is null or f.found_type <> all(string_to_array(f.types, '|'))
union all
select
  'fail', 'auth.users', 'there is no table auth.users with a uuid as its key',
  'this is no database of Supabase''s shape: check the URL', 1
where not exists (
  select from pg_catalog.pg_attribute as a
  where a.attrelid = to_regclass('auth.users') and a.attname = 'id'
    and a.atttypid = 'uuid'::regtype
)
union all
select
  'fail', 'auth.uid()', 'there is no function auth.uid() that returns a uuid',
  'this is no database of Supabase''s shape: check the URL', 1
where not exists (
  select from pg_catalog.pg_proc as p
  where p.oid = to_regprocedure('auth.uid()') and p.prorettype = 'uuid'::regtype
)
union all
select
  'fail', 'public.user_profiles', 'id of public.user_profiles is no key, and events refer to it',
  'alter table public.user_profiles add primary key (id);', 1
where to_regclass('public.user_profiles') is not null
  and not exists (
    select from pg_catalog.pg_index as i
    inner join pg_catalog.pg_attribute as a
      on a.attrelid = i.indrelid and a.attname = 'id' and i.indkey::text = a.attnum::text
    where i.indrelid = to_regclass('public.user_profiles') and i.indisunique and i.indisvalid
      and i.indimmediate and i.indpred is null
  )
union all
select
  'fail', format('public.%%s', c.relname),
  format('public.%%s is no ordinary table', c.relname),
  'tell meterledger''s authors about this shape', 1
from pg_catalog.pg_class as c
where c.oid in (
    to_regclass('public.user_profiles'), to_regclass('public.electricity_readings'),
    to_regclass('public.token_events'), to_regclass('public.recalculation_batches')
  )
  and c.relkind <> 'r'
  and not (c.relkind = 'v' and c.relname = 'electricity_readings')
