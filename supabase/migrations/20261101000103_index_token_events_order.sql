-- Purpose: phase 1, a user's counted events in their order, with all that a position needs.
-- Objects: index token_events_order
-- Locks: share update exclusive on token_events: reads and writes go on. Alone in its file, since
--   CONCURRENTLY cannot share a transaction.
-- Rollback: rollbacks/20261101000103_index_token_events_order.sql
-- A lock_timeout cannot share the file; the lock lets reads and writes go on.
-- squawk-ignore require-lock-timeout
create index concurrently if not exists token_events_order
on public.token_events (user_id, event_date, created_at, id)
include (event_type, kwh_amount, observed_kwh)
where not is_voided and event_type <> 'VOID';
