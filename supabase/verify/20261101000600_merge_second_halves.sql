-- Verifies: migrations/20261101000600_merge_second_halves.sql; raises ML005 unless it holds.
do $$
begin
  if not exists (
    select from pg_trigger as t
    where t.tgname = 'token_events_second_halves' and t.tgenabled = 'O'
      and t.tgrelid = 'public.token_events'::regclass
      and t.tgfoid = to_regprocedure('ledger.merge_second_halves()')
  ) then
    raise exception 'second halves of dual-written facts are not merged: the trigger is missing'
      using errcode = 'ML005', hint = 'Push the migrations again, or enable the trigger.';
  end if;
end;
$$;
