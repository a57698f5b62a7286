-- Reverses: migrations/20261101000500_record_operations.sql. The receipts and what was decided
--   about near matches are set aside, whole; the phase brings them back when it is applied again.
-- Locks: share row exclusive on electricity_readings and token_events, access exclusive on
--   ledger.migration_rejects: writers wait for a moment, for catalog changes
set local lock_timeout = '5s';

-- First where writers begin: who has the rejects already is let finish, so no ring forms.
do $$
begin
  lock table public.electricity_readings, public.token_events in share row exclusive mode;
end;
$$;

do $$
begin
  if to_regclass('ledger.receipts') is not null then
    insert into ledger.set_aside (kind, reason, row_data)
    select 'receipt', 'phase 5 was rolled back', to_jsonb(r) from ledger.receipts as r;
  end if;
  if to_regclass('ledger.reviewed_matches') is not null then
    insert into ledger.set_aside (user_id, kind, reason, row_data)
    select r.user_id, 'reviewed match', 'phase 5 was rolled back', to_jsonb(r)
    from ledger.reviewed_matches as r;
  end if;
end;
$$;
drop view if exists ledger.open_matches;
drop table if exists ledger.reviewed_matches;
drop table if exists ledger.receipts;
alter table if exists ledger.migration_rejects
  drop column if exists waived_at,
  drop column if exists waived_by,
  drop column if exists waived_reason;
