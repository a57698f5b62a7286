-- Reverses: migrations/20261101000700_create_event_calls.sql. The events and recalculations that
--   the calls wrote stay, with their idempotency keys; which answer a key had is forgotten.
-- Locks: access exclusive on ledger.event_calls and user_profiles, for catalog changes
set local lock_timeout = '5s';

drop function if exists public.rollback_recalculation(uuid, text, text);
drop function if exists public.recalculate(uuid, text);
drop function if exists public.preview_backdate(text, numeric, timestamptz, numeric);
drop function if exists public.replace_event(uuid, jsonb, text, text);
drop function if exists public.void_event(uuid, text, text);
drop function if exists public.record_event(
  text, numeric, timestamptz, numeric, text, text, numeric, jsonb, text
);
drop function if exists ledger.write_batch(
  uuid, text, uuid, timestamptz, timestamptz, uuid[], uuid[]
);
do $$
begin
  -- Functions that take a row of token_events can be named only while the table is there.
  if to_regclass('public.token_events') is not null then
    drop function if exists ledger.apply_change(uuid, text, public.token_events, uuid, text);
    drop function if exists ledger.is_back_dated(public.token_events);
    drop function if exists ledger.event_again(public.token_events, text);
    drop function if exists ledger.refuse_impossible(public.token_events);
    drop function if exists ledger.affected_events(timestamptz, timestamptz, uuid[], uuid[]);
    drop function if exists ledger.position_changes(
      timestamptz, timestamptz, uuid[], uuid[], public.token_events
    );
    drop function if exists ledger.positions_if(
      timestamptz, timestamptz, uuid[], uuid[], public.token_events
    );
  end if;
end;
$$;
drop function if exists ledger.told_event(uuid);
drop function if exists ledger.find_event(uuid);
drop function if exists ledger.void_event_of(uuid);
drop function if exists ledger.new_event(text, numeric, timestamptz, numeric);
drop function if exists ledger.finish_call(text, text, jsonb, jsonb);
drop function if exists ledger.begin_call(text, text, jsonb);
drop table if exists ledger.event_calls;
