-- Verifies: migrations/20261101000701_guard_direct_writes.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
begin
  select string_agg(n.name, ', ') into v_list
  from (values
    ('token_events_guard_insert', 'ledger.guard_direct_insert()'),
    ('token_events_guard_void', 'ledger.guard_direct_void()')
  ) as n (name, calls)
  where not exists (
    select from pg_trigger as t
    where t.tgrelid = 'public.token_events'::regclass and t.tgname = n.name
      and t.tgenabled in ('O', 'A') and t.tgfoid = to_regprocedure(n.calls)
  );
  if v_list is not null then
    raise exception 'guards of direct writes are missing or switched off: %', v_list
      using errcode = 'ML005', hint = 'alter table public.token_events enable trigger …;';
  end if;

  -- With the owner's rights they would take every caller for the owner, and bind nobody.
  select string_agg(p.oid::regprocedure::text, ', ') into v_list
  from pg_proc as p
  where p.pronamespace = 'ledger'::regnamespace and p.prosecdef
    and p.proname in ('guard_direct_insert', 'guard_direct_void');
  if v_list is not null then
    raise exception 'a guard runs with its owner''s rights and binds nobody: %', v_list
      using errcode = 'ML005', hint = 'alter function … security invoker;';
  end if;
end;
$$;
