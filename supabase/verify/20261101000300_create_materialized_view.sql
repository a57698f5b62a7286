-- Verifies: migrations/20261101000300_create_materialized_view.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
  v_owners bigint;
begin
  if to_regclass('public.electricity_readings_mv') is null
    or to_regclass('public.electricity_readings_v') is null
    or to_regclass('ledger.readings') is null
  then
    raise exception 'the projection, its view or the materialized view is missing'
      using errcode = 'ML005', hint = 'Push the migrations again.';
  end if;

  -- An owner that row level security binds would silently empty the materialized view.
  select count(distinct o.owner) into v_owners
  from (
    select c.relowner as owner from pg_class as c
    where c.oid in (
      'public.token_events'::regclass, 'ledger.readings'::regclass,
      'public.electricity_readings_mv'::regclass
    )
    union all
    select p.proowner from pg_proc as p
    where p.pronamespace = 'ledger'::regnamespace
      or p.oid = 'public.refresh_readings_mv()'::regprocedure
  ) as o;
  if v_owners <> 1 or not (
    select r.rolbypassrls or r.rolsuper
    from pg_class as c inner join pg_roles as r on r.oid = c.relowner
    where c.oid = 'public.token_events'::regclass
  ) then
    raise exception 'table, projection, materialized view and functions need one owner that '
      'bypasses row level security'
      using errcode = 'ML005', hint = 'alter … owner to postgres;';
  end if;
  if not (
    select c.relispopulated from pg_class as c
    where c.oid = 'public.electricity_readings_mv'::regclass
  ) then
    raise exception 'electricity_readings_mv was never filled'
      using errcode = 'ML005', hint = 'refresh materialized view public.electricity_readings_mv;';
  end if;
  if not exists (
    select from pg_index as i
    where i.indrelid = 'public.electricity_readings_mv'::regclass
      and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
  ) then
    raise exception 'electricity_readings_mv has no plain unique index'
      using errcode = 'ML005',
        hint = 'create unique index electricity_readings_mv_key on public.electricity_readings_mv '
          '(user_id, id);';
  end if;
  if not coalesce((
    select 'security_invoker=true' = any (c.reloptions) from pg_class as c
    where c.oid = 'public.electricity_readings_v'::regclass
  ), false) then
    raise exception 'electricity_readings_v runs with its owner''s rights: it leaks'
      using errcode = 'ML005',
        hint = 'alter view public.electricity_readings_v set (security_invoker = true);';
  end if;
  if not (select c.relrowsecurity from pg_class as c where c.oid = 'ledger.readings'::regclass)
  then
    raise exception 'row level security is off on ledger.readings'
      using errcode = 'ML005', hint = 'alter table ledger.readings enable row level security;';
  end if;

  select string_agg(format('%s on %s', r.role_name, t.name), ', ') into v_list
  from unnest(array['anon', 'authenticated', 'service_role']) as r (role_name)
  cross join (values
    ('public.electricity_readings_mv', 'select, insert, update, delete, truncate, references'),
    ('public.electricity_readings_v', 'insert, update, delete, truncate, references, trigger'),
    ('ledger.readings', 'insert, update, delete, truncate, references, trigger'),
    ('ledger.heads', 'select, insert, update, delete, truncate, references, trigger')
  ) as t (name, privileges)
  where has_table_privilege(r.role_name, t.name, t.privileges)
    or has_any_column_privilege(
      r.role_name, t.name,
      concat_ws(', ',
        case when t.privileges like 'select%' then 'select' end, 'insert', 'update', 'references'
      )
    );
  if v_list is not null then
    raise exception 'an API role holds a grant that it must not have: %', v_list
      using errcode = 'ML005', hint = 'revoke all on … from …;';
  end if;

  if has_function_privilege('anon', 'public.refresh_readings_mv()', 'execute')
    or has_function_privilege('authenticated', 'public.refresh_readings_mv()', 'execute')
  then
    raise exception 'refresh_readings_mv() is open to an API role'
      using errcode = 'ML005',
        hint = 'revoke all on function public.refresh_readings_mv() from public, anon, authenticated;';
  end if;
  select string_agg(p.polcmd::text || p.polpermissive::text, '') into v_list
  from pg_policy as p where p.polrelid = 'ledger.readings'::regclass;
  if v_list is distinct from 'rtrue' then
    raise exception 'the policies of ledger.readings are not the one for select'
      using errcode = 'ML005', hint = 'Compare pg_policies with the migration.';
  end if;
  if not exists (
    select from pg_index as i
    where i.indexrelid = to_regclass('ledger.readings_newest') and i.indisvalid
  ) then
    raise exception 'index readings_newest is missing or invalid'
      using errcode = 'ML005', hint = 'create index readings_newest on ledger.readings '
        '(user_id, date desc, created_at desc, id desc);';
  end if;

  select string_agg(n.name, ', ') into v_list
  from unnest(array[
    'token_events_project_inserts', 'token_events_project_updates', 'token_events_project_deletes'
  ]) as n (name)
  where not exists (
    select from pg_trigger as t
    where t.tgrelid = 'public.token_events'::regclass and t.tgname = n.name and t.tgenabled = 'O'
  );
  if v_list is not null then
    raise exception 'projector triggers are missing or switched off: %', v_list
      using errcode = 'ML005', hint = 'alter table public.token_events enable trigger …; then '
        'select ledger.project_everything();';
  end if;
end;
$$;
