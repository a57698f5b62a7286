-- Verifies: migrations/20261101000600_merge_second_halves.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
begin
  select string_agg(n.trigger_name, ', ') into v_list
  from (values
    ('token_events_rename_second_half', 'ledger.rename_second_half()'),
    ('token_events_second_halves', 'ledger.merge_second_halves()')
  ) as n (trigger_name, function_name)
  where not exists (
    select from pg_trigger as t
    where t.tgname = n.trigger_name and t.tgenabled = 'O'
      and t.tgrelid = 'public.token_events'::regclass
      and t.tgfoid = to_regprocedure(n.function_name)
  );
  if v_list is not null then
    raise exception 'second halves are not merged: triggers are missing or switched off: %', v_list
      using errcode = 'ML005', hint = 'Push the migrations again, or enable the triggers.';
  end if;
end;
$$;
