-- Reverses: migrations/20261101000101_index_token_events_key.sql: drops the index of the
--   tenant-safe key; the rollback of the key swap comes first.
-- Locks: share update exclusive on token_events: reads and writes go on; alone in its file, since
--   CONCURRENTLY cannot share a transaction
drop index concurrently if exists public.token_events_tenant_pkey;
