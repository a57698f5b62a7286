-- Verifies: migrations/20261101000105_validate_token_events_constraints.sql; raises ML005 unless it
--   holds.
do $$
declare
  v_list text;
begin
  select string_agg(c.conname, ', ') into v_list
  from pg_constraint as c
  where c.conrelid = 'public.token_events'::regclass and not c.convalidated;
  if v_list is not null then
    raise exception 'constraints were not validated: %', v_list
      using errcode = 'ML005', hint = 'alter table public.token_events validate constraint …;';
  end if;
end;
$$;
