-- Purpose: the calls of the service layer: a client's change of the ledger in one request, atomic,
--   under the caller's own rights, recognised by the client's key when it is repeated.
-- Objects: public.record_event(), public.void_event(), public.replace_event(),
--   public.preview_backdate(), public.recalculate(), public.rollback_recalculation();
--   ledger.event_calls, and what the calls share: ledger.begin_call(), ledger.finish_call(),
--   ledger.refuse_impossible(), ledger.new_event(), ledger.event_again(), ledger.find_event(),
--   ledger.void_event_of(), ledger.is_back_dated(), ledger.positions_if(),
--   ledger.position_changes(), ledger.affected_events(), ledger.told_event(),
--   ledger.apply_change(), ledger.write_batch()
-- Locks: share row exclusive on user_profiles, to create a foreign key to it
-- Rollback: rollbacks/20261101000700_create_event_calls.sql
set local lock_timeout = '5s';

-- What each keyed call answered. The callers write it themselves: whoever makes up a row of one's
-- own here fools nobody else.
create table if not exists ledger.event_calls (
  user_id uuid not null references public.user_profiles (id) on delete cascade,
  idempotency_key text not null check (length(idempotency_key) between 1 and 200),
  call text not null,
  arguments jsonb not null,
  result jsonb not null,
  called_at timestamptz not null default now(),
  primary key (user_id, idempotency_key)
);
comment on table ledger.event_calls is
  'The first result of each call that came with a client''s key: a repeat is answered with it';
alter table ledger.event_calls enable row level security;
revoke all on table ledger.event_calls from public, anon, authenticated, service_role;
grant select, insert on table ledger.event_calls to authenticated;
drop policy if exists "Users see their own calls" on ledger.event_calls;
create policy "Users see their own calls" on ledger.event_calls
for select to authenticated using (user_id = (select auth.uid()));
drop policy if exists "Users note their own calls" on ledger.event_calls;
create policy "Users note their own calls" on ledger.event_calls
for insert to authenticated with check (user_id = (select auth.uid()));

create or replace function ledger.begin_call(p_call text, p_key text, p_arguments jsonb)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_earlier record;
begin
  if v_user_id is null then
    raise exception 'nobody is signed in, and % is for a user''s own ledger', p_call
      using errcode = '28000', hint = 'Send the user''s access token.';
  end if;
  if length(p_key) not between 1 and 200 then
    raise exception 'an idempotency key has 1 to 200 characters, not %', length(p_key)
      using errcode = 'ML200', hint = 'A UUID made once for each act of the user does well.';
  end if;

  -- No row, yet the statement trigger takes the user's turn: from here on nobody else writes this
  -- user's events until the transaction ends, and later statements see what others wrote before.
  update public.token_events as e set is_voided = e.is_voided where false;

  if p_key is null then
    return null;
  end if;
  select c.call, c.arguments, c.result into v_earlier
  from ledger.event_calls as c
  where c.user_id = v_user_id and c.idempotency_key = p_key;
  if found then
    if v_earlier.call <> p_call or v_earlier.arguments <> p_arguments then
      raise exception 'this idempotency key came with another call before: %', v_earlier.call
        using errcode = 'ML206', detail = v_earlier.arguments::text,
          hint = 'Repeat a call with the very same arguments; use a fresh key for a new one.';
    end if;
    return v_earlier.result;
  end if;
  if exists (
    select from public.token_events as e
    where e.user_id = v_user_id and e.idempotency_key = p_key
  ) then
    raise exception 'this idempotency key belongs to an event that was inserted directly'
      using errcode = 'ML206', hint = 'Read that event back by its idempotency_key.';
  end if;
  return null;
end;
$$;
comment on function ledger.begin_call(text, text, jsonb) is
  'Takes the caller''s turn; the result of the earlier call with this key, null if there is none; '
  'another call under the same key is refused (ML206)';

