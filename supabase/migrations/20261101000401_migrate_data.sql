-- Purpose: phase 4, second file: moves the legacy readings into events, proves that the books
--   balance and that the view gives every row back, in one transaction; raises otherwise.
--   With the custom setting ledger.defer_backfill = on, or ledger.settings.defer_backfill, the data
--   is left to batches.
-- Objects: rows of public.token_events, ledger.migrated_readings, ledger.migration_rejects,
--   ledger.merges, ledger.amended_events, ledger.migration_runs
-- Locks: the users' rows in ledger.heads until the end, so writers of users who have legacy rows
--   wait: defer on a database that cannot pause for it. Readers never wait.
-- Rollback: rollbacks/20261101000401_migrate_data.sql
set local lock_timeout = '5s';
set local statement_timeout = 0;

do $$
begin
  update ledger.settings
  set time_zone = coalesce(
    nullif(current_setting('ledger.time_zone', true), ''), time_zone
  );
  if coalesce(nullif(current_setting('ledger.defer_backfill', true), ''), 'off')::boolean
    or (select s.defer_backfill from ledger.settings as s)
  then
    return;
  end if;
  perform ledger.migrate_data();
end;
$$;
