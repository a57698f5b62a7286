-- Verifies: migrations/20261101000200_create_position_calculation_function.sql; raises ML005 unless
--   it holds.
do $$
declare
  v_function regprocedure := to_regprocedure('public.calculate_user_positions(uuid)');
begin
  if v_function is null then
    raise exception 'calculate_user_positions(uuid) is missing'
      using errcode = 'ML005', hint = 'Push the migrations again.';
  end if;
  if (select p.prosecdef from pg_proc as p where p.oid = v_function) then
    raise exception 'calculate_user_positions(uuid) runs with its owner''s rights: it would leak'
      using errcode = 'ML005', hint = 'alter function … security invoker;';
  end if;
  if has_function_privilege('anon', v_function, 'execute')
    or not has_function_privilege('authenticated', v_function, 'execute')
  then
    raise exception 'calculate_user_positions(uuid) is granted wrongly'
      using errcode = 'ML005', hint = 'Revoke from public and anon, grant to authenticated.';
  end if;
end;
$$;
