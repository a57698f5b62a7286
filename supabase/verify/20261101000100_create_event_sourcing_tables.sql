-- Verifies: migrations/20261101000100_create_event_sourcing_tables.sql; raises ML005 unless
--   it holds.
do $$
declare
  v_table regclass;
  v_list text;
begin
  foreach v_table in array array[
    'public.token_events', 'public.recalculation_batches'
  ]::regclass[] loop
    if not (select c.relrowsecurity from pg_class as c where c.oid = v_table) then
      raise exception 'row level security is off on %', v_table
        using errcode = 'ML005', hint = 'alter table … enable row level security;';
    end if;
    select string_agg(p.polcmd::text, '' order by p.polcmd) into v_list
    from pg_policy as p where p.polrelid = v_table;
    if v_list is distinct from 'arw' then
      raise exception 'the policies of % are not one each for select, insert and update', v_table
        using errcode = 'ML005', hint = 'Compare pg_policies with the migration.';
    end if;
    select string_agg(format('%s: %s', r.role_name, p.privilege), ', ') into v_list
    from unnest(array['anon', 'authenticated', 'service_role']) as r (role_name)
    cross join unnest(array[
      'select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'
    ]) as p (privilege)
    where has_table_privilege(r.role_name, v_table, p.privilege)
      and not (r.role_name <> 'anon' and p.privilege = 'select')
      and not (
        r.role_name <> 'anon' and p.privilege in ('insert', 'update')
        and v_table = 'public.recalculation_batches'::regclass
      );
    if v_list is not null then
      raise exception '% grants more than it should: %', v_table, v_list
        using errcode = 'ML005', hint = 'Revoke them; inserts and updates of events go by column.';
    end if;
  end loop;

  select string_agg(format('%s may write %s', r.role_name, c.column_name), ', ') into v_list
  from unnest(array['anon', 'authenticated', 'service_role']) as r (role_name)
  cross join unnest(array['reading_id', 'legacy_token_amount']) as c (column_name)
  where has_column_privilege(r.role_name, 'public.token_events', c.column_name, 'insert')
    or has_column_privilege(r.role_name, 'public.token_events', c.column_name, 'update');
  if v_list is not null then
    raise exception 'token_events: %', v_list
      using errcode = 'ML005', hint = 'Revoke it: only the migration may write this column.';
  end if;

  select string_agg(n.name, ', ') into v_list
  from (values
    ('public.token_events', 'token_events_guard_update'),
    ('public.token_events', 'token_events_guard_delete'),
    ('public.token_events', 'token_events_guard_truncate'),
    ('public.recalculation_batches', 'recalculation_batches_guard_update')
  ) as n (table_name, name)
  where not exists (
    select from pg_trigger as t
    where t.tgrelid = n.table_name::regclass and t.tgname = n.name and t.tgenabled = 'O'
  );
  if v_list is not null then
    raise exception 'append-only guards are missing or switched off: %', v_list
      using errcode = 'ML005', hint = 'alter table … enable trigger …;';
  end if;
  if exists (select from ledger.maintenance) then
    raise exception 'ledger.maintenance holds a row outside its transaction'
      using errcode = 'ML005', hint = 'delete from ledger.maintenance;';
  end if;
end;
$$;
