-- Reverses: migrations/20261101000601_write_through_view.sql
-- Locks: none
set local lock_timeout = '5s';

drop function if exists ledger.delete_reading();
drop function if exists ledger.update_reading();
drop function if exists ledger.change_reading(ledger.readings, ledger.readings);
drop function if exists ledger.insert_reading();
drop function if exists ledger.check_reading_rights();
drop function if exists ledger.remove_reading(uuid, uuid, text);
drop function if exists ledger.record_reading(public.token_events, uuid, text);
drop function if exists ledger.reading_as_event(ledger.readings);
drop function if exists ledger.is_cut_over();
drop function if exists ledger.refuse_taken_id(uuid);
drop function if exists ledger.check_unique_reading(jsonb, uuid);
drop function if exists ledger.check_owner(uuid);
drop function if exists ledger.check_reading(jsonb);
drop function if exists ledger.refuse_reading(text, text, text, text, text);
