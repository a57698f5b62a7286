-- Verifies: migrations/20261101000101_index_token_events_key.sql; raises ML005 unless it holds.
do $$
begin
  if not exists (
    select from pg_index as i
    where i.indexrelid = to_regclass('public.token_events_tenant_pkey') and i.indisvalid
  ) then
    raise exception 'index token_events_tenant_pkey is missing or invalid'
      using errcode = 'ML005',
        hint = 'reindex index concurrently public.token_events_tenant_pkey; or push again.';
  end if;
end;
$$;
