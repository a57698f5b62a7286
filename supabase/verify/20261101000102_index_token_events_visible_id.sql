-- Verifies: migrations/20261101000102_index_token_events_visible_id.sql; raises ML005 unless
--   it holds.
do $$
begin
  if not exists (
    select from pg_index as i
    where i.indexrelid = to_regclass('public.token_events_visible_id') and i.indisvalid
  ) then
    raise exception 'index token_events_visible_id is missing or invalid'
      using errcode = 'ML005',
        hint = 'reindex index concurrently public.token_events_visible_id; or push again.';
  end if;
end;
$$;
