-- Purpose: what operators do is on record in the database itself: the receipts of proven rollouts,
--   and what a person decided about rejected rows and near matches.
-- Objects: columns waived_* of ledger.migration_rejects; tables ledger.receipts,
--   ledger.reviewed_matches; view ledger.open_matches. What its rollback had set aside comes back.
-- Locks: share row exclusive on electricity_readings and token_events, access exclusive on
--   ledger.migration_rejects: writers wait for a moment, for catalog changes
-- Rollback: rollbacks/20261101000500_record_operations.sql
set local lock_timeout = '5s';

-- First where writers begin: who has the rejects already is let finish, so no ring forms.
do $$
begin
  lock table public.electricity_readings, public.token_events in share row exclusive mode;
end;
$$;

alter table ledger.migration_rejects
  add column if not exists waived_at timestamptz,
  add column if not exists waived_by text,
  add column if not exists waived_reason text;
comment on column ledger.migration_rejects.waived_at is
  'When a person decided that this row need not become an event; null: it is still to be decided';

create table if not exists ledger.receipts (
  receipt_id bigint generated always as identity primary key,
  environment text not null,
  body jsonb not null,
  signature text not null,
  made_by text not null default session_user,
  made_at timestamptz not null default now()
);
comment on table ledger.receipts is
  'What a rollout of this database was proven to be: checksums, fingerprint, results, signed';

create table if not exists ledger.reviewed_matches (
  user_id uuid not null,
  event_id uuid not null,
  reading_id uuid not null,
  decision text not null check (decision in ('both', 'merged')),
  reason text not null,
  decided_by text not null default session_user,
  decided_at timestamptz not null default now(),
  primary key (user_id, event_id, reading_id)
);
comment on table ledger.reviewed_matches is
  'Near matches that a person has looked at: both are facts, or the event was voided as the same';

create or replace view ledger.open_matches with (security_invoker = true) as
select m.* -- noqa: AM04
from ledger.near_matches as m
where not exists (
  select from ledger.reviewed_matches as r
  where r.user_id = m.user_id and r.event_id = m.event_id and r.reading_id = m.reading_id
    -- A merge that was undone leaves the pair open again.
    and r.decision = 'both'
);
comment on view ledger.open_matches is 'Near matches that nobody has decided about yet';

alter table ledger.receipts enable row level security;
alter table ledger.reviewed_matches enable row level security;
revoke all on table ledger.receipts, ledger.reviewed_matches, ledger.open_matches
from public, anon, authenticated, service_role;
revoke all on sequence ledger.receipts_receipt_id_seq
from public, anon, authenticated, service_role;

-- Receipts keep their numbers, which commands and people may have noted.
with back as (
  insert into ledger.receipts overriding system value
  select r.* -- noqa: AM04
  from ledger.set_aside as a
  cross join lateral jsonb_populate_record(null::ledger.receipts, a.row_data) as r
  where a.kind = 'receipt' and a.settled_at is null
  on conflict (receipt_id) do nothing
  returning receipt_id
)

update ledger.set_aside as a
set settled_at = now()
from back as b
where a.kind = 'receipt' and a.settled_at is null
  and (a.row_data ->> 'receipt_id')::bigint = b.receipt_id;
select setval(pg_get_serial_sequence('ledger.receipts', 'receipt_id'), max(r.receipt_id))
from ledger.receipts as r
having max(r.receipt_id) >= (select s.last_value from ledger.receipts_receipt_id_seq as s);
with back as (
  insert into ledger.reviewed_matches
  select r.* -- noqa: AM04
  from ledger.set_aside as a
  cross join lateral jsonb_populate_record(null::ledger.reviewed_matches, a.row_data) as r
  where a.kind = 'reviewed match' and a.settled_at is null
  on conflict (user_id, event_id, reading_id) do nothing
  returning user_id, event_id, reading_id
)

update ledger.set_aside as a
set settled_at = now()
from back as b
where a.kind = 'reviewed match' and a.settled_at is null and a.user_id = b.user_id
  and a.row_data ->> 'event_id' = b.event_id::text
  and a.row_data ->> 'reading_id' = b.reading_id::text;
