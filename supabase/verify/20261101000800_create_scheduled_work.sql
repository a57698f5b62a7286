-- Verifies: migrations/20261101000800_create_scheduled_work.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
begin
  select string_agg(n.name, ', ') into v_list
  from unnest(array[
    'public.refresh_readings(text, integer, boolean)', 'public.audit_readings(text, integer)',
    'public.prune_ledger(integer)', 'public.ledger_health(integer)'
  ]) as n (name)
  where to_regprocedure(n.name) is null;
  if v_list is not null then
    raise exception 'functions of the scheduled work are missing: %', v_list
      using errcode = 'ML005', hint = 'Push the migrations again.';
  end if;
  select string_agg(format('%s for %s', n.name, r.role_name), ', ') into v_list
  from unnest(array[
    'public.refresh_readings(text, integer, boolean)', 'public.audit_readings(text, integer)',
    'public.prune_ledger(integer)', 'public.ledger_health(integer)'
  ]) as n (name)
  cross join unnest(array['anon', 'authenticated']) as r (role_name)
  where has_function_privilege(r.role_name, n.name, 'execute');
  if v_list is not null then
    raise exception 'the scheduled work is open to an API role: %', v_list
      using errcode = 'ML005',
        hint = 'revoke all on function … from public, anon, authenticated;';
  end if;
  select string_agg(format('%s on %s', r.role_name, t.name), ', ') into v_list
  from unnest(array['anon', 'authenticated', 'service_role']) as r (role_name)
  cross join unnest(array[
    'ledger.work_settings', 'ledger.work_state', 'ledger.refresh_marks', 'ledger.audit_marks',
    'ledger.audits', 'ledger.audit_differences'
  ]) as t (name)
  where has_table_privilege(
    r.role_name, t.name, 'select, insert, update, delete, truncate, references, trigger'
  );
  if v_list is not null then
    raise exception 'an API role holds a grant that it must not have: %', v_list
      using errcode = 'ML005', hint = 'revoke all on … from …;';
  end if;
  if not exists (select from ledger.work_settings)
    or not exists (select from ledger.work_state)
  then
    raise exception 'the settings or the state of the scheduled work are gone'
      using errcode = 'ML005', hint = 'insert into ledger.work_settings default values; insert '
        'into ledger.work_state default values;';
  end if;
end;
$$;
