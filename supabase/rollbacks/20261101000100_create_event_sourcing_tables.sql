-- Reverses: migrations/20261101000100_create_event_sourcing_tables.sql. A table that the phase made
--   is dropped if it is empty, else the rollback stops (ML006). A found table gets its policies and
--   grants back and loses the new columns unless they hold something; amounts stay without limits,
--   since narrowing could lose digits.
-- Locks: access exclusive on token_events and recalculation_batches, for catalog changes
set local lock_timeout = '5s';

drop trigger if exists recalculation_batches_guard_update on public.recalculation_batches;
drop trigger if exists token_events_guard_truncate on public.token_events;
drop trigger if exists token_events_guard_delete on public.token_events;
drop trigger if exists token_events_guard_update on public.token_events;

do $$
declare
  v_table text;
  v_column text;
  v_found ledger.found_objects;
  v_policy jsonb;
  v_grant jsonb;
  v_rows bigint;
begin
  foreach v_table in array array['token_events', 'recalculation_batches'] loop
    select f.* into v_found
    from ledger.found_objects as f
    where f.object_name = 'public.' || v_table;
    if v_found.origin = 'created' then
      execute format('select count(*) from public.%I', v_table) into v_rows;
      if v_rows > 0 then
        raise exception 'meterledger: public.% holds % rows that exist nowhere else',
          v_table, v_rows
          using errcode = 'ML006', detail = 'Next: Keep the table: stop the rollback here.';
      end if;
      execute format('drop table public.%I', v_table);
      continue;
    end if;

    for v_policy in
      select to_jsonb(p) from pg_policies as p
      where p.schemaname = 'public' and p.tablename = v_table
    loop
      execute format('drop policy %I on public.%I', v_policy ->> 'policyname', v_table);
    end loop;
    for v_policy in select p.value from jsonb_array_elements(v_found.definition -> 'policies') as p
    loop
      execute format(
        'create policy %I on public.%I as %s for %s to %s%s%s',
        v_policy ->> 'policyname', v_table, v_policy ->> 'permissive', v_policy ->> 'cmd',
        (
          select string_agg(
            case r.value when 'public' then 'public' else quote_ident(r.value) end, ', '
          )
          from jsonb_array_elements_text(v_policy -> 'roles') as r
        ),
        coalesce(' using (' || (v_policy ->> 'qual') || ')', ''),
        coalesce(' with check (' || (v_policy ->> 'with_check') || ')', '')
      );
    end loop;

    execute format(
      'revoke all on table public.%I from public, anon, authenticated, service_role', v_table
    );
    for v_grant in select g.value from jsonb_array_elements(v_found.definition -> 'grants') as g
    loop
      execute format(
        'grant %s on table public.%I to %s',
        v_grant ->> 'privilege', v_table, v_grant ->> 'grantee'
      );
    end loop;
    update ledger.found_objects as f set definition = '{}'
    where f.object_name = v_found.object_name;
  end loop;

  if to_regclass('public.token_events') is not null then
    drop index if exists public.token_events_one_void_a_target;
    drop index if exists public.token_events_void_of_event;
    drop index if exists public.token_events_reading_id;
    alter table public.token_events
      drop constraint if exists token_events_known_type,
      drop constraint if exists token_events_finite,
      drop constraint if exists token_events_amount_by_type,
      drop constraint if exists token_events_observed_kwh,
      drop constraint if exists token_events_idempotency_key_length;
    update public.token_events as v
    set is_voided = false, voided_at = null, voided_reason = null
    where v.event_type = 'VOID' and v.is_voided and v.voided_by is null
      and v.voided_reason ~ '^repeats void [0-9a-f-]{36}$';
    foreach v_column in array array[
      'observed_kwh', 'reading_id', 'idempotency_key', 'legacy_token_amount'
    ] loop
      execute format(
        'select count(*) from public.token_events where %I is not null', v_column
      ) into v_rows;
      if v_rows = 0 then
        execute format('alter table public.token_events drop column %I', v_column);
      end if;
    end loop;
  end if;
end;
$$;

drop function if exists ledger.guard_event_update();
drop function if exists ledger.guard_event_delete();
drop function if exists ledger.guard_batch_update();
drop function if exists ledger.refuse_truncate();
drop function if exists ledger.in_maintenance();
drop table if exists ledger.maintenance;
