-- Reverses: migrations/20261101000600_merge_second_halves.sql. What was merged stays merged, in the
--   list of phase 4, whose rollback un-voids it.
-- Locks: access exclusive on token_events, to drop the triggers
set local lock_timeout = '5s';

drop trigger if exists token_events_second_halves on public.token_events;
drop trigger if exists token_events_rename_second_half on public.token_events;
drop function if exists ledger.merge_second_halves();
drop function if exists ledger.rename_second_half();
