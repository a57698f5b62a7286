-- Reverses: migrations/20261101000401_migrate_data.sql: removes exactly what was migrated, un-voids
--   exactly what was merged, sets aside what points at either (ledger.set_aside names it), and
--   keeps every event written since. Forward sync stays on until its own phase is rolled back.
-- Locks: the migrated users' rows in ledger.heads until the end; readers never wait
set local lock_timeout = '5s';
set local statement_timeout = 0;

select ledger.undo_data_migration();
