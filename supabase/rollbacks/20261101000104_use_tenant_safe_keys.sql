-- Reverses: migrations/20261101000104_use_tenant_safe_keys.sql: the found tables get their keys of
--   id alone back. Stops (ML006) where two users' rows share an id, which such a key cannot hold.
-- Locks: access exclusive on token_events and recalculation_batches, while the old key's index is
--   built
set local lock_timeout = '5s';

alter table public.token_events drop constraint if exists token_events_void_of_event_tenant_fkey;
alter table public.token_events drop constraint if exists token_events_user_profile_fkey;
alter table public.token_events drop constraint if exists token_events_tenant_pkey;
alter table public.recalculation_batches
drop constraint if exists recalculation_batches_tenant_pkey;

do $$
declare
  v_key record;
  v_shared text;
begin
  select string_agg(x.id::text, ', ') into v_shared
  from (
    select e.id from public.token_events as e
    where exists (
      select from ledger.found_objects as f
      where f.object_name = 'public.token_events' and f.definition ? 'keys'
    )
    group by e.id having count(*) > 1 limit 20
  ) as x;
  if v_shared is not null then
    raise exception 'meterledger: a key of id alone cannot hold events of several users: %',
      v_shared
      using errcode = 'ML006', detail = 'Next: Stop the rollback here: the tenant-safe key stays.';
  end if;

  for v_key in
    select f.object_name, k.value ->> 'name' as name, k.value ->> 'as' as definition
    from ledger.found_objects as f
    cross join lateral jsonb_array_elements(f.definition -> 'keys') as k
    order by k.value ->> 'as' like 'FOREIGN KEY%'
  loop
    execute format(
      'alter table %s add constraint %I %s', v_key.object_name, v_key.name, v_key.definition
    );
  end loop;
  update ledger.found_objects as f set definition = f.definition - 'keys';
end;
$$;
