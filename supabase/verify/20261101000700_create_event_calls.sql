-- Verifies: migrations/20261101000700_create_event_calls.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
begin
  select string_agg(n.name, ', ') into v_list
  from unnest(array[
    'public.record_event(text,numeric,timestamptz,numeric,text,text,numeric,jsonb,text)',
    'public.void_event(uuid,text,text)', 'public.replace_event(uuid,jsonb,text,text)',
    'public.preview_backdate(text,numeric,timestamptz,numeric)', 'public.recalculate(uuid,text)',
    'public.rollback_recalculation(uuid,text,text)'
  ]) as n (name)
  where to_regprocedure(n.name) is null;
  if v_list is not null or to_regclass('ledger.event_calls') is null then
    raise exception 'calls are missing: %', coalesce(v_list, 'ledger.event_calls')
      using errcode = 'ML005', hint = 'Push the migrations again.';
  end if;

  select string_agg(p.oid::regprocedure::text, ', ') into v_list
  from pg_proc as p
  where p.prosecdef and p.pronamespace in ('public'::regnamespace, 'ledger'::regnamespace)
    and p.proname in (
      'record_event', 'void_event', 'replace_event', 'preview_backdate', 'recalculate',
      'rollback_recalculation', 'begin_call', 'finish_call', 'refuse_impossible', 'new_event',
      'event_again', 'void_event_of', 'find_event', 'is_back_dated', 'positions_if', 'position_changes',
      'affected_events', 'told_event', 'apply_change', 'write_batch'
    );
  if v_list is not null then
    raise exception 'a call runs with its owner''s rights, so row level security is no bound: %',
      v_list
      using errcode = 'ML005', hint = 'alter function … security invoker;';
  end if;

  select string_agg(format('%s by %s', p.oid::regprocedure, r.role_name), ', ') into v_list
  from pg_proc as p
  cross join unnest(array['anon', 'authenticated', 'service_role']) as r (role_name)
  where p.pronamespace = 'public'::regnamespace
    and p.proname in (
      'record_event', 'void_event', 'replace_event', 'preview_backdate', 'recalculate',
      'rollback_recalculation'
    )
    and has_function_privilege(r.role_name, p.oid, 'execute') <> (r.role_name = 'authenticated');
  if v_list is not null then
    raise exception 'signed-in users alone may call: %', v_list
      using errcode = 'ML005',
        hint = 'revoke all on function … from public, anon, service_role; '
          'grant execute on function … to authenticated;';
  end if;

  if not (select c.relrowsecurity from pg_class as c where c.oid = 'ledger.event_calls'::regclass)
    or has_table_privilege('anon', 'ledger.event_calls', 'select, insert, update, delete, truncate')
    or has_table_privilege('authenticated', 'ledger.event_calls', 'update, delete, truncate')
  then
    raise exception 'ledger.event_calls is open: users see and note their own calls, no more'
      using errcode = 'ML005', hint = 'Compare its grants and policies with the migration.';
  end if;
end;
$$;
