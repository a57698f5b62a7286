-- Reverses: migrations/20261101000400_install_data_migration.sql, with whatever live writes were
--   synced since the data migration was undone. The record of runs is set aside, whole.
-- Locks: share row exclusive, then access exclusive, on electricity_readings and token_events
set local lock_timeout = '5s';
set local statement_timeout = 0;

lock table public.electricity_readings, public.token_events in share row exclusive mode;
select ledger.undo_data_migration();
drop trigger if exists electricity_readings_refuse_truncate on public.electricity_readings;
drop trigger if exists electricity_readings_sync_deletes on public.electricity_readings;
drop trigger if exists electricity_readings_sync_updates on public.electricity_readings;
drop trigger if exists electricity_readings_sync_inserts on public.electricity_readings;
drop trigger if exists settings_keep_time_zone on ledger.settings;
drop trigger if exists token_events_void_survivors on public.token_events;

insert into ledger.set_aside (kind, reason, row_data)
select 'migration run', 'phase 4 was rolled back', to_jsonb(m) from ledger.migration_runs as m;

drop function if exists ledger.keep_time_zone();
drop function if exists ledger.void_survivors();
drop function if exists ledger.sync_deletes();
drop function if exists ledger.sync_updates();
drop function if exists ledger.sync_inserts();
drop function if exists ledger.void_readings(uuid[], uuid[]);
drop function if exists ledger.undo_data_migration();
drop function if exists ledger.undo_users(bigint, uuid[]);
drop function if exists ledger.start_undo();
drop function if exists ledger.migrate_data(int);
drop function if exists ledger.finish_migration(bigint);
drop function if exists ledger.start_migration();
drop function if exists ledger.migration_differences();
drop function if exists ledger.migration_problems();
drop function if exists ledger.migrate_users(bigint, uuid[]);
drop function if exists ledger.migrate_readings(uuid[], bigint, boolean);
drop function if exists ledger.apply_set_aside(bigint, uuid[], uuid[]);
drop function if exists ledger.amend_namesakes(uuid[], bigint);
drop view if exists ledger.unsettled;
drop view if exists ledger.near_matches;
drop view if exists ledger.pending_readings;
drop view if exists ledger.mapped_readings;
drop table if exists ledger.amended_events;
drop table if exists ledger."merges";
drop table if exists ledger.migration_rejects;
drop table if exists ledger.migrated_readings;
drop table if exists ledger.migration_runs;
