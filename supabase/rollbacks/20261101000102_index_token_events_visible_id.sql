-- Reverses: migrations/20261101000102_index_token_events_visible_id.sql:
--   drops the index of visible ids.
-- Locks: share update exclusive on token_events: reads and writes go on; alone in its file, since
--   CONCURRENTLY cannot share a transaction
drop index concurrently if exists public.token_events_visible_id;
