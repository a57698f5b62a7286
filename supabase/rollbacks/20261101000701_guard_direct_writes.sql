-- Reverses: migrations/20261101000701_guard_direct_writes.sql
-- Locks: access exclusive on token_events, for catalog changes
set local lock_timeout = '5s';

drop trigger if exists token_events_guard_void on public.token_events;
drop trigger if exists token_events_guard_insert on public.token_events;
drop function if exists ledger.guard_direct_void();
drop function if exists ledger.guard_direct_insert();
