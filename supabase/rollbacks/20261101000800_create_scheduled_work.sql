-- Reverses: migrations/20261101000800_create_scheduled_work.sql. The record of audits and the
--   settings of the scheduled work go with it; a schedule of pg_cron is removed first, by hand.
-- Locks: access exclusive on what it drops
set local lock_timeout = '5s';

drop function if exists public.ledger_health(integer);
drop function if exists public.prune_ledger(integer);
drop function if exists public.audit_readings(text, integer);
drop function if exists public.refresh_readings(text, integer, boolean);
drop function if exists ledger.repair_user(uuid);
drop function if exists ledger.difference_cause(uuid);
drop function if exists ledger.users_to_audit(boolean);
drop function if exists ledger.switch_projector_on(text[]);
drop function if exists ledger.refresh_reason(integer);
drop function if exists ledger.mark_refreshed(uuid[], bigint[]);
drop function if exists ledger.unrefreshed_users();
drop function if exists ledger.lost_rows(xid);
drop function if exists ledger.projector_triggers_off(boolean);
drop function if exists ledger.users_after(uuid, bigint);
drop function if exists ledger.next_user(uuid);
drop function if exists ledger.mv_differences(uuid[]);
drop function if exists ledger.projection_differences(uuid[]);
drop table if exists ledger.audit_differences;
drop table if exists ledger.audits;
drop table if exists ledger.audit_marks;
drop table if exists ledger.refresh_marks;
drop table if exists ledger.work_state;
drop table if exists ledger.work_settings;
