-- Verifies: migrations/20261101000104_use_tenant_safe_keys.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
begin
  select string_agg(format('%s on %s', c.conname, c.conrelid::regclass), ', ') into v_list
  from pg_constraint as c
  where c.conrelid in ('public.token_events'::regclass, 'public.recalculation_batches'::regclass)
    and c.contype in ('p', 'u', 'f')
    and not c.conkey @> array[(
      select a.attnum from pg_attribute as a
      where a.attrelid = c.conrelid and a.attname = 'user_id'
    )];
  if v_list is not null then
    raise exception 'keys without user_id: %', v_list
      using errcode = 'ML005', hint = 'Every key of a tenant table carries user_id.';
  end if;
  if (
    select count(*) from pg_constraint
    where conname in (
      'token_events_tenant_pkey', 'recalculation_batches_tenant_pkey',
      'token_events_void_of_event_tenant_fkey'
    )
  ) <> 3 then
    raise exception 'a tenant-safe key is missing'
      using errcode = 'ML005', hint = 'Push the migrations again.';
  end if;
end;
$$;
