-- Verifies: migrations/20261101000000_baseline.sql; raises ML005 unless it holds.
do $$
declare
  v_name text;
begin
  foreach v_name in array array[
    'public.user_profiles', 'public.electricity_readings', 'ledger.settings', 'ledger.deployments',
    'ledger.found_objects', 'ledger.set_aside'
  ] loop
    if to_regclass(v_name) is null then
      raise exception '% is missing', v_name
        using errcode = 'ML005', hint = 'Push the migrations again.';
    end if;
    -- A view has none of its own: after the cutover it is the projection's that counts.
    if exists (
      select from pg_class as c
      where c.oid = to_regclass(v_name) and c.relkind <> 'v' and not c.relrowsecurity
    ) then
      raise exception 'row level security is off on %', v_name
        using errcode = 'ML005', hint = 'alter table … enable row level security;';
    end if;
  end loop;
  if (select count(*) from ledger.settings) <> 1 then
    raise exception 'ledger.settings does not hold its one row' using errcode = 'ML005';
  end if;
  if has_schema_privilege('anon', 'ledger', 'usage')
    or has_schema_privilege('authenticated', 'ledger', 'create')
  then
    raise exception 'schema ledger is open to an API role'
      using errcode = 'ML005', hint = 'revoke all on schema ledger from anon; and create from all.';
  end if;
end;
$$;
