-- Verifies: migrations/20261101000400_install_data_migration.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
begin
  select string_agg(p.problem, '; ') into v_list
  from ledger.migration_problems() as p
  where p.problem not like '%time zone is not confirmed%'
    and p.problem not like 'electricity_readings is a view:%';
  if v_list is not null then
    raise exception '%', v_list
      using errcode = 'ML005', hint = 'select * from ledger.migration_problems();';
  end if;
  select string_agg(distinct format('%s on %s', r.role_name, c.oid::regclass), ', ') into v_list
  from pg_class as c
  cross join unnest(array['anon', 'authenticated', 'service_role']) as r (role_name)
  where c.relnamespace = 'ledger'::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
    -- A user's own rows in both; the files that make them verify what is granted.
    and c.oid <> 'ledger.readings'::regclass
    and c.oid is distinct from to_regclass('ledger.event_calls')
    and (
      has_table_privilege(
        r.role_name, c.oid, 'select, insert, update, delete, truncate, references, trigger'
      )
      or has_any_column_privilege(r.role_name, c.oid, 'select, insert, update, references')
    );
  if v_list is not null then
    raise exception 'private tables are open to an API role: %', v_list
      using errcode = 'ML005', hint = 'revoke all on … from public, anon, authenticated, service_role;';
  end if;
  select string_agg(n.name, ', ') into v_list
  from unnest(array[
    'electricity_readings_sync_inserts', 'electricity_readings_sync_updates',
    'electricity_readings_sync_deletes', 'token_events_void_survivors', 'settings_keep_time_zone'
  ]) as n (name)
  where not exists (
    select from pg_trigger as t
    where t.tgname = n.name
      -- Nothing writes to the archived table, and nothing may follow what a cutback merges there.
      and t.tgenabled = case
        when t.tgrelid = to_regclass('ledger.electricity_readings_archive') then 'D' else 'O'
      end
  );
  if v_list is not null then
    raise exception 'triggers are missing or switched off: %', v_list
      using errcode = 'ML005', hint = 'Push the migrations again, or enable the triggers.';
  end if;
end;
$$;
