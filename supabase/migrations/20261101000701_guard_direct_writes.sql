-- Purpose: what clients write directly, without the calls, keeps the ledger consistent too: one
--   void an event, no void of a void, no VOID event without its target, nothing from the future.
-- Objects: ledger.guard_direct_insert(), ledger.guard_direct_void(); triggers
--   token_events_guard_insert, token_events_guard_void
-- Locks: share row exclusive on token_events, to create triggers
-- Rollback: rollbacks/20261101000701_guard_direct_writes.sql
set local lock_timeout = '5s';

-- Only the API's roles are bound. The migration and the forward sync write as the owner, whoever's
-- request they serve, and bring what the legacy app allowed: readings with future dates. A role is
-- nothing that a client could claim. Runs as its caller: the look-ups see what the caller sees.
create or replace function ledger.guard_direct_insert()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_type text;
begin
  if current_user not in ('authenticated', 'service_role', 'anon') then
    return new;
  end if;
  if new.event_type is distinct from 'VOID' then
    if new.event_date > now() + interval '1 day'
      or (new.event_type = 'TOPUP' and new.kwh_amount <= 0)
    then
      perform ledger.refuse_impossible(new);
    end if;
    return new;
  end if;

  -- Another's row is row level security's to refuse, in its own words.
  if current_user = 'authenticated' and new.user_id is distinct from auth.uid() then
    return new;
  end if;
  perform ledger.refuse_impossible(new);
  select e.event_type into v_type
  from public.token_events as e
  where e.user_id = new.user_id and e.id = new.void_of_event;
  if not found then
    raise exception 'the event that this VOID event cancels is not there: %', new.void_of_event
      using errcode = '23503', constraint = 'token_events_void_of_event_tenant_fkey',
        hint = 'void_of_event is the id of an event of the same user, recorded before.';
  end if;
  if v_type = 'VOID' then
    raise exception 'event % is a void, and a void stays', new.void_of_event
      using errcode = 'ML202', hint = 'Record the cancelled event anew.';
  end if;
  if exists (
    select from public.token_events as v
    where v.user_id = new.user_id and v.void_of_event = new.void_of_event
      and v.event_type = 'VOID' and not v.is_voided and v.id <> new.id
  ) then
    raise exception 'event % has its VOID event already', new.void_of_event
      using errcode = '23505', constraint = 'token_events_one_void_a_target',
        hint = 'Nothing is left to do.';
  end if;
  return new;
end;
$$;
comment on function ledger.guard_direct_insert() is
  'Refuses what an API role may not record: a second VOID event (23505), a void of a void (ML202), '
  'a VOID event without its target (ML203, 23503), a date more than a day ahead (ML201), a '
  'top-up that adds nothing (23514)';

create or replace function ledger.guard_direct_void()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if old.event_type = 'VOID' and new.is_voided and not old.is_voided
    and current_user in ('authenticated', 'service_role', 'anon')
  then
    raise exception 'event % is a void, and a void stays', old.id
      using errcode = 'ML202', hint = 'Record the cancelled event anew.';
  end if;
  return new;
end;
$$;
comment on function ledger.guard_direct_void() is
  'Refuses that an API role voids a void (ML202)';
revoke all on function ledger.guard_direct_insert() from public, anon, authenticated, service_role;
revoke all on function ledger.guard_direct_void() from public, anon, authenticated, service_role;

create or replace trigger token_events_guard_insert
before insert on public.token_events
for each row execute function ledger.guard_direct_insert();
create or replace trigger token_events_guard_void
before update on public.token_events
for each row execute function ledger.guard_direct_void();
