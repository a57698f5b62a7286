-- Reverses: migrations/20261101000000_baseline.sql, last, if ever. Drops the schema ledger and the
--   tables that the phase made; found tables stay as they are. Stops (ML006) while anything would
--   be lost: rows in a table that it made, or rows that an earlier rollback set aside and nobody
--   settled (but for the record of runs, and for voids of events that stay themselves).
-- Locks: access exclusive on what it drops
set local lock_timeout = '5s';

do $$
declare
  v_found record;
  v_rows bigint;
begin
  select count(*) into v_rows
  from ledger.set_aside as a
  where a.settled_at is null and a.kind not in ('migration run', 'completed event');
  if v_rows > 0 then
    raise exception 'meterledger: ledger.set_aside holds % rows that exist nowhere else', v_rows
      using errcode = 'ML006', detail = 'Next: Save them (copy ledger.set_aside to a file), delete '
        'them, and roll back again.';
  end if;

  -- Found tables get back the rights that the phase took.
  for v_found in
    select f.object_name, g.value ->> 'grantee' as grantee, g.value ->> 'privilege' as privilege
    from ledger.found_objects as f
    cross join lateral jsonb_array_elements(f.definition -> 'grants') as g
    where f.object_name in ('public.user_profiles', 'public.electricity_readings')
  loop
    execute format(
      'grant %s on table %s to %s', v_found.privilege, v_found.object_name, v_found.grantee
    );
  end loop;

  if exists (
    select from ledger.found_objects as f
    where f.object_name = 'public.electricity_readings' and f.origin = 'created'
  ) then
    select count(*) into v_rows from public.electricity_readings;
    if v_rows > 0 then
      raise exception 'meterledger: electricity_readings holds % rows that exist nowhere else', v_rows
        using errcode = 'ML006', detail = 'Next: Keep the table: stop the rollback here.';
    end if;
    drop table public.electricity_readings;
  end if;

  -- A profile that nobody touched says nothing that auth.users does not.
  if exists (
    select from ledger.found_objects as f
    where f.object_name = 'public.user_profiles' and f.origin = 'created'
  ) then
    select count(*) into v_rows
    from public.user_profiles as p
    where (p.display_name, p.last_login) is distinct from (null::text, null::timestamptz)
      or (p.role, p.status) is distinct from ('user', 'active')
      or p.tariff_settings is distinct from '{"rate": 1444.70, "currency": "IDR"}';
    if v_rows > 0 then
      raise exception 'meterledger: user_profiles holds % rows that exist nowhere else', v_rows
        using errcode = 'ML006', detail = 'Next: Keep the table: stop the rollback here.';
    end if;
    -- With its trigger on auth.users, which the owner of public may make but not drop by itself.
    drop function if exists public.create_user_profile() cascade;
    drop table public.user_profiles;
  end if;
end;
$$;

drop schema ledger cascade;
