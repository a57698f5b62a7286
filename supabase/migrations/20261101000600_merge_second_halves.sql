-- Purpose: a dual-writing client's second half counts once. Phase 4 merges the event that was there
--   when its reading came; here the reading was first, and its event comes within the hour.
-- Objects: ledger.rename_second_half(), ledger.merge_second_halves(), and their triggers
--   token_events_rename_second_half and token_events_second_halves
-- Locks: share row exclusive on token_events, to create the triggers
-- Rollback: rollbacks/20261101000600_merge_second_halves.sql
set local lock_timeout = '5s';

-- A client that gives both halves one id would be refused, since the reading's event has it: the
-- second half gets an id of its own, and is merged below. Voiding by the id that the client knows
-- voids the reading's event, which is what it means.
create or replace function ledger.rename_second_half()
returns trigger
language plpgsql
security definer -- reads private lists
set search_path = ''
as $$
begin
  -- Nearly every event has an id that no reading knows.
  perform from ledger.migrated_readings as l
  where l.user_id = new.user_id and l.reading_id = new.id and l.event_id = new.id;
  if not found then
    return new;
  end if;
  if exists (
    select from ledger.migrated_readings as l
    inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
    where l.user_id = new.user_id and l.reading_id = new.id and l.event_id = new.id
      and not l.superseded and not l.completed and not e.is_voided
      and e.event_type = new.event_type and e.kwh_amount = new.kwh_amount
      and (e.event_date at time zone (select ledger.time_zone()))::date
        = (new.event_date at time zone (select ledger.time_zone()))::date
      and not exists (
        select from ledger."merges" as g
        where g.user_id = l.user_id and g.survivor_id = l.event_id
      )
  ) then
    new.id := gen_random_uuid();
  end if;
  return new;
end;
$$;
comment on function ledger.rename_second_half() is
  'Before an insert into token_events: a second half under its reading''s id gets one of its own';

-- After the projector in the order of names, so that the user's turn is taken: this statement sees
-- a reading that was being written at the same time.
create or replace function ledger.merge_second_halves()
returns trigger
language plpgsql
security definer -- reads and writes private lists
set search_path = ''
set enable_seqscan = off -- as in the projector: the plan for one row must serve a hundred thousand
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_zone text := (select coalesce(s.time_zone, 'UTC') from ledger.settings as s);
  v_users uuid[];
  v_events uuid[];
  v_readings uuid[];
begin
  -- What stands for a reading itself says so; what carries a key of its own is no half of anything.
  -- Nearly every event has no first half: that is found by a look at its day.
  perform
  from new_rows as n
  cross join lateral (
    select (n.event_date at time zone v_zone)::date as local_day
  ) as d
  inner join public.token_events as e
    on e.user_id = n.user_id
      and e.event_date >= d.local_day::timestamp at time zone v_zone
      and e.event_date < (d.local_day + 1)::timestamp at time zone v_zone
  inner join ledger.migrated_readings as l
    on l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id) and l.event_id = e.id
  where not n.is_voided and n.event_type in ('TOPUP', 'METER_READING')
    and n.idempotency_key is null and (n.metadata is null or not n.metadata ? 'migrated_from')
    and not e.is_voided and e.event_type <> 'VOID' -- as the index says it
    and e.event_type = n.event_type and e.kwh_amount = n.kwh_amount
    and e.created_at > now() - interval '1 hour' and e.id <> n.id
  limit 1;
  if not found then
    return null;
  end if;

  with
  halves as materialized (
    select
      n.user_id, n.id, n.event_type, n.kwh_amount, d.local_day,
      d.local_day::timestamp at time zone v_zone as day_begins,
      (d.local_day + 1)::timestamp at time zone v_zone as day_ends,
      row_number() over (
        partition by n.user_id, n.event_type, n.kwh_amount, d.local_day
        order by n.event_date, n.created_at, n.id
      ) as nth
    from new_rows as n
    cross join lateral (
      select (n.event_date at time zone v_zone)::date as local_day
    ) as d
    where not n.is_voided and n.event_type in ('TOPUP', 'METER_READING')
      and n.idempotency_key is null
      and (n.metadata is null or not n.metadata ? 'migrated_from')
  ),
  -- Readings of the last hour that state such a fact and have not met their second half yet.
  first_halves as materialized (
    select
      f.user_id, f.event_type, f.kwh_amount, f.local_day, e.id, l.reading_id,
      row_number() over (
        partition by f.user_id, f.event_type, f.kwh_amount, f.local_day
        order by e.event_date, e.created_at, e.id
      ) as nth
    from (
      select distinct
        h.user_id, h.event_type, h.kwh_amount, h.local_day, h.day_begins, h.day_ends
      from halves as h
    ) as f
    inner join public.token_events as e
      on e.user_id = f.user_id and e.event_date >= f.day_begins and e.event_date < f.day_ends
    inner join ledger.migrated_readings as l
      on l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id)
        and l.event_id = e.id and not l.superseded and not l.completed
    where not e.is_voided and e.event_type <> 'VOID' -- as the index says it
      and e.event_type = f.event_type and e.kwh_amount = f.kwh_amount
      and e.created_at > now() - interval '1 hour'
      and not exists (
        select from ledger."merges" as g
        where g.user_id = e.user_id and g.survivor_id = e.id
      )
  ),
  merged as (
    insert into ledger."merges" (user_id, event_id, reading_id, survivor_id)
    select h.user_id, h.id, f.reading_id, f.id
    from halves as h
    inner join first_halves as f
      on f.user_id = h.user_id and f.event_type = h.event_type and f.kwh_amount = h.kwh_amount
        and f.local_day = h.local_day and f.nth = h.nth
    returning user_id, event_id, reading_id
  )
  select array_agg(m.user_id), array_agg(m.event_id), array_agg(m.reading_id)
  into v_users, v_events, v_readings
  from merged as m;

  -- An update of no row would call its triggers all the same.
  if v_users is not null then
    update public.token_events as e
    set is_voided = true, voided_at = now(), voided_reason = 'merged into ' || m.reading_id
    from unnest(v_users, v_events, v_readings) as m (user_id, event_id, reading_id)
    where e.user_id = m.user_id and e.id = m.event_id;
  end if;
  return null;
end;
$$;
comment on function ledger.merge_second_halves() is
  'After an insert into token_events: an event that states the fact of a reading of the last hour '
  'is its second half, and is merged with it, one to one';
revoke all on function ledger.rename_second_half(), ledger.merge_second_halves()
from public, anon, authenticated, service_role;

-- Asked here, so that a batch of the data migration calls nothing.
create or replace trigger token_events_rename_second_half
before insert on public.token_events
for each row
when (
  new.idempotency_key is null and new.event_type in ('TOPUP', 'METER_READING')
  and (new.metadata is null or not new.metadata ? 'migrated_from')
)
execute function ledger.rename_second_half();
create or replace trigger token_events_second_halves
after insert on public.token_events
referencing new table as new_rows
for each statement execute function ledger.merge_second_halves();
