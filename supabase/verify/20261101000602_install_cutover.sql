-- Verifies: migrations/20261101000602_install_cutover.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
begin
  select string_agg(n.name, ', ') into v_list
  from unnest(array[
    'ledger.is_cut_over()', 'ledger.cut_over(text[])', 'ledger.prepare_cutback(int)',
    'ledger.cut_back(bigint)', 'ledger.contract()'
  ]) as n (name)
  where to_regprocedure(n.name) is null;
  if v_list is not null then
    raise exception 'functions of the cutover are missing: %', v_list
      using errcode = 'ML005', hint = 'Push the migrations again.';
  end if;
  select string_agg(format('%s on %s', r.role_name, t.name), ', ') into v_list
  from unnest(array['anon', 'authenticated', 'service_role']) as r (role_name)
  cross join unnest(array['ledger.cutovers', 'ledger.cutback_marks']) as t (name)
  where has_table_privilege(
    r.role_name, t.name, 'select, insert, update, delete, truncate, references, trigger'
  );
  if v_list is not null then
    raise exception 'an API role holds a grant that it must not have: %', v_list
      using errcode = 'ML005', hint = 'revoke all on … from …;';
  end if;
  -- The switch is whole, whichever way it stands.
  if ledger.is_cut_over() <> (to_regclass('ledger.electricity_readings_archive') is not null)
    or ledger.is_cut_over() <> exists (
      select from ledger.cutovers as c where c.cut_back_at is null
    )
  then
    raise exception 'electricity_readings, its archive and ledger.cutovers disagree'
      using errcode = 'ML005', hint = 'Restore what was renamed or dropped by hand.';
  end if;
end;
$$;
