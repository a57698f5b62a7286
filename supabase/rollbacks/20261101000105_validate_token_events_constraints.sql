-- Reverses: migrations/20261101000105_validate_token_events_constraints.sql: there is nothing to
--   undo, a constraint that was proven on all rows stays so until it is dropped.
-- Locks: none
set local lock_timeout = '5s';
