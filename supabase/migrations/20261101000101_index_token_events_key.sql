-- Purpose: phase 1, the index that becomes the tenant-safe key, built beside running writers.
-- Objects: index token_events_tenant_pkey
-- Locks: share update exclusive on token_events: reads and writes go on. A statement that runs
--   CONCURRENTLY cannot share a transaction, so this file holds nothing else (no lock_timeout).
-- Rollback: rollbacks/20261101000101_index_token_events_key.sql
-- A lock_timeout cannot share the file; the lock lets reads and writes go on.
-- squawk-ignore require-lock-timeout
create unique index concurrently if not exists token_events_tenant_pkey
on public.token_events (user_id, id);
