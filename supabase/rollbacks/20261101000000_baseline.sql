-- Reverses: migrations/20261101000000_baseline.sql, last, if ever. Drops the schema ledger and the
--   tables that the phase made; found tables stay as they are. Stops (ML006) while anything would
--   be lost: rows in a table that it made, or rows that an earlier rollback set aside (but for the
--   record of runs).
-- Locks: access exclusive on what it drops
set local lock_timeout = '5s';

do $$
declare
  v_table text;
  v_rows bigint;
begin
  select count(*) into v_rows from ledger.set_aside as a where a.kind <> 'migration run';
  if v_rows > 0 then
    raise exception 'meterledger: ledger.set_aside holds % rows that exist nowhere else', v_rows
      using errcode = 'ML006', detail = 'Next: Save them (copy ledger.set_aside to a file), delete '
        'them, and roll back again.';
  end if;
  foreach v_table in array array['public.electricity_readings', 'public.user_profiles'] loop
    if (select f.origin from ledger.found_objects as f where f.object_name = v_table) <> 'created'
    then
      continue;
    end if;
    if v_table = 'public.electricity_readings' then
      execute format('select count(*) from %s', v_table) into v_rows;
      if v_rows > 0 then
        raise exception 'meterledger: % holds % rows that exist nowhere else', v_table, v_rows
          using errcode = 'ML006', detail = 'Next: Keep the table: stop the rollback here.';
      end if;
    else
      -- With its trigger on auth.users, which the owner of public may make but not drop by itself.
      drop function if exists public.create_user_profile() cascade;
    end if;
    execute format('drop table %s', v_table);
  end loop;
end;
$$;

drop schema ledger cascade;
