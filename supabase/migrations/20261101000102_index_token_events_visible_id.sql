-- Purpose: phase 1, one visible id a user and counted event: a forged row fails here, at its own
--   insert, instead of breaking everybody's refresh.
-- Objects: index token_events_visible_id, over exactly the rows that the views show
-- Locks: share update exclusive on token_events: reads and writes go on. Alone in its file, since
--   CONCURRENTLY cannot share a transaction.
-- Rollback: rollbacks/20261101000102_index_token_events_visible_id.sql
-- A lock_timeout cannot share the file; the lock lets reads and writes go on.
-- squawk-ignore require-lock-timeout
create unique index concurrently if not exists token_events_visible_id
on public.token_events (user_id, (coalesce(reading_id, id)))
where not is_voided and event_type <> 'VOID';
