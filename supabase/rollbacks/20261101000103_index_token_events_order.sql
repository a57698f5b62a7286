-- Reverses: migrations/20261101000103_index_token_events_order.sql:
--   drops the index of a user's counted events in order.
-- Locks: share update exclusive on token_events: reads and writes go on; alone in its file, since
--   CONCURRENTLY cannot share a transaction
drop index concurrently if exists public.token_events_order;