create or replace function ledger.finish_call(
  p_call text, p_key text, p_arguments jsonb, p_result jsonb
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into ledger.event_calls (user_id, idempotency_key, call, arguments, result)
  select auth.uid(), p_key, p_call, p_arguments, p_result
  where p_key is not null;
  select p_result;
$$;
comment on function ledger.finish_call(text, text, jsonb, jsonb) is
  'Notes what a call with a key answered, and hands it on';

create or replace function ledger.refuse_impossible(p_event public.token_events)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_event.event_type = 'VOID' and p_event.void_of_event is null then
    raise exception 'a VOID event names the event that it cancels'
      using errcode = 'ML203', hint = 'Set void_of_event, or call void_event().';
  end if;
  if p_event.event_type is null or p_event.event_date is null or p_event.kwh_amount is null then
    raise exception 'an event has a type, a date and an amount in kWh'
      using errcode = 'ML200', hint = 'Give event_type, event_date and kwh_amount.';
  end if;
  if p_event.event_date > now() + interval '1 day' then
    raise exception 'event_date lies more than a day ahead: %', p_event.event_date
      using errcode = 'ML201',
        hint = 'Record what happened, not what will; look at the device''s clock and time zone.';
  end if;
  if p_event.event_type = 'TOPUP' and p_event.kwh_amount <= 0 then
    raise exception 'a top-up adds more than 0 kWh, not %', p_event.kwh_amount
      using errcode = '23514', constraint = 'token_events_amount_by_type',
        hint = 'To take kWh away, record an ADJUSTMENT; to cancel a top-up, void it.';
  end if;
  if p_event.event_type = 'METER_READING' and p_event.kwh_amount < 0 then
    raise exception 'a meter shows 0 kWh or more, not %', p_event.kwh_amount
      using errcode = '23514', constraint = 'token_events_amount_by_type',
        hint = 'Give the kWh that the meter shows.';
  end if;
end;
$$;
comment on function ledger.refuse_impossible(public.token_events) is
  'Refuses a new event that cannot be true, in words for the client: ML200, ML201, ML203, 23514';

create or replace function ledger.new_event(
  p_event_type text, p_kwh_amount numeric, p_event_date timestamptz, p_observed_kwh numeric
)
returns public.token_events
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_event public.token_events;
begin
  v_event.id := gen_random_uuid();
  v_event.event_type := p_event_type;
  v_event.kwh_amount := p_kwh_amount;
  v_event.observed_kwh := p_observed_kwh;
  -- The clock, not the transaction's start: who waited for the turn comes after who had it.
  v_event.event_date := coalesce(p_event_date, clock_timestamp());
  v_event.created_at := clock_timestamp();
  perform ledger.refuse_impossible(v_event);
  return v_event;
end;
$$;
comment on function ledger.new_event(text, numeric, timestamptz, numeric) is
  'An event as it would be recorded now; refuses what cannot be true';

create or replace function ledger.event_again(p_event public.token_events, p_link text)
returns public.token_events
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_event public.token_events := p_event;
begin
  v_event.id := gen_random_uuid();
  v_event.void_of_event := null;
  v_event.metadata := case jsonb_typeof(p_event.metadata)
    when 'object' then p_event.metadata - 'migrated_from' else '{}'
    end || jsonb_build_object(p_link, p_event.id);
  return v_event;
end;
$$;
comment on function ledger.event_again(public.token_events, text) is
  'An event as it is recorded a second time, under a new id, linked to the first in its metadata; '
  'that a migration made the first is not said of it';

create or replace function ledger.void_event_of(p_event_id uuid)
returns uuid
language sql
stable
security invoker
set search_path = ''
as $$
  select v.id
  from public.token_events as v
  where v.user_id = (select auth.uid()) and v.void_of_event = p_event_id
    and v.event_type = 'VOID' and not v.is_voided;
$$;
comment on function ledger.void_event_of(uuid) is 'The VOID event of one of the caller''s events';

create or replace function ledger.find_event(p_event_id uuid)
returns public.token_events
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_event public.token_events;
  v_shown public.token_events;
  v_survivor public.token_events;
  v_reading_id uuid;
begin
  select e.* into v_event
  from public.token_events as e
  where e.user_id = v_user_id and e.id = p_event_id;
  -- Under row level security a coalesce() of both would be asked of all of the user's events; plain
  -- comparisons reach the indexes.
  select e.* into v_shown
  from public.token_events as e
  where e.user_id = v_user_id
    and (e.reading_id = p_event_id or (e.reading_id is null and e.id = p_event_id))
    and not e.is_voided and e.event_type <> 'VOID';
  if v_event.id is null then
    v_event := v_shown;
  end if;
  if v_event.id is null then
    raise exception 'no event % in this ledger', p_event_id
      using errcode = 'ML204', hint = 'Give the id of an event or a reading of the signed-in user.';
  end if;
  -- A migrated reading shows under an id that another event has for its own: no guess is made.
  if v_event.id <> v_shown.id then
    raise exception 'two events answer to the id %, one by its own, one by its reading''s',
      p_event_id
      using errcode = 'ML213', detail = format('The reading''s event is %s.', v_shown.id),
        hint = 'Name the reading''s event by its own id, the other one by the id that it shows '
          'under in the readings.';
  end if;
  if v_event.event_type = 'VOID' then
    raise exception 'event % is a void, and a void stays', v_event.id
      using errcode = 'ML202', hint = 'Record the cancelled event anew.';
  end if;

  -- A dual-written event that the migration merged: its reading's event states the same fact.
  if v_event.is_voided and ledger.void_event_of(v_event.id) is null then
    v_reading_id := substring(
      v_event.voided_reason from '^merged into ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$'
    )::uuid;
    select e.* into v_survivor
    from public.token_events as e
    where e.user_id = v_user_id and not e.is_voided and e.event_type <> 'VOID'
      and (e.reading_id = v_reading_id or (e.reading_id is null and e.id = v_reading_id));
    if found then
      return v_survivor;
    end if;
  end if;
  return v_event;
end;
$$;
comment on function ledger.find_event(uuid) is
  'One of the caller''s events, by its id or by its reading''s; for a merged one the event that '
  'stands for it; ML204 if there is none, ML213 if there are two, ML202 if it is a void';

create or replace function ledger.is_back_dated(p_event public.token_events)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  -- The last event alone is looked at, in the index: a scan for any later one would find none in
  -- the usual case, and read everything before it knows.
  select coalesce((
    select
      (e.event_date, e.created_at, e.id)
      > ((p_event).event_date, (p_event).created_at, (p_event).id)
    from public.token_events as e
    where e.user_id = (select auth.uid()) and not e.is_voided and e.event_type <> 'VOID'
    order by e.event_date desc, e.created_at desc, e.id desc
    limit 1
  ), false);
$$;
comment on function ledger.is_back_dated(public.token_events) is
  'Whether a counted event of the caller comes after this place in the order';

-- One formula for what is and what would be. Who asks names a stretch in which all supposed changes
-- lie, by event_date, both ends in it; the anchors around it bound what must be read. No argument
-- has a default: one of the table's row type would be a stored row, and from 17.12 on PostgreSQL
-- refuses a change that rewrites such a table.
create or replace function ledger.positions_if(
  p_from timestamptz,
  p_until timestamptz,
  p_without uuid[],
  p_with uuid[],
  p_new public.token_events
)
returns table (
  event_id uuid,
  event_type text,
  event_date timestamptz,
  created_at timestamptz,
  position_kwh numeric,
  consumption_kwh numeric
)
language sql
stable
security invoker
set search_path = ''
as $$
  with
  -- The last anchor before the stretch and the first one after it.
  bounds as materialized (
    select
      coalesce((
        select max(e.event_date)
        from public.token_events as e
        where e.user_id = (select auth.uid()) and not e.is_voided and e.event_type <> 'VOID'
          and (e.event_type = 'METER_READING' or e.observed_kwh is not null)
          and e.event_date < p_from
      ), '-infinity') as base_date,
      coalesce((
        select min(e.event_date)
        from public.token_events as e
        where e.user_id = (select auth.uid()) and not e.is_voided and e.event_type <> 'VOID'
          and (e.event_type = 'METER_READING' or e.observed_kwh is not null)
          and e.event_date > p_until
      ), 'infinity') as stop_date
  ),
  counted as (
    select e.id, e.event_type, e.event_date, e.created_at, e.kwh_amount, e.observed_kwh
    from public.token_events as e
    where e.user_id = (select auth.uid()) and not e.is_voided and e.event_type <> 'VOID'
      and e.event_date >= (select b.base_date from bounds as b)
      and e.event_date <= (select b.stop_date from bounds as b)
      and e.id <> all (p_without)
    union all
    select e.id, e.event_type, e.event_date, e.created_at, e.kwh_amount, e.observed_kwh
    from public.token_events as e
    where e.user_id = (select auth.uid()) and e.id = any (p_with)
    union all
    select
      (p_new).id, (p_new).event_type, (p_new).event_date, (p_new).created_at,
      (p_new).kwh_amount, (p_new).observed_kwh
    where (p_new).id is not null
  ),
  -- Each as an anchor (what the meter showed) or a step (kWh added).
  weighed as (
    select
      c.*,
      case c.event_type when 'METER_READING' then c.kwh_amount else c.observed_kwh end as anchor_kwh,
      case c.event_type when 'METER_READING' then 0 else c.kwh_amount end as step_kwh
    from counted as c
  ),
  -- Island n holds the n-th anchor and the steps up to the next one.
  islands as (
    select
      w.*,
      count(w.anchor_kwh) over (
        order by w.event_date, w.created_at, w.id rows unbounded preceding
      ) as island
    from weighed as w
  ),
  positions as (
    select
      i.*,
      sum(coalesce(i.anchor_kwh, i.step_kwh)) over (
        partition by i.island order by i.event_date, i.created_at, i.id rows unbounded preceding
      ) as kwh
    from islands as i
  ),
  consumptions as (
    select
      p.*,
      case
        when p.anchor_kwh is not null
        then lag(p.kwh) over (order by p.event_date, p.created_at, p.id)
          + p.step_kwh - p.anchor_kwh
      end as used_kwh
    from positions as p
  )
  -- What lies at the base is read for its sake only: its own base is not.
  select c.id, c.event_type, c.event_date, c.created_at, c.kwh, c.used_kwh
  from consumptions as c
  where c.event_date >= p_from;
$$;
comment on function ledger.positions_if(
  timestamptz, timestamptz, uuid[], uuid[], public.token_events
) is
  'The caller''s positions and consumptions (kWh) from a stretch to the anchor that ends its '
  'effect: as they are, or as they would be without some events, with some voided ones, with a '
  'new one';

create or replace function ledger.position_changes(
  p_from timestamptz,
  p_until timestamptz,
  p_without uuid[],
  p_with uuid[],
  p_new public.token_events
)
returns table (
  event_id uuid,
  event_type text,
  event_date timestamptz,
  created_at timestamptz,
  current_kwh numeric,
  supposed_kwh numeric,
  current_consumption_kwh numeric,
  supposed_consumption_kwh numeric
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    c.event_id, c.event_type, c.event_date, c.created_at, c.position_kwh, s.position_kwh,
    c.consumption_kwh, s.consumption_kwh
  from ledger.positions_if(p_from, p_until, '{}', '{}', null) as c
  inner join ledger.positions_if(p_from, p_until, p_without, p_with, p_new) as s
    on s.event_id = c.event_id
  where (c.position_kwh, c.consumption_kwh) is distinct from (s.position_kwh, s.consumption_kwh);
$$;
comment on function ledger.position_changes(
  timestamptz, timestamptz, uuid[], uuid[], public.token_events
) is
  'Counted events whose position or consumption (kWh) would be another under a supposition';

create or replace function ledger.affected_events(
  p_from timestamptz, p_until timestamptz, p_without uuid[], p_with uuid[]
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(
    jsonb_build_object(
      'event_id', c.event_id, 'event_type', c.event_type, 'event_date', c.event_date,
      'old_kwh', c.supposed_kwh, 'new_kwh', c.current_kwh
    )
    order by c.event_date, c.created_at, c.event_id
  ), '[]')
  from ledger.position_changes(p_from, p_until, p_without, p_with, null) as c
  where c.current_kwh is distinct from c.supposed_kwh;
$$;
comment on function ledger.affected_events(timestamptz, timestamptz, uuid[], uuid[]) is
  'What a change that is made already did to later positions: an array of {event_id, event_type, '
  'event_date, old_kwh, new_kwh}; old is without the first and with the second list of events';

create or replace function ledger.told_event(p_event_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select to_jsonb(e)
  from public.token_events as e
  where e.user_id = (select auth.uid()) and e.id = p_event_id;
$$;
comment on function ledger.told_event(uuid) is 'One of the caller''s events, as a call answers it';

create or replace function ledger.apply_change(
  p_target uuid,
  p_reason text,
  p_new public.token_events,
  p_batch_id uuid,
  p_key text
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_told_id uuid := ledger.void_event_of(p_target);
begin
  -- One statement: nothing that fires in between sees the fact gone, or there twice.
  with marked as (
    update public.token_events as e
    set is_voided = true, voided_at = now(), voided_by = v_user_id, voided_reason = p_reason
    where e.user_id = v_user_id and e.id = p_target and not e.is_voided
  )
  insert into public.token_events (
    id, user_id, event_type, event_date, kwh_amount, observed_kwh, token_cost, notes,
    meter_photo_url, metadata, void_of_event, recalc_batch_id, idempotency_key, created_by,
    created_at
  )
  select
    gen_random_uuid(), v_user_id, 'VOID', now(), 0, null::numeric, null::numeric, null, null,
    jsonb_strip_nulls(jsonb_build_object('reason', p_reason, 'replaced_by', (p_new).id)),
    p_target, p_batch_id, case when (p_new).id is null then p_key end, v_user_id,
    clock_timestamp()
  where p_target is not null and v_told_id is null
  union all
  select
    (p_new).id, v_user_id, (p_new).event_type, (p_new).event_date, (p_new).kwh_amount,
    (p_new).observed_kwh, (p_new).token_cost, (p_new).notes, (p_new).meter_photo_url,
    (p_new).metadata, null, p_batch_id, p_key, v_user_id, (p_new).created_at
  where (p_new).id is not null;

  -- A VOID event that came before the mark, in two steps, gets its link now.
  if v_told_id is not null and p_batch_id is not null then
    update public.token_events as e
    set recalc_batch_id = p_batch_id
    where e.user_id = v_user_id and e.id = v_told_id;
  end if;
end;
$$;
comment on function ledger.apply_change(uuid, text, public.token_events, uuid, text) is
  'Voids one of the caller''s events (both halves, or the missing one), records a new one, or '
  'both, in one statement';

create or replace function ledger.write_batch(
  p_batch_id uuid,
  p_trigger_type text,
  p_trigger_event_id uuid,
  p_from timestamptz,
  p_until timestamptz,
  p_without uuid[],
  p_with uuid[]
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_affected jsonb := ledger.affected_events(p_from, p_until, p_without, p_with);
  v_batch jsonb;
begin
  insert into public.recalculation_batches as b (
    id, user_id, trigger_type, trigger_event_id, affected_events, events_count, created_by
  )
  values (
    p_batch_id, v_user_id, p_trigger_type, p_trigger_event_id, v_affected,
    jsonb_array_length(v_affected), v_user_id
  )
  returning to_jsonb(b) into v_batch;
  update public.token_events as e
  set recalc_batch_id = p_batch_id
  -- Of an array the index is asked id by id; a join may read all of the user's events instead.
  where e.user_id = v_user_id and e.id = any (array(
    select (a.event ->> 'event_id')::uuid from jsonb_array_elements(v_affected) as a (event)
  ));
  return v_batch;
end;
$$;
comment on function ledger.write_batch(
  uuid, text, uuid, timestamptz, timestamptz, uuid[], uuid[]
) is
  'Writes the recalculation of a change that is made already, and links the affected events to it';

create or replace function public.record_event(
  p_event_type text,
  p_kwh_amount numeric,
  p_event_date timestamptz default null,
  p_token_cost numeric default null,
  p_notes text default null,
  p_meter_photo_url text default null,
  p_observed_kwh numeric default null,
  p_metadata jsonb default null,
  p_idempotency_key text default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_arguments jsonb := jsonb_build_object(
    'event_type', p_event_type, 'kwh_amount', p_kwh_amount,
    'event_date', p_event_date at time zone 'UTC', 'token_cost', p_token_cost, 'notes', p_notes,
    'meter_photo_url', p_meter_photo_url, 'observed_kwh', p_observed_kwh, 'metadata', p_metadata
  );
  v_result jsonb := ledger.begin_call('record_event', p_idempotency_key, v_arguments);
  v_new public.token_events;
  v_batch_id uuid;
  v_batch jsonb;
begin
  if v_result is not null then
    return v_result;
  end if;
  v_new := ledger.new_event(p_event_type, p_kwh_amount, p_event_date, p_observed_kwh);
  v_new.token_cost := p_token_cost;
  v_new.notes := p_notes;
  v_new.meter_photo_url := p_meter_photo_url;
  v_new.metadata := p_metadata;
  if ledger.is_back_dated(v_new) then
    v_batch_id := gen_random_uuid();
  end if;
  perform ledger.apply_change(null, null, v_new, v_batch_id, p_idempotency_key);
  if v_batch_id is not null then
    v_batch := ledger.write_batch(
      v_batch_id,
      case p_event_type when 'TOPUP' then 'BACKDATE_TOPUP' else 'MANUAL_CORRECTION' end,
      v_new.id, v_new.event_date, v_new.event_date, array[v_new.id], '{}'
    );
  end if;
  select jsonb_build_object(
    'event', ledger.told_event(v_new.id), 'position_kwh', p.position_kwh,
    'consumption_kwh', p.consumption_kwh, 'batch', v_batch
  ) into v_result
  from ledger.positions_if(v_new.event_date, v_new.event_date, '{}', '{}', null) as p
  where p.event_id = v_new.id;
  return ledger.finish_call('record_event', p_idempotency_key, v_arguments, v_result);
end;
$$;
comment on function public.record_event(
  text, numeric, timestamptz, numeric, text, text, numeric, jsonb, text
) is
  'Records a TOPUP, METER_READING or ADJUSTMENT (kWh; cost in the profile''s currency; now unless '
  'p_event_date says when). Answers {event, position_kwh, consumption_kwh, batch}; batch is the '
  'recalculation of a back-dated event, else null';

create or replace function public.void_event(
  p_event_id uuid,
  p_reason text default null,
  p_idempotency_key text default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_arguments jsonb := jsonb_build_object('event_id', p_event_id, 'reason', p_reason);
  v_result jsonb := ledger.begin_call('void_event', p_idempotency_key, v_arguments);
  v_old public.token_events;
  v_batch_id uuid;
  v_batch jsonb;
begin
  if v_result is not null then
    return v_result;
  end if;
  v_old := ledger.find_event(p_event_id);
  if v_old.is_voided and ledger.void_event_of(v_old.id) is not null then
    raise exception 'event % is void already', v_old.id
      using errcode = 'ML205', hint = 'Nothing is left to do.';
  end if;
  if not v_old.is_voided and ledger.is_back_dated(v_old) then
    v_batch_id := gen_random_uuid();
  end if;
  perform ledger.apply_change(v_old.id, p_reason, null, v_batch_id, p_idempotency_key);
  if v_batch_id is not null then
    v_batch := ledger.write_batch(
      v_batch_id,
      case v_old.event_type when 'TOPUP' then 'DELETE_TOPUP' else 'MANUAL_CORRECTION' end,
      v_old.id, v_old.event_date, v_old.event_date, '{}', array[v_old.id]
    );
  end if;
  v_result := jsonb_build_object(
    'event', ledger.told_event(v_old.id),
    'void', ledger.told_event(ledger.void_event_of(v_old.id)),
    'batch', v_batch
  );
  return ledger.finish_call('void_event', p_idempotency_key, v_arguments, v_result);
end;
$$;
comment on function public.void_event(uuid, text, text) is
  'Voids an event: marks it and writes its VOID event, or the half that is missing. Answers '
  '{event, void, batch}; batch is the recalculation if counted events come after it, else null';

create or replace function public.replace_event(
  p_event_id uuid,
  p_changes jsonb,
  p_reason text default null,
  p_idempotency_key text default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_arguments jsonb := jsonb_build_object(
    'event_id', p_event_id, 'changes', p_changes, 'reason', p_reason
  );
  v_result jsonb := ledger.begin_call('replace_event', p_idempotency_key, v_arguments);
  v_old public.token_events;
  v_new public.token_events;
  v_batch_id uuid := gen_random_uuid();
  v_batch jsonb;
  v_unknown text;
begin
  if v_result is not null then
    return v_result;
  end if;
  if jsonb_typeof(p_changes) is distinct from 'object' or p_changes = '{}' then
    raise exception 'p_changes is an object of the columns to change'
      using errcode = 'ML200', hint = 'For example {"kwh_amount": 20, "notes": null}.';
  end if;
  select string_agg(k.name, ', ') into v_unknown
  from jsonb_object_keys(p_changes) as k (name)
  where k.name not in (
    'event_type', 'event_date', 'kwh_amount', 'observed_kwh', 'token_cost', 'notes',
    'meter_photo_url', 'metadata'
  );
  if v_unknown is not null then
    raise exception 'an event''s % cannot be replaced', v_unknown
      using errcode = 'ML200', hint = 'p_changes may hold event_type, event_date, kwh_amount, '
        'observed_kwh, token_cost, notes, meter_photo_url and metadata.';
  end if;
  v_old := ledger.find_event(p_event_id);
  if v_old.is_voided then
    raise exception 'event % is void, and nothing can stand in for it', v_old.id
      using errcode = 'ML205', hint = 'Replace the event that stands for it now, or record one.';
  end if;

  -- It keeps created_at, and with it its place among events of the same date.
  v_new := ledger.event_again(jsonb_populate_record(v_old, p_changes), 'replaces');
  perform ledger.refuse_impossible(v_new);
  perform ledger.apply_change(v_old.id, p_reason, v_new, v_batch_id, p_idempotency_key);
  v_batch := ledger.write_batch(
    v_batch_id,
    case when 'TOPUP' in (v_old.event_type, v_new.event_type) then 'EDIT_TOPUP'
      else 'MANUAL_CORRECTION' end,
    v_new.id, least(v_old.event_date, v_new.event_date),
    greatest(v_old.event_date, v_new.event_date), array[v_new.id], array[v_old.id]
  );
  select jsonb_build_object(
    'event', ledger.told_event(v_new.id), 'position_kwh', p.position_kwh,
    'consumption_kwh', p.consumption_kwh, 'replaced', ledger.told_event(v_old.id),
    'void', ledger.told_event(ledger.void_event_of(v_old.id)), 'batch', v_batch
  ) into v_result
  from ledger.positions_if(v_new.event_date, v_new.event_date, '{}', '{}', null) as p
  where p.event_id = v_new.id;
  return ledger.finish_call('replace_event', p_idempotency_key, v_arguments, v_result);
end;
$$;
comment on function public.replace_event(uuid, jsonb, text, text) is
  'Voids an event and records it again with the changed columns; what p_changes does not name '
  'stays. Linked both ways: metadata.replaces, and metadata.replaced_by of the VOID event. Answers '
  '{event, position_kwh, consumption_kwh, replaced, void, batch}';

create or replace function public.preview_backdate(
  p_event_type text,
  p_kwh_amount numeric,
  p_event_date timestamptz default null,
  p_observed_kwh numeric default null
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_new public.token_events;
  v_later jsonb;
  v_result jsonb;
begin
  if auth.uid() is null then
    raise exception 'nobody is signed in, and preview_backdate is for a user''s own ledger'
      using errcode = '28000', hint = 'Send the user''s access token.';
  end if;
  v_new := ledger.new_event(p_event_type, p_kwh_amount, p_event_date, p_observed_kwh);
  select coalesce(jsonb_agg(
    jsonb_build_object(
      'event_id', c.event_id, 'event_type', c.event_type, 'event_date', c.event_date,
      'old_kwh', c.current_kwh, 'new_kwh', c.supposed_kwh,
      'old_consumption_kwh', c.current_consumption_kwh,
      'new_consumption_kwh', c.supposed_consumption_kwh
    )
    order by c.event_date, c.created_at, c.event_id
  ), '[]') into v_later
  from ledger.position_changes(v_new.event_date, v_new.event_date, '{}', '{}', v_new) as c;
  select jsonb_build_object(
    'position_kwh', p.position_kwh, 'consumption_kwh', p.consumption_kwh, 'later', v_later
  ) into v_result
  from ledger.positions_if(v_new.event_date, v_new.event_date, '{}', '{}', v_new) as p
  where p.event_id = v_new.id;
  return v_result;
end;
$$;
comment on function public.preview_backdate(text, numeric, timestamptz, numeric) is
  'What record_event would do, without doing it. Answers {position_kwh, consumption_kwh, later}: '
  'later is an array of {event_id, event_type, event_date, old_kwh, new_kwh, old_consumption_kwh, '
  'new_consumption_kwh} of the events whose position or consumption would change';

create or replace function public.recalculate(
  p_event_id uuid,
  p_idempotency_key text default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_arguments jsonb := jsonb_build_object('event_id', p_event_id);
  v_result jsonb := ledger.begin_call('recalculate', p_idempotency_key, v_arguments);
  v_event public.token_events;
  v_replaced public.token_events;
  v_batch_id uuid := gen_random_uuid();
  v_void_id uuid;
  v_known_id uuid;
begin
  if v_result is not null then
    return v_result;
  end if;
  v_event := ledger.find_event(p_event_id);

  -- What changed is read from the events: one that counts was recorded, or stands in for a voided
  -- one that it names; one that is void was deleted.
  if v_event.is_voided then
    v_void_id := ledger.void_event_of(v_event.id);
    if v_void_id is null then
      raise exception 'event % is half void: it is marked, and its VOID event is missing',
        v_event.id
        using errcode = 'ML209', hint = 'Insert its VOID event, or call void_event().';
    end if;
    select v.recalc_batch_id into v_known_id
    from public.token_events as v
    where v.user_id = v_user_id and v.id = v_void_id;
  else
    select e.* into v_replaced
    from public.token_events as e
    where e.user_id = v_user_id and e.is_voided and e.event_type <> 'VOID'
      and e.id = substring(
        v_event.metadata ->> 'replaces' from '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      )::uuid;
    v_void_id := ledger.void_event_of(v_replaced.id);
    select b.id into v_known_id
    from public.recalculation_batches as b
    where b.user_id = v_user_id and b.trigger_event_id = v_event.id and b.rolled_back_at is null
    limit 1;
  end if;
  if v_known_id is not null then
    raise exception 'this change of event % is recorded already, in recalculation %',
      v_event.id, v_known_id
      using errcode = 'ML212', hint = 'Read that recalculation back.';
  end if;

  update public.token_events as e
  set recalc_batch_id = v_batch_id
  where e.user_id = v_user_id and e.id in (v_event.id, v_void_id);
  v_result := jsonb_build_object('batch', ledger.write_batch(
    v_batch_id,
    case
      when v_replaced.id is not null and 'TOPUP' in (v_replaced.event_type, v_event.event_type)
      then 'EDIT_TOPUP'
      when v_replaced.id is not null or v_event.event_type <> 'TOPUP' then 'MANUAL_CORRECTION'
      when v_event.is_voided then 'DELETE_TOPUP'
      else 'BACKDATE_TOPUP'
    end,
    v_event.id,
    least(v_event.event_date, v_replaced.event_date),
    greatest(v_event.event_date, v_replaced.event_date),
    case when v_event.is_voided then '{}' else array[v_event.id] end,
    case
      when v_event.is_voided then array[v_event.id]
      when v_replaced.id is not null then array[v_replaced.id]
      else '{}'
    end
  ));
  return ledger.finish_call('recalculate', p_idempotency_key, v_arguments, v_result);
end;
$$;
comment on function public.recalculate(uuid, text) is
  'For a change that was written directly: writes the recalculation of a recorded, replaced '
  '(metadata.replaces) or voided event, old positions being those without the change, and links '
  'the affected events. Answers {batch}';

create or replace function public.rollback_recalculation(
  p_batch_id uuid,
  p_reason text default null,
  p_idempotency_key text default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
  v_arguments jsonb := jsonb_build_object('batch_id', p_batch_id, 'reason', p_reason);
  v_result jsonb := ledger.begin_call('rollback_recalculation', p_idempotency_key, v_arguments);
  v_batch public.recalculation_batches;
  v_trigger public.token_events;
  v_lost public.token_events;
  v_new public.token_events;
  v_voided_id uuid;
  v_is_deletion boolean;
begin
  if v_result is not null then
    return v_result;
  end if;
  select b.* into v_batch
  from public.recalculation_batches as b
  where b.user_id = v_user_id and b.id = p_batch_id;
  if not found then
    raise exception 'no recalculation % in this ledger', p_batch_id
      using errcode = 'ML204', hint = 'Give the id of a recalculation of the signed-in user.';
  end if;
  if v_batch.rolled_back_at is not null then
    raise exception 'recalculation % was rolled back at %', p_batch_id, v_batch.rolled_back_at
      using errcode = 'ML207', hint = 'Nothing is left to do.';
  end if;
  if v_batch.can_rollback_until is null or now() > v_batch.can_rollback_until then
    raise exception 'recalculation % can no longer be rolled back, its time ended at %',
      p_batch_id, coalesce(v_batch.can_rollback_until::text, 'once')
      using errcode = 'ML208', hint = 'Replace or void the event itself.';
  end if;

  -- The event that the change cancelled, by the link of its VOID event: the trigger itself where it
  -- was deleted, the original where it was replaced.
  if exists (
    select from public.token_events as e
    where e.user_id = v_user_id and e.id = v_batch.trigger_event_id
  ) then
    v_trigger := ledger.find_event(v_batch.trigger_event_id);
  end if;
  select e.* into v_lost
  from public.token_events as v
  inner join public.token_events as e on e.user_id = v.user_id and e.id = v.void_of_event
  where v.user_id = v_user_id and v.recalc_batch_id = p_batch_id
    and v.event_type = 'VOID' and not v.is_voided;
  if (
    select count(*) > 1 from public.token_events as v
    where v.user_id = v_user_id and v.recalc_batch_id = p_batch_id
      and v.event_type = 'VOID' and not v.is_voided
  ) then
    raise exception 'recalculation % is linked to more than one void', p_batch_id
      using errcode = 'ML209', hint = 'Replace or void the events themselves.';
  end if;
  v_is_deletion := coalesce(
    v_lost.id = v_trigger.id, v_batch.trigger_type = 'DELETE_TOPUP' and v_trigger.id is not null
  );
  if v_is_deletion then
    v_lost := v_trigger;
  end if;
  if v_trigger.id is null or v_trigger.is_voided <> v_is_deletion then
    raise exception 'what recalculation % recorded has changed since: event % is %', p_batch_id,
      coalesce(v_batch.trigger_event_id::text, 'unknown'),
      case when v_trigger.id is null then 'not known' when v_trigger.is_voided then 'void'
        else 'not void' end
      using errcode = 'ML209',
        hint = 'Roll back the later change of this event first, or replace or void it itself.';
  end if;

  if not v_is_deletion then
    v_voided_id := v_trigger.id;
  end if;
  if v_lost.id is not null then
    v_new := ledger.event_again(v_lost, 'recreates');
  end if;
  perform ledger.apply_change(v_voided_id, p_reason, v_new, null, p_idempotency_key);
  update public.recalculation_batches as b
  set rolled_back_at = now(), rollback_reason = p_reason
  where b.user_id = v_user_id and b.id = p_batch_id
  returning b.* into v_batch;
  -- Older recalculations of the event that is back now follow it, so they can still be rolled back.
  update public.recalculation_batches as b
  set trigger_event_id = v_new.id
  where b.user_id = v_user_id and b.trigger_event_id = v_lost.id and b.rolled_back_at is null;

  v_result := jsonb_build_object(
    'batch', to_jsonb(v_batch),
    'event', ledger.told_event(v_new.id),
    'voided', ledger.told_event(v_voided_id),
    'affected_events', ledger.affected_events(
      least(v_trigger.event_date, v_lost.event_date),
      greatest(v_trigger.event_date, v_lost.event_date),
      array_remove(array[v_new.id], null), array_remove(array[v_voided_id], null)
    )
  );
  return ledger.finish_call('rollback_recalculation', p_idempotency_key, v_arguments, v_result);
end;
$$;
comment on function public.rollback_recalculation(uuid, text, text) is
  'Takes back the change that a recalculation recorded, within its 24 hours: what was recorded is '
  'voided, what was deleted or replaced is recorded again; what came in since stays and is '
  'recomputed. Answers {batch, event, voided, affected_events}';

-- The calls run with their caller's rights, and so does what they share: it opens nothing that a
-- signed-in user could not do. The REST API does not reach the schema ledger.
do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select p.oid::regprocedure from pg_proc as p
    where (p.pronamespace = 'ledger'::regnamespace and p.proname in (
      'begin_call', 'finish_call', 'refuse_impossible', 'new_event', 'event_again', 'void_event_of',
      'find_event', 'is_back_dated', 'positions_if', 'position_changes', 'affected_events',
      'told_event', 'apply_change', 'write_batch'
    ))
    or (p.pronamespace = 'public'::regnamespace and p.proname in (
      'record_event', 'void_event', 'replace_event', 'preview_backdate', 'recalculate',
      'rollback_recalculation'
    ))
  loop
    execute format(
      'revoke all on function %s from public, anon, authenticated, service_role', v_function
    );
    execute format('grant execute on function %s to authenticated', v_function);
  end loop;
end;
$$;
grant execute on function ledger.refuse_impossible(public.token_events) to service_role;
