-- Reverses: migrations/20261101000500_record_operations.sql. What operators decided and the
--   receipts are a record of what was, and go with it.
-- Locks: share row exclusive on electricity_readings and token_events, access exclusive on
--   ledger.migration_rejects: writers wait for a moment, for catalog changes
set local lock_timeout = '5s';

-- First where writers begin: who has the rejects already is let finish, so no ring forms.
do $$
begin
  lock table public.electricity_readings, public.token_events in share row exclusive mode;
end;
$$;

drop view if exists ledger.open_matches;
drop table if exists ledger.reviewed_matches;
drop table if exists ledger.receipts;
alter table if exists ledger.migration_rejects
  drop column if exists waived_at,
  drop column if exists waived_by,
  drop column if exists waived_reason;
