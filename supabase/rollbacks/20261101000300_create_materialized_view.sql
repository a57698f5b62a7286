-- Reverses: migrations/20261101000300_create_materialized_view.sql. What it drops is computed from
--   the events, so nothing is lost.
-- Locks: access exclusive on token_events, user_profiles and what it drops, for catalog changes
set local lock_timeout = '5s';

drop trigger if exists settings_apply_time_zone on ledger.settings;
drop trigger if exists user_profiles_erase_user on public.user_profiles;
drop trigger if exists token_events_project_deletes on public.token_events;
drop trigger if exists token_events_project_updates on public.token_events;
drop trigger if exists token_events_project_inserts on public.token_events;
drop trigger if exists token_events_take_own_turn on public.token_events;
drop view if exists public.electricity_readings_v;
drop function if exists public.refresh_readings_mv();
drop materialized view if exists public.electricity_readings_mv;
drop function if exists ledger.apply_time_zone();
drop function if exists ledger.erase_user();
drop function if exists ledger.project_everything(uuid[]);
drop function if exists ledger.project_deletes();
drop function if exists ledger.project_updates();
drop function if exists ledger.project_inserts();
drop function if exists ledger.position_before(uuid, timestamptz, timestamptz, uuid);
drop function if exists ledger.project(ledger.span[]);
drop function if exists ledger.take_own_turn();
drop function if exists ledger.take_turns(uuid[]);
drop type if exists ledger.span;
drop table if exists ledger.readings;
drop table if exists ledger.refresh_log;
drop table if exists ledger.heads;
drop function if exists ledger.reading_date(timestamptz, text);
drop function if exists ledger.time_zone();
