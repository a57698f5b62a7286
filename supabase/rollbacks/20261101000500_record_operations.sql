-- Reverses: migrations/20261101000500_record_operations.sql. What operators decided and the
--   receipts are a record of what was, and go with it.
-- Locks: access exclusive on ledger.settings and ledger.migration_rejects, for catalog changes only
set local lock_timeout = '5s';

drop view if exists ledger.open_matches;
drop table if exists ledger.reviewed_matches;
drop table if exists ledger.receipts;
alter table if exists ledger.migration_rejects
  drop column if exists waived_at,
  drop column if exists waived_by,
  drop column if exists waived_reason;
alter table if exists ledger.settings
  drop column if exists environment;
