-- The schemas public and ledger as the migrations make them in an empty database of
-- Supabase's shape. Written by python -m tools.dump_schema; a test compares.
CREATE SCHEMA ledger;

COMMENT ON SCHEMA ledger IS 'meterledger''s private rooms; never exposed through the REST API';

CREATE SCHEMA public;

COMMENT ON SCHEMA public IS 'standard public schema';

CREATE TYPE ledger.span AS (
	user_id uuid,
	first_date timestamp with time zone,
	last_date timestamp with time zone
);

COMMENT ON TYPE ledger.span IS 'The stretch of one user''s events that a statement changed, by event_date, both ends in it';

CREATE FUNCTION ledger.affected_events(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(jsonb_agg(
    jsonb_build_object(
      'event_id', c.event_id, 'event_type', c.event_type, 'event_date', c.event_date,
      'old_kwh', c.supposed_kwh, 'new_kwh', c.current_kwh
    )
    order by c.event_date, c.created_at, c.event_id
  ), '[]')
  from ledger.position_changes(p_from, p_until, p_without, p_with) as c
  where c.current_kwh is distinct from c.supposed_kwh;
$$;

COMMENT ON FUNCTION ledger.affected_events(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) IS 'What a change that is made already did to later positions: an array of {event_id, event_type, event_date, old_kwh, new_kwh}; old is without the first and with the second list of events';

CREATE FUNCTION ledger.amend_namesakes(p_reading_ids uuid[], p_run_id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  insert into ledger.maintenance (purpose) values ('amend namesakes') on conflict do nothing;

  insert into ledger.amended_events (user_id, event_id, reason, before, run_id)
  select
    e.user_id, e.id, case when l.completed then 'completed' else 'displaced' end,
    to_jsonb(e) || jsonb_build_object('had_metadata', e.metadata is not null), p_run_id
  from unnest(p_reading_ids) as i (reading_id)
  inner join ledger.migrated_readings as l on l.reading_id = i.reading_id and not l.superseded
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.reading_id
  where not e.is_voided and e.event_type <> 'VOID' and e.reading_id is null
    and (l.completed or not exists (
      select from ledger.migrated_readings as o
      where o.user_id = e.user_id and o.reading_id = e.id and o.event_id = e.id
    ))
  on conflict (user_id, event_id) do nothing;

  -- Where the legacy column holds instants, the event takes the reading's; within a day it keeps
  -- its own, which knows the hour.
  update public.token_events as e
  set event_date = case
      when ledger.reading_date(e.event_date, (select ledger.time_zone()))
        = ledger.reading_date(m.event_date, (select ledger.time_zone()))
      then e.event_date
      else m.event_date
    end,
    observed_kwh = m.observed_kwh, legacy_token_amount = m.legacy_token_amount,
    token_cost = m.token_cost, notes = m.notes, meter_photo_url = m.meter_photo_url,
    created_at = m.created_at,
    metadata = case jsonb_typeof(e.metadata) when 'object' then e.metadata else '{}' end
      || '{"migrated_from": "electricity_readings"}'
  from unnest(p_reading_ids) as i (reading_id)
  inner join ledger.mapped_readings as m on m.reading_id = i.reading_id
  inner join ledger.migrated_readings as l
    on l.user_id = m.user_id and l.reading_id = m.reading_id and l.event_id = m.reading_id
      and l.completed and not l.superseded
  where e.user_id = l.user_id and e.id = l.event_id and not e.is_voided;

  update public.token_events as e
  set reading_id = gen_random_uuid()
  from unnest(p_reading_ids) as i (reading_id)
  inner join ledger.amended_events as a on a.event_id = i.reading_id and a.reason = 'displaced'
  where e.user_id = a.user_id and e.id = a.event_id and e.reading_id is null and not e.is_voided;

  delete from ledger.maintenance where xact_id = pg_current_xact_id();
end;
$$;

COMMENT ON FUNCTION ledger.amend_namesakes(p_reading_ids uuid[], p_run_id bigint) IS 'Completes or displaces events that stand under a reading''s own id, and notes how they were';

CREATE TABLE public.token_events (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    event_type text NOT NULL,
    event_date timestamp with time zone NOT NULL,
    kwh_amount numeric NOT NULL,
    token_cost numeric,
    notes text,
    meter_photo_url text,
    is_voided boolean DEFAULT false NOT NULL,
    voided_at timestamp with time zone,
    voided_by uuid,
    voided_reason text,
    void_of_event uuid,
    recalc_batch_id uuid,
    created_by uuid,
    metadata jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    observed_kwh numeric,
    reading_id uuid,
    idempotency_key text,
    legacy_token_amount numeric,
    CONSTRAINT token_events_amount_by_type CHECK ((is_voided OR
CASE event_type
    WHEN 'TOPUP'::text THEN (kwh_amount > (0)::numeric)
    WHEN 'METER_READING'::text THEN (kwh_amount >= (0)::numeric)
    WHEN 'VOID'::text THEN (kwh_amount = (0)::numeric)
    ELSE true
END)),
    CONSTRAINT token_events_finite CHECK ((is_voided OR ((abs(kwh_amount) < '1000000000000'::numeric) AND ((event_date >= '4713-01-03 00:00:00+00 BC'::timestamp with time zone) AND (event_date <= '294276-12-29 00:00:00+00'::timestamp with time zone)) AND isfinite(created_at) AND ((token_cost IS NULL) OR (abs(token_cost) < '1000000000000'::numeric)) AND ((legacy_token_amount IS NULL) OR (abs(legacy_token_amount) < '1000000000000'::numeric))))),
    CONSTRAINT token_events_idempotency_key_length CHECK (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 200))),
    CONSTRAINT token_events_known_type CHECK ((event_type = ANY (ARRAY['TOPUP'::text, 'METER_READING'::text, 'ADJUSTMENT'::text, 'VOID'::text]))),
    CONSTRAINT token_events_observed_kwh CHECK (((observed_kwh IS NULL) OR ((event_type = ANY (ARRAY['TOPUP'::text, 'ADJUSTMENT'::text])) AND (observed_kwh >= (0)::numeric) AND (observed_kwh < '1000000000000'::numeric))))
);

COMMENT ON TABLE public.token_events IS 'The ledger: what each household bought, read and corrected; append-only, the source of truth';

COMMENT ON COLUMN public.token_events.kwh_amount IS 'kWh: bought (TOPUP), shown by the meter (METER_READING), corrected by (ADJUSTMENT), 0 (VOID)';

COMMENT ON COLUMN public.token_events.observed_kwh IS 'kWh that the meter showed right after a TOPUP or ADJUSTMENT; makes the event an anchor';

COMMENT ON COLUMN public.token_events.reading_id IS 'The id under which clients of electricity_readings know this event, where it is not its own';

COMMENT ON COLUMN public.token_events.idempotency_key IS 'Chosen by the client, unique per user: a repeated write is recognised by it';

COMMENT ON COLUMN public.token_events.legacy_token_amount IS 'token_amount of a migrated reading that was no top-up (zero or negative), kept to be shown again';

CREATE FUNCTION ledger.apply_change(p_target uuid, p_reason text, p_new public.token_events, p_batch_id uuid, p_key text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.apply_change(p_target uuid, p_reason text, p_new public.token_events, p_batch_id uuid, p_key text) IS 'Voids one of the caller''s events (both halves, or the missing one), records a new one, or both, in one statement';

CREATE FUNCTION ledger.apply_time_zone() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform ledger.project_everything();
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.apply_time_zone() IS 'After the time zone is set: recomputes the local days of the projection';

CREATE FUNCTION ledger.begin_call(p_call text, p_key text, p_arguments jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.begin_call(p_call text, p_key text, p_arguments jsonb) IS 'Takes the caller''s turn; the result of the earlier call with this key, null if there is none; another call under the same key is refused (ML206)';

CREATE FUNCTION ledger.erase_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_table regclass;
begin
  for v_table in
    select a.attrelid::regclass
    from pg_attribute as a
    inner join pg_class as c on c.oid = a.attrelid
    where c.relnamespace = 'ledger'::regnamespace and c.relkind in ('r', 'p')
      and a.attname = 'user_id' and not a.attisdropped
    order by c.relname
  loop
    execute format(
      'delete from %s as t using old_profiles as o where t.user_id = o.id', v_table
    );
  end loop;
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.erase_user() IS 'After a profile is deleted: removes everything that ledger keeps of that user';

CREATE FUNCTION ledger.event_again(p_event public.token_events, p_link text) RETURNS public.token_events
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.event_again(p_event public.token_events, p_link text) IS 'An event as it is recorded a second time, under a new id, linked to the first in its metadata; that a migration made the first is not said of it';

CREATE FUNCTION ledger.find_event(p_event_id uuid) RETURNS public.token_events
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
  v_user_id uuid := auth.uid();
  v_event public.token_events;
  v_shown public.token_events;
  v_survivor public.token_events;
begin
  select e.* into v_event
  from public.token_events as e
  where e.user_id = v_user_id and e.id = p_event_id;
  select e.* into v_shown
  from public.token_events as e
  where e.user_id = v_user_id and coalesce(e.reading_id, e.id) = p_event_id
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
    select e.* into v_survivor
    from public.token_events as e
    where e.user_id = v_user_id and not e.is_voided and e.event_type <> 'VOID'
      and coalesce(e.reading_id, e.id) = substring(
        v_event.voided_reason from '^merged into ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$'
      )::uuid;
    if found then
      return v_survivor;
    end if;
  end if;
  return v_event;
end;
$_$;

COMMENT ON FUNCTION ledger.find_event(p_event_id uuid) IS 'One of the caller''s events, by its id or by its reading''s; for a merged one the event that stands for it; ML204 if there is none, ML213 if there are two, ML202 if it is a void';

CREATE FUNCTION ledger.finish_call(p_call text, p_key text, p_arguments jsonb, p_result jsonb) RETURNS jsonb
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  insert into ledger.event_calls (user_id, idempotency_key, call, arguments, result)
  select auth.uid(), p_key, p_call, p_arguments, p_result
  where p_key is not null;
  select p_result;
$$;

COMMENT ON FUNCTION ledger.finish_call(p_call text, p_key text, p_arguments jsonb, p_result jsonb) IS 'Notes what a call with a key answered, and hands it on';

CREATE FUNCTION ledger.finish_migration(p_run_id bigint) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_started timestamptz := clock_timestamp();
  v_count bigint;
  v_list text;
  v_run ledger.migration_runs;
begin
  select count(*), string_agg(d.problem || ': ' || d.reading_id, ', ') filter (where d.nth <= 10)
  into v_count, v_list
  from (
    select f.reading_id, f.problem, row_number() over () as nth
    from ledger.migration_differences() as f
  ) as d;
  if v_count > 0 then
    raise exception 'meterledger: % readings do not come back as they were: %', v_count, v_list
      using errcode = 'ML004',
        detail = 'Next: Nothing was migrated by this transaction. Report it as a defect, with these rows.';
  end if;

  update ledger.migration_runs as m
  set finished_at = clock_timestamp(),
    legacy_rows = (select count(*) from public.electricity_readings),
    seconds = m.seconds || jsonb_build_object(
      'validation', extract(epoch from clock_timestamp() - v_started),
      'total', extract(epoch from clock_timestamp() - m.started_at)
    )
  where m.run_id = p_run_id
  returning m.* into v_run;
  return to_jsonb(v_run);
end;
$$;

COMMENT ON FUNCTION ledger.finish_migration(p_run_id bigint) IS 'Proves that the books balance and that the view gives every row back (else ML004), closes the run';

CREATE FUNCTION ledger.guard_batch_update() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  if new.created_by is distinct from old.created_by
    and (old.created_by is not null or new.created_by <> new.user_id)
  then
    raise exception 'recalculation % says who recorded it', old.id
      using errcode = 'ML101', hint = 'Leave created_by as it is.';
  end if;
  return new;
end;
$$;

COMMENT ON FUNCTION ledger.guard_batch_update() IS 'Refuses to change who recorded a recalculation (ML101)';

CREATE FUNCTION ledger.guard_direct_insert() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.guard_direct_insert() IS 'Refuses what an API role may not record: a second VOID event (23505), a void of a void (ML202), a VOID event without its target (ML203, 23503), a date more than a day ahead (ML201), a top-up that adds nothing (23514)';

CREATE FUNCTION ledger.guard_direct_void() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.guard_direct_void() IS 'Refuses that an API role voids a void (ML202)';

CREATE FUNCTION ledger.guard_event_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  if exists (
    select from old_rows as o inner join public.user_profiles as p on p.id = o.user_id
  ) and not ledger.in_maintenance() then
    raise exception 'events are never deleted'
      using errcode = 'ML101', hint = 'Void the event: set is_voided, voided_at and voided_reason.';
  end if;
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.guard_event_delete() IS 'Refuses deletion (ML101) unless the user''s whole profile goes';

CREATE FUNCTION ledger.guard_event_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_kept public.token_events := new;
  v_generated text[];
  v_differs boolean;
begin
  v_kept.is_voided := old.is_voided;
  v_kept.voided_at := old.voided_at;
  v_kept.voided_by := old.voided_by;
  v_kept.voided_reason := old.voided_reason;
  v_kept.recalc_batch_id := old.recalc_batch_id;
  v_differs := v_kept *<> old;
  if v_differs then
    -- A generated column of the app's own is computed after this trigger, and null until then.
    select array_agg(a.attname::text) into v_generated
    from pg_attribute as a
    where a.attrelid = tg_relid and a.attgenerated <> '' and not a.attisdropped;
    v_differs := v_generated is null
      or (to_jsonb(v_kept) - v_generated)::text <> (to_jsonb(old) - v_generated)::text;
  end if;
  if (v_differs or (old.is_voided and not new.is_voided)) and not ledger.in_maintenance() then
    raise exception 'event % says what it says: it can be voided, and nothing else', old.id
      using errcode = 'ML101',
        hint = 'Void it (is_voided = true) and insert a new event with the corrected values.';
  end if;
  return new;
end;
$$;

COMMENT ON FUNCTION ledger.guard_event_update() IS 'Events are append-only: refuses every change but voiding and the recalculation link (ML101)';

CREATE FUNCTION ledger.guard_settings() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  if new.time_zone is not null
    and not exists (select from pg_timezone_names as z where z.name = new.time_zone)
  then
    raise exception 'meterledger: there is no time zone named %', new.time_zone
      using errcode = '22023', detail = 'Next: Use a name such as Asia/Jakarta, see pg_timezone_names.';
  end if;
  new.changed_at := now();
  return new;
end;
$$;

COMMENT ON FUNCTION ledger.guard_settings() IS 'Refuses a time zone that Postgres does not know';

CREATE FUNCTION ledger.in_maintenance() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
  select exists (
    select from ledger.maintenance as m where m.xact_id = pg_current_xact_id_if_assigned()
  );
$$;

COMMENT ON FUNCTION ledger.in_maintenance() IS 'True inside a transaction of the migration that may amend or delete events';

CREATE FUNCTION ledger.is_back_dated(p_event public.token_events) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.is_back_dated(p_event public.token_events) IS 'Whether a counted event of the caller comes after this place in the order';

CREATE FUNCTION ledger.keep_time_zone() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  if exists (select from ledger.migrated_readings) then
    raise exception 'meterledger: readings were migrated by the days of %, so it cannot become %',
      old.time_zone, coalesce(new.time_zone, 'unset')
      using errcode = 'ML002', detail = 'Next: Undo the data migration first: select ledger.undo_data_migration();';
  end if;
  return new;
end;
$$;

COMMENT ON FUNCTION ledger.keep_time_zone() IS 'Refuses (ML002) to change the time zone while migrated events exist';

CREATE FUNCTION ledger.migrate_data(p_batch_rows integer DEFAULT 50000) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_run_id bigint := ledger.start_migration();
  v_users uuid[];
begin
  analyze public.electricity_readings, public.token_events;
  for v_users in
    select array_agg(u.user_id order by u.user_id)
    from (
      select
        r.user_id,
        floor((sum(count(*)) over (order by r.user_id) - count(*)) / p_batch_rows) as batch
      from ledger.pending_readings as r
      group by r.user_id
    ) as u
    group by u.batch
    order by u.batch
  loop
    perform ledger.migrate_users(v_run_id, v_users);
  end loop;
  return ledger.finish_migration(v_run_id);
end;
$$;

COMMENT ON FUNCTION ledger.migrate_data(p_batch_rows integer) IS 'Moves all pending legacy rows, in batches of whole users, in one transaction; a rerun moves none';

CREATE FUNCTION ledger.migrate_readings(p_reading_ids uuid[], p_run_id bigint, p_just_written boolean) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  v_users uuid[];
  v_superseded uuid[];
  v_namesakes bigint;
  v_rejected bigint;
  v_migrated bigint;
  v_completed bigint;
  v_merged bigint;
  v_started timestamptz;
begin
  select array_agg(distinct m.user_id) into v_users
  from unnest(p_reading_ids) as i (reading_id)
  inner join ledger.mapped_readings as m on m.reading_id = i.reading_id
  where m.reject_reason is null or m.reject_reason not in ('no user', 'no profile owns it');
  if v_users is not null then
    perform ledger.take_turns(v_users);
  end if;

  -- A live write may bring a new version of a reading that an event stands for already.
  if p_run_id is null then
    with superseded as (
      update ledger.migrated_readings as l
      set superseded = true
      from unnest(p_reading_ids) as i (reading_id)
      where l.user_id = any (v_users) and l.reading_id = i.reading_id and not l.superseded
      returning l.event_id
    )
    select array_agg(s.event_id) into v_superseded from superseded as s;
    delete from ledger.migration_rejects as x where x.reading_id = any (p_reading_ids);
  end if;

  -- Rows of nobody know no turns: who deletes one waits for its rejection, or is waited for.
  perform
  from public.electricity_readings as r
  where r.id = any (p_reading_ids)
    and not exists (select from public.user_profiles as p where p.id = r.user_id)
  for key share of r;

  insert into ledger.migration_rejects (reading_id, user_id, reason, row_data, run_id)
  select r.id, r.user_id, m.reject_reason, to_jsonb(r), p_run_id
  from unnest(p_reading_ids) as i (reading_id)
  inner join ledger.mapped_readings as m on m.reading_id = i.reading_id
  inner join public.electricity_readings as r on r.id = i.reading_id
  where m.reject_reason is not null;
  get diagnostics v_rejected = row_count;

  -- The plan: which event stands for which reading, and which dual-written event it absorbs. What
  -- was written just now absorbs only what its own client wrote within the hour.
  with
  wanted as materialized (
    select
      m.reading_id, m.user_id, m.event_type, m.event_date, m.created_at, m.kwh_amount, m.local_day
    from unnest(p_reading_ids) as i (reading_id)
    inner join ledger.mapped_readings as m on m.reading_id = i.reading_id
    where m.reject_reason is null
  ),
  -- Events of the same user under the reading's own id, voided ones too.
  namesakes as materialized (
    select
      w.user_id,
      w.reading_id,
      not e.is_voided and e.reading_id is null
      and e.event_type = w.event_type and e.kwh_amount = w.kwh_amount
      and (e.event_date at time zone (select ledger.time_zone()))::date = w.local_day
      and not exists (
        select from ledger.migrated_readings as l
        where l.user_id = e.user_id and l.reading_id = e.id and l.event_id = e.id
      ) as same_fact
    from wanted as w
    inner join public.token_events as e on e.user_id = w.user_id and e.id = w.reading_id
  ),
  -- The nth statement of a fact among the events belongs to the nth among the readings.
  candidates as materialized (
    select
      e.user_id,
      e.id,
      e.event_type,
      e.kwh_amount,
      d.local_day,
      row_number() over (
        partition by e.user_id, e.event_type, e.kwh_amount, d.local_day
        order by e.event_date, e.created_at, e.id
      ) as nth
    from public.token_events as e
    cross join lateral (
      select (e.event_date at time zone (select ledger.time_zone()))::date as local_day
    ) as d
    where e.user_id = any (v_users)
      and not e.is_voided and e.event_type in ('TOPUP', 'METER_READING')
      and (not p_just_written or e.created_at > now() - interval '1 hour')
      and not exists (
        select from ledger.migrated_readings as l
        where l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id)
          and l.event_id = e.id
      )
      and not exists (
        select from namesakes as s
        where s.user_id = e.user_id and s.reading_id = e.id and s.same_fact
      )
  ),
  numbered as (
    select
      w.*,
      row_number() over (
        partition by w.user_id, w.event_type, w.kwh_amount, w.local_day
        order by w.event_date, w.created_at, w.reading_id
      ) as nth
    from wanted as w
    where not exists (
      select from namesakes as s
      where s.user_id = w.user_id and s.reading_id = w.reading_id and s.same_fact
    )
  ),
  plan as materialized (
    select
      n.user_id,
      n.reading_id,
      case when s.reading_id is null then n.reading_id else gen_random_uuid() end as event_id,
      false as completed,
      c.id as absorbed_id
    from numbered as n
    left join namesakes as s on s.user_id = n.user_id and s.reading_id = n.reading_id
    left join candidates as c
      on c.user_id = n.user_id and c.event_type = n.event_type and c.kwh_amount = n.kwh_amount
        and c.local_day = n.local_day and c.nth = n.nth
    union all
    select s.user_id, s.reading_id, s.reading_id, true, null
    from namesakes as s
    where s.same_fact
  ),
  listed as (
    insert into ledger.migrated_readings (user_id, reading_id, event_id, run_id, completed)
    select p.user_id, p.reading_id, p.event_id, p_run_id, p.completed
    from plan as p
    order by p.user_id, p.reading_id
    returning completed
  ),
  merged as (
    insert into ledger.merges (user_id, event_id, reading_id, survivor_id, run_id)
    select p.user_id, p.absorbed_id, p.reading_id, p.event_id, p_run_id
    from plan as p
    where p.absorbed_id is not null
    order by p.user_id, p.absorbed_id
    returning 1
  )
  select
    (select count(*) from listed),
    (select count(*) from listed as l where l.completed),
    (select count(*) from merged),
    (select count(*) from namesakes)
  into v_migrated, v_completed, v_merged, v_namesakes;

  -- A merged event's survivor moves on with an edit, as long as the reading states the same fact.
  if v_superseded is not null then
    update ledger.merges as g
    set survivor_id = l.event_id
    from ledger.migrated_readings as l
    inner join ledger.mapped_readings as m
      on m.user_id = l.user_id and m.reading_id = l.reading_id
    inner join public.token_events as e
      on e.user_id = l.user_id and e.id = any (v_superseded)
        and e.event_type = m.event_type and e.kwh_amount = m.kwh_amount
        and (e.event_date at time zone (select ledger.time_zone()))::date = m.local_day
    where l.user_id = any (v_users) and l.reading_id = any (p_reading_ids) and not l.superseded
      and g.user_id = l.user_id and g.reading_id = l.reading_id and g.survivor_id = e.id;
  end if;
  if v_merged > 0 then
    update public.token_events as e
    set is_voided = true, voided_at = now(), voided_reason = 'merged into ' || g.reading_id
    from ledger.merges as g
    where g.user_id = any (v_users) and g.reading_id = any (p_reading_ids)
      and e.user_id = g.user_id and e.id = g.event_id and not e.is_voided;
  end if;
  if v_namesakes > 0 then
    perform ledger.amend_namesakes(p_reading_ids, p_run_id);
  end if;

  -- Void what an earlier version became and record the new one in one statement, so that no
  -- trigger sees the reading gone in between.
  v_started := clock_timestamp();
  with voided as (
    update public.token_events as e
    set is_voided = true, voided_at = now(), voided_reason = 'reading changed'
    where v_superseded is not null
      and e.user_id = any (v_users) and e.id = any (v_superseded) and not e.is_voided
    returning e.user_id, e.id
  ),
  noted as (
    update ledger.migrated_readings as l
    set sync_voided = true
    from voided as v
    where l.user_id = v.user_id and l.reading_id = any (p_reading_ids) and l.event_id = v.id
  )
  insert into public.token_events (
    id, user_id, event_type, event_date, kwh_amount, token_cost, notes, meter_photo_url,
    created_at, metadata, observed_kwh, legacy_token_amount, reading_id
  )
  select
    l.event_id, m.user_id, m.event_type, m.event_date, m.kwh_amount, m.token_cost, m.notes,
    m.meter_photo_url, m.created_at, '{"migrated_from": "electricity_readings"}', m.observed_kwh,
    m.legacy_token_amount, nullif(l.reading_id, l.event_id)
  from unnest(p_reading_ids) as i (reading_id)
  inner join ledger.mapped_readings as m on m.reading_id = i.reading_id
  inner join ledger.migrated_readings as l
    on l.user_id = m.user_id and l.reading_id = m.reading_id
      and not l.superseded and not l.completed
  where (select count(*) from voided) >= 0
    and m.user_id = any (v_users) and l.user_id = any (v_users)
  order by m.user_id, m.event_date, m.created_at, l.event_id;

  return jsonb_build_object(
    'migrated', v_migrated, 'completed', v_completed, 'merged', v_merged, 'rejected', v_rejected,
    'insert_seconds', extract(epoch from clock_timestamp() - v_started)
  );
end;
$$;

COMMENT ON FUNCTION ledger.migrate_readings(p_reading_ids uuid[], p_run_id bigint, p_just_written boolean) IS 'Turns the given legacy rows into events: lists, merges, rejects, inserts; counts as jsonb. Without a run it serves a live write and replaces what an earlier version of a row became; what was just written absorbs only events of the last hour';

CREATE FUNCTION ledger.migrate_users(p_run_id bigint, p_users uuid[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_known uuid[];
  v_reading_ids uuid[];
  v_counts jsonb;
begin
  -- Take turns first: what is pending is read only after live writers of these users are done.
  select array_agg(p.id) into v_known from public.user_profiles as p where p.id = any (p_users);
  if v_known is not null then
    perform ledger.take_turns(v_known);
  end if;
  select array_agg(r.id) into v_reading_ids
  from ledger.pending_readings as r
  where r.user_id = any (p_users)
    or (r.user_id is null and array_position(p_users, null) is not null);
  if v_reading_ids is null then
    return '{}';
  end if;

  v_counts := ledger.migrate_readings(v_reading_ids, p_run_id, false);
  update ledger.migration_runs as m
  set migrated = m.migrated + (v_counts ->> 'migrated')::bigint,
    completed = m.completed + (v_counts ->> 'completed')::bigint,
    merged = m.merged + (v_counts ->> 'merged')::bigint,
    rejected = m.rejected + (v_counts ->> 'rejected')::bigint,
    seconds = m.seconds || jsonb_build_object(
      'insert',
      coalesce((m.seconds ->> 'insert')::numeric, 0) + (v_counts ->> 'insert_seconds')::numeric
    )
  where m.run_id = p_run_id;
  return v_counts;
end;
$$;

COMMENT ON FUNCTION ledger.migrate_users(p_run_id bigint, p_users uuid[]) IS 'Moves the pending legacy rows of the given users, as part of a run; may be its own transaction';

CREATE FUNCTION ledger.migration_differences() RETURNS TABLE(user_id uuid, reading_id uuid, problem text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  with
  live as (
    select l.user_id, l.reading_id, e.is_voided
    from ledger.migrated_readings as l
    left join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
    where not l.superseded
  ),
  judged as (
    select
      coalesce(r.user_id, l.user_id, x.user_id) as user_id,
      coalesce(r.id, l.reading_id, x.reading_id) as reading_id,
      case
        when r.id is null then 'migrated or rejected, but not in electricity_readings'
        when l.reading_id is null and x.reading_id is null then 'neither migrated nor rejected'
        when l.reading_id is not null and x.reading_id is not null
        then 'both migrated and rejected'
        when x.reading_id is not null then null
        when l.is_voided is null then 'its event is missing'
        when l.is_voided then null -- voided since: the view is right not to show it
        when v.id is null then 'missing from the view'
        when
          (v.date, v.kwh_value, v.token_cost, v.token_amount, v.notes, v.meter_photo_url)
          is distinct from
          (r.date, r.kwh_value, r.token_cost, r.token_amount, r.notes, r.meter_photo_url)
          or v.created_at is distinct from coalesce(
            r.created_at,
            (
              select m.created_at from ledger.mapped_readings as m
              where r.created_at is null and m.reading_id = r.id
            )
          )
        then 'the view shows other values'
      end as problem
    from public.electricity_readings as r
    full join live as l on l.user_id = r.user_id and l.reading_id = r.id
    full join ledger.migration_rejects as x on x.reading_id = coalesce(r.id, l.reading_id)
    left join ledger.readings as v on v.user_id = l.user_id and v.id = l.reading_id
  )
  select j.user_id, j.reading_id, j.problem
  from judged as j
  where j.problem is not null;
$$;

COMMENT ON FUNCTION ledger.migration_differences() IS 'Every legacy row whose books do not balance or whose fields the view does not give back';

CREATE FUNCTION ledger.migration_problems() RETURNS TABLE(problem text, next_step text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select
    'the app''s time zone is not confirmed, and a reading''s day depends on it',
    'confirm it: update ledger.settings set time_zone = ''Asia/Jakarta''; (the zone that your '
    || 'users live by), or push with PGOPTIONS="-c ledger.time_zone=Asia/Jakarta"'
  where exists (select from public.electricity_readings)
    and (select s.time_zone is null from ledger.settings as s)
  union all
  select
    format('row level security binds %s on %s, so rows would be missed', current_user, t.name),
    'run as the tables'' owner, with bypassrls'
  from (values ('public.electricity_readings'), ('public.token_events')) as t (name)
  where row_security_active(t.name)
  union all
  select
    format('trigger %s of %s is switched off', t.tgname, t.tgrelid::regclass),
    format('alter table %s enable trigger %I;', t.tgrelid::regclass, t.tgname)
  from pg_trigger as t
  where t.tgenabled = 'D' and not t.tgisinternal
    and t.tgrelid in ('public.token_events'::regclass, 'public.electricity_readings'::regclass)
    and t.tgfoid in (
      select p.oid from pg_proc as p where p.pronamespace = 'ledger'::regnamespace
    )
  union all
  select
    format('row level security is off on %s', c.oid::regclass),
    format('alter table %s enable row level security;', c.oid::regclass)
  from pg_class as c
  where c.oid in ('public.token_events'::regclass, 'ledger.readings'::regclass)
    and not c.relrowsecurity;
$$;

COMMENT ON FUNCTION ledger.migration_problems() IS 'What stands in the way of the data migration, and what to do about it; empty when nothing does';

CREATE FUNCTION ledger.new_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) RETURNS public.token_events
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.new_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) IS 'An event as it would be recorded now; refuses what cannot be true';

CREATE FUNCTION ledger.position_before(p_user_id uuid, p_event_date timestamp with time zone, p_created_at timestamp with time zone, p_id uuid) RETURNS numeric
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS $$
  with
  anchor as (
    select
      e.event_date, e.created_at, e.id,
      case e.event_type when 'METER_READING' then e.kwh_amount else e.observed_kwh end as kwh
    from public.token_events as e
    where e.user_id = position_before.p_user_id and not e.is_voided and e.event_type <> 'VOID'
      and (e.event_type = 'METER_READING' or e.observed_kwh is not null)
      and (e.event_date, e.created_at, e.id) < (
        position_before.p_event_date, position_before.p_created_at, position_before.p_id
      )
    order by e.event_date desc, e.created_at desc, e.id desc
    limit 1
  )
  select
    coalesce((select a.kwh from anchor as a), 0) + coalesce(sum(e.kwh_amount), 0)
  from public.token_events as e
  where e.user_id = position_before.p_user_id and not e.is_voided and e.event_type <> 'VOID'
    and (e.event_date, e.created_at, e.id) > (
      coalesce((select a.event_date from anchor as a), '-infinity'),
      coalesce((select a.created_at from anchor as a), '-infinity'),
      coalesce((select a.id from anchor as a), '00000000-0000-0000-0000-000000000000')
    )
    and (e.event_date, e.created_at, e.id) < (
      position_before.p_event_date, position_before.p_created_at, position_before.p_id
    );
$$;

COMMENT ON FUNCTION ledger.position_before(p_user_id uuid, p_event_date timestamp with time zone, p_created_at timestamp with time zone, p_id uuid) IS 'kWh left just before a place in a user''s order: the last anchor plus the steps since';

CREATE FUNCTION ledger.position_changes(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[] DEFAULT '{}'::uuid[], p_with uuid[] DEFAULT '{}'::uuid[], p_new public.token_events DEFAULT NULL::public.token_events) RETURNS TABLE(event_id uuid, event_type text, event_date timestamp with time zone, created_at timestamp with time zone, current_kwh numeric, supposed_kwh numeric, current_consumption_kwh numeric, supposed_consumption_kwh numeric)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select
    c.event_id, c.event_type, c.event_date, c.created_at, c.position_kwh, s.position_kwh,
    c.consumption_kwh, s.consumption_kwh
  from ledger.positions_if(p_from, p_until) as c
  inner join ledger.positions_if(p_from, p_until, p_without, p_with, p_new) as s
    on s.event_id = c.event_id
  where (c.position_kwh, c.consumption_kwh) is distinct from (s.position_kwh, s.consumption_kwh);
$$;

COMMENT ON FUNCTION ledger.position_changes(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) IS 'Counted events whose position or consumption (kWh) would be another under a supposition';

CREATE FUNCTION ledger.positions_if(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[] DEFAULT '{}'::uuid[], p_with uuid[] DEFAULT '{}'::uuid[], p_new public.token_events DEFAULT NULL::public.token_events) RETURNS TABLE(event_id uuid, event_type text, event_date timestamp with time zone, created_at timestamp with time zone, position_kwh numeric, consumption_kwh numeric)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.positions_if(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) IS 'The caller''s positions and consumptions (kWh) from a stretch to the anchor that ends its effect: as they are, or as they would be without some events, with some voided ones, with a new one';

CREATE FUNCTION ledger.project(p_spans ledger.span[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
begin
  insert into ledger.readings as r (
    id, user_id, date, kwh_value, token_cost, token_amount, notes, meter_photo_url, created_at
  )
  -- An anchor stops every effect: recompute from the last one before the span to the next after it.
  with bounds as materialized (
    select
      s.user_id,
      s.first_date,
      coalesce(base.event_date, '-infinity') as base_date,
      coalesce(base.created_at, '-infinity') as base_created,
      coalesce(base.id, '00000000-0000-0000-0000-000000000000') as base_id,
      coalesce(stop.event_date, 'infinity') as stop_date,
      coalesce(stop.created_at, 'infinity') as stop_created,
      coalesce(stop.id, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as stop_id
    from unnest(p_spans) as s
    left join lateral (
      select e.event_date, e.created_at, e.id
      from public.token_events as e
      where e.user_id = s.user_id and not e.is_voided and e.event_type <> 'VOID'
        and (e.event_type = 'METER_READING' or e.observed_kwh is not null)
        and e.event_date < s.first_date
      order by e.event_date desc, e.created_at desc, e.id desc
      limit 1
    ) as base on true
    left join lateral (
      select e.event_date, e.created_at, e.id
      from public.token_events as e
      where e.user_id = s.user_id and not e.is_voided and e.event_type <> 'VOID'
        and (e.event_type = 'METER_READING' or e.observed_kwh is not null)
        and e.event_date > s.last_date
      order by e.event_date, e.created_at, e.id
      limit 1
    ) as stop on true
  )
  select
    coalesce(p.reading_id, p.id),
    b.user_id,
    ledger.reading_date(p.event_date, (select ledger.time_zone())),
    p.position_kwh,
    p.token_cost,
    case p.event_type when 'TOPUP' then p.kwh_amount else p.legacy_token_amount end,
    p.notes,
    p.meter_photo_url,
    p.created_at
  from bounds as b
  cross join lateral (
    select
      i.*,
      sum(coalesce(i.anchor_kwh, i.step_kwh)) over (
        partition by i.island order by i.event_date, i.created_at, i.id rows unbounded preceding
      ) as position_kwh
    from (
      select
        c.*,
        count(c.anchor_kwh) over (
          order by c.event_date, c.created_at, c.id rows unbounded preceding
        ) as island
      from (
        select
          e.id, e.reading_id, e.event_type, e.event_date, e.created_at, e.kwh_amount,
          e.legacy_token_amount, e.token_cost, e.notes, e.meter_photo_url,
          case e.event_type when 'METER_READING' then e.kwh_amount else e.observed_kwh end
            as anchor_kwh,
          case e.event_type when 'METER_READING' then 0 else e.kwh_amount end as step_kwh
        from public.token_events as e
        where e.user_id = b.user_id and not e.is_voided and e.event_type <> 'VOID'
          and (e.event_date, e.created_at, e.id) >= (b.base_date, b.base_created, b.base_id)
          and (e.event_date, e.created_at, e.id) < (b.stop_date, b.stop_created, b.stop_id)
      ) as c
    ) as i
  ) as p
  where p.event_date >= b.first_date
  on conflict (user_id, id) do update
  set date = excluded.date, kwh_value = excluded.kwh_value, token_cost = excluded.token_cost,
    token_amount = excluded.token_amount, notes = excluded.notes,
    meter_photo_url = excluded.meter_photo_url, created_at = excluded.created_at
  where (
    r.date, r.kwh_value, r.token_cost, r.token_amount, r.notes, r.meter_photo_url, r.created_at
  ) is distinct from (
    excluded.date, excluded.kwh_value, excluded.token_cost, excluded.token_amount,
    excluded.notes, excluded.meter_photo_url, excluded.created_at
  );
end;
$$;

COMMENT ON FUNCTION ledger.project(p_spans ledger.span[]) IS 'Recomputes the projection over the given stretches, up to the anchors that end their effect';

CREATE FUNCTION ledger.project_deletes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
  v_users uuid[];
begin
  -- A user whose profile went with it: ledger.erase_user() takes the rest.
  select array_agg(distinct o.user_id)
  into v_users
  from old_rows as o
  inner join public.user_profiles as p on p.id = o.user_id;
  if v_users is null then
    return null;
  end if;
  perform ledger.take_turns(v_users);

  delete from ledger.readings as r
  using old_rows as o
  where r.user_id = o.user_id and r.id = coalesce(o.reading_id, o.id)
    and not exists (
      select from public.token_events as e
      where e.user_id = r.user_id and coalesce(e.reading_id, e.id) = r.id
        and not e.is_voided and e.event_type <> 'VOID'
    );
  perform ledger.project((
    select array_agg((c.user_id, c.first_date, c.last_date)::ledger.span order by c.user_id)
    from (
      select o.user_id, min(o.event_date) as first_date, max(o.event_date) as last_date
      from old_rows as o
      where o.user_id = any (v_users)
      group by o.user_id
    ) as c
  ));
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.project_deletes() IS 'After a deletion by the migration: brings the projection up to date';

CREATE FUNCTION ledger.project_everything(p_users uuid[] DEFAULT NULL::uuid[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_users uuid[] := p_users;
begin
  if v_users is null then
    select array_agg(u.user_id) into v_users
    from (
      select e.user_id from public.token_events as e
      union
      select r.user_id from ledger.readings as r
    ) as u;
  end if;
  if v_users is null then
    return;
  end if;
  perform ledger.take_turns(v_users);
  delete from ledger.readings as r
  where r.user_id = any (v_users)
    and not exists (
      select from public.token_events as e
      where e.user_id = r.user_id and coalesce(e.reading_id, e.id) = r.id
        and not e.is_voided and e.event_type <> 'VOID'
    );
  perform ledger.project((
    select array_agg((u.user_id, '-infinity', 'infinity')::ledger.span order by u.user_id)
    from unnest(v_users) as u (user_id)
  ));
end;
$$;

COMMENT ON FUNCTION ledger.project_everything(p_users uuid[]) IS 'Recomputes the projection of the given users, or of everybody, from the events';

CREATE FUNCTION ledger.project_inserts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS $$
declare
  v_new record;
  v_position numeric;
  v_follower_moves boolean;
begin
  select
    n.user_id, n.id, n.event_type, n.event_date, n.created_at, n.kwh_amount, n.token_cost,
    n.notes, n.meter_photo_url, n.reading_id, n.legacy_token_amount,
    case n.event_type when 'METER_READING' then n.kwh_amount else n.observed_kwh end as anchor_kwh,
    count(*) over () as n_rows
  into v_new
  from new_rows as n
  where not n.is_voided and n.event_type <> 'VOID'
  limit 1;
  if not found then
    return null;
  end if;

  if v_new.n_rows > 1 then
    perform ledger.take_turns((select array_agg(n.user_id) from new_rows as n));
    perform ledger.project((
      select array_agg((c.user_id, c.first_date, c.last_date)::ledger.span order by c.user_id)
      from (
        select n.user_id, min(n.event_date) as first_date, max(n.event_date) as last_date
        from new_rows as n
        where not n.is_voided and n.event_type <> 'VOID'
        group by n.user_id
      ) as c
    ));
    return null;
  end if;

  -- One event, the usual case.
  insert into ledger.heads as h (user_id) values (v_new.user_id)
  on conflict (user_id) do update set version = h.version + 1, changed_at = clock_timestamp();

  -- Where the event after it is no anchor, that one's position moves too.
  select e.event_type <> 'METER_READING' and e.observed_kwh is null
  into v_follower_moves
  from public.token_events as e
  where e.user_id = v_new.user_id and not e.is_voided and e.event_type <> 'VOID'
    and (e.event_date, e.created_at, e.id) > (v_new.event_date, v_new.created_at, v_new.id)
  order by e.event_date, e.created_at, e.id
  limit 1;

  if v_follower_moves then
    perform ledger.project(
      array[(v_new.user_id, v_new.event_date, v_new.event_date)::ledger.span]
    );
    return null;
  end if;

  v_position := v_new.anchor_kwh;
  if v_position is null then
    v_position := ledger.position_before(
      v_new.user_id, v_new.event_date, v_new.created_at, v_new.id
    ) + v_new.kwh_amount;
  end if;
  insert into ledger.readings as r (
    id, user_id, date, kwh_value, token_cost, token_amount, notes, meter_photo_url, created_at
  )
  values (
    coalesce(v_new.reading_id, v_new.id),
    v_new.user_id,
    ledger.reading_date(
      v_new.event_date, (select coalesce(s.time_zone, 'UTC') from ledger.settings as s)
    ),
    v_position,
    v_new.token_cost,
    case v_new.event_type when 'TOPUP' then v_new.kwh_amount else v_new.legacy_token_amount end,
    v_new.notes,
    v_new.meter_photo_url,
    v_new.created_at
  )
  on conflict (user_id, id) do update
  set date = excluded.date, kwh_value = excluded.kwh_value, token_cost = excluded.token_cost,
    token_amount = excluded.token_amount, notes = excluded.notes,
    meter_photo_url = excluded.meter_photo_url, created_at = excluded.created_at;
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.project_inserts() IS 'After an insert into token_events: brings the projection up to date';

CREATE FUNCTION ledger.project_updates() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
  v_users uuid[];
begin
  -- Links and reasons move nothing. Outside of maintenance an event changes by being voided, never
  -- the other way, so the users whose number of voided events changed are those to recompute.
  select array_agg(c.user_id)
  into v_users
  from (
    select c.user_id
    from (
      select n.user_id, n.is_voided::int as voided from new_rows as n
      union all
      select o.user_id, -(o.is_voided::int) from old_rows as o
    ) as c
    group by c.user_id
    having sum(c.voided) <> 0
      or exists (
        select from ledger.maintenance as m where m.xact_id = pg_current_xact_id_if_assigned()
      )
  ) as c;
  if v_users is null then
    return null;
  end if;
  perform ledger.take_turns(v_users);

  delete from ledger.readings as r
  using old_rows as o
  where r.user_id = o.user_id and r.id = coalesce(o.reading_id, o.id)
    and not exists (
      select from public.token_events as e
      where e.user_id = r.user_id and coalesce(e.reading_id, e.id) = r.id
        and not e.is_voided and e.event_type <> 'VOID'
    );
  perform ledger.project((
    select array_agg((c.user_id, c.first_date, c.last_date)::ledger.span order by c.user_id)
    from (
      select c.user_id, min(c.event_date) as first_date, max(c.event_date) as last_date
      from (
        select o.user_id, o.event_date from old_rows as o
        union all
        select n.user_id, n.event_date from new_rows as n
      ) as c
      where c.user_id = any (v_users)
      group by c.user_id
    ) as c
  ));
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.project_updates() IS 'After an update of token_events (a void): brings the projection up to date';

CREATE FUNCTION ledger.reading_date(p_event_date timestamp with time zone, p_time_zone text) RETURNS date
    LANGUAGE sql IMMUTABLE
    RETURN ((p_event_date AT TIME ZONE p_time_zone))::date;

COMMENT ON FUNCTION ledger.reading_date(p_event_date timestamp with time zone, p_time_zone text) IS 'The date of a reading as the legacy column has it: the local day, or the instant';

CREATE FUNCTION ledger.refuse_impossible(p_event public.token_events) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.refuse_impossible(p_event public.token_events) IS 'Refuses a new event that cannot be true, in words for the client: ML200, ML201, ML203, 23514';

CREATE FUNCTION ledger.refuse_truncate() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  raise exception '%.% is never truncated', tg_table_schema, tg_table_name
    using errcode = 'ML101', hint = 'To remove a user''s data, delete the user''s profile.';
end;
$$;

COMMENT ON FUNCTION ledger.refuse_truncate() IS 'Refuses TRUNCATE of the ledger (ML101)';

CREATE FUNCTION ledger.require_columns(p_table regclass, p_columns jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_problems text;
begin
  select string_agg(
    format('%s: expected %s, found %s', c.key, c.value #>> '{}', coalesce(f.type_name, 'no column')),
    '; ' order by c.key
  )
  into v_problems
  from jsonb_each(p_columns) as c
  left join lateral (
    select format_type(a.atttypid, null) as type_name
    from pg_attribute as a
    where a.attrelid = p_table and a.attname = c.key and a.attnum > 0 and not a.attisdropped
  ) as f on true
  where f.type_name is null or f.type_name <> all (string_to_array(c.value #>> '{}', '|'));

  if v_problems is not null then
    raise exception 'meterledger: % has a shape that this rollout does not know: %',
      p_table, v_problems
      using errcode = 'ML001',
        detail = 'Next: Bring the columns to the expected types, or tell meterledger''s authors about '
          'this shape; nothing has been changed.';
  end if;
end;
$$;

COMMENT ON FUNCTION ledger.require_columns(p_table regclass, p_columns jsonb) IS 'Raises ML001 with a list unless the table has each named column in one of the types given as a|b';

CREATE FUNCTION ledger.start_migration() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_wanted text := nullif(current_setting('ledger.time_zone', true), '');
  v_problems text;
  v_steps text;
  v_run_id bigint;
begin
  if v_wanted is not null then
    update ledger.settings set time_zone = v_wanted where time_zone is distinct from v_wanted;
  end if;
  select string_agg(p.problem, '; '), string_agg(p.next_step, '; ')
  into v_problems, v_steps
  from ledger.migration_problems() as p;
  if v_problems is not null then
    raise exception 'meterledger: the data migration cannot start: %', v_problems
      using errcode = 'ML002', detail = 'Next: ' || v_steps;
  end if;

  insert into ledger.migration_runs (kind, settings)
  select 'migrate', jsonb_build_object(
    'time_zone', s.time_zone, 'server_version', current_setting('server_version')
  )
  from ledger.settings as s
  returning run_id into v_run_id;
  return v_run_id;
end;
$$;

COMMENT ON FUNCTION ledger.start_migration() IS 'Takes over the custom setting ledger.time_zone, checks that the data may move (else ML002 with the list), opens a run';

CREATE FUNCTION ledger.sync_deletes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform ledger.void_readings(array_agg(o.id), array_agg(o.user_id))
  from old_rows as o
  having count(*) > 0;
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.sync_deletes() IS 'After a delete from electricity_readings: voids its events';

CREATE FUNCTION ledger.sync_inserts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  if (select s.time_zone is not null from ledger.settings as s) then
    perform ledger.migrate_readings(array_agg(n.id), null, true)
    from new_rows as n
    having count(*) > 0;
  end if;
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.sync_inserts() IS 'After an insert into electricity_readings: records it';

CREATE FUNCTION ledger.sync_updates() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  -- A row whose key moved is a deleted and a new one.
  perform ledger.void_readings(array_agg(o.id), array_agg(o.user_id))
  from old_rows as o
  where not exists (select from new_rows as n where n.user_id = o.user_id and n.id = o.id)
  having count(*) > 0;

  if (select s.time_zone is not null from ledger.settings as s) then
    -- A row that still waited for the data migration is migrated now, as that would have done.
    perform ledger.migrate_readings(array_agg(n.id), null, n.known)
    from (
      select
        n.*,
        exists (
          select from ledger.migrated_readings as l
          where l.user_id = n.user_id and l.reading_id = n.id
        ) as known
      from new_rows as n
    ) as n
    left join old_rows as o on o.user_id = n.user_id and o.id = n.id
    where o.id is null
      or (
        n.date, n.kwh_value, n.token_amount, n.token_cost, n.notes, n.meter_photo_url, n.created_at
      ) is distinct from (
        o.date, o.kwh_value, o.token_amount, o.token_cost, o.notes, o.meter_photo_url, o.created_at
      )
    group by n.known;
  end if;
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.sync_updates() IS 'After an update of electricity_readings: voids what changed and records the new version';

CREATE FUNCTION ledger.take_own_turn() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := auth.uid();
begin
  if v_user_id is not null then
    perform ledger.take_turns(array[v_user_id]);
  end if;
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.take_own_turn() IS 'Before a signed-in user''s update of token_events: takes the user''s turn, so that no ring forms';

CREATE FUNCTION ledger.take_turns(p_users uuid[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    AS $$
  -- The profile first, as its deletion does: so neither waits for the other in a ring.
  with present as materialized (
    select p.id
    from public.user_profiles as p
    where p.id = any (p_users)
    order by p.id
    for key share
  )
  insert into ledger.heads as h (user_id)
  select p.id from present as p order by p.id
  on conflict (user_id) do update set version = h.version + 1, changed_at = clock_timestamp();
$$;

COMMENT ON FUNCTION ledger.take_turns(p_users uuid[]) IS 'Makes writers of the same users wait for each other, in user order; statements after it see what the earlier writer did (READ COMMITTED) or fail with 40001 (stricter levels)';

CREATE FUNCTION ledger.time_zone() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
  select coalesce((select s.time_zone from ledger.settings as s), 'UTC');
$$;

COMMENT ON FUNCTION ledger.time_zone() IS 'The confirmed time zone of the app, UTC while none is confirmed';

CREATE FUNCTION ledger.told_event(p_event_id uuid) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select to_jsonb(e)
  from public.token_events as e
  where e.user_id = (select auth.uid()) and e.id = p_event_id;
$$;

COMMENT ON FUNCTION ledger.told_event(p_event_id uuid) IS 'One of the caller''s events, as a call answers it';

CREATE FUNCTION ledger.undo_data_migration() RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_run_id bigint;
  v_users uuid[];
  v_counts jsonb := '{}';
  v_count bigint;
begin
  insert into ledger.migration_runs (kind) values ('undo') returning run_id into v_run_id;
  select array_agg(distinct l.user_id) into v_users from ledger.migrated_readings as l;
  if v_users is not null then
    perform ledger.take_turns(v_users);
  end if;
  insert into ledger.maintenance (purpose) values ('undo data migration');

  -- What clients wrote about migrated events since is set aside, whole, and named: voids, voids of
  -- those voids, and other events' references.
  with recursive
  doomed as (
    select l.user_id, l.event_id as id from ledger.migrated_readings as l where not l.completed
    union
    select v.user_id, v.id
    from doomed as d
    inner join public.token_events as v
      on v.user_id = d.user_id and v.void_of_event = d.id and v.event_type = 'VOID'
  ),
  cleared as (
    update public.token_events as e
    set void_of_event = null
    from doomed as d
    where e.user_id = d.user_id and e.void_of_event = d.id and e.event_type <> 'VOID'
    returning e.user_id, e.id, d.id as target_id
  ),
  moved as (
    delete from public.token_events as v
    using doomed as d
    where v.user_id = d.user_id and v.id = d.id and v.event_type = 'VOID'
    returning v.*
  )
  insert into ledger.set_aside (user_id, kind, reason, row_data)
  select m.user_id, 'void event', 'it voids migrated event ' || m.void_of_event, to_jsonb(m)
  from moved as m
  union all
  select
    c.user_id, 'event reference', format('event %s refers to event %s', c.id, c.target_id),
    jsonb_build_object('id', c.id, 'void_of_event', c.target_id)
  from cleared as c;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('void_events_set_aside', v_count);

  with moved as (
    update public.recalculation_batches as b
    set trigger_event_id = null
    from ledger.migrated_readings as l
    where b.user_id = l.user_id and b.trigger_event_id = l.event_id and not l.completed
    returning l.event_id, b.*
  )
  insert into ledger.set_aside (user_id, kind, reason, row_data)
  select
    m.user_id, 'batch reference', format('batch %s refers to migrated event %s', m.id, m.event_id),
    to_jsonb(m) - 'event_id' || jsonb_build_object('trigger_event_id', m.event_id)
  from moved as m;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('batch_references_set_aside', v_count);

  insert into ledger.set_aside (user_id, kind, reason, row_data)
  select e.user_id, 'voided event', 'a client voided this migrated event', to_jsonb(e)
  from ledger.migrated_readings as l
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
  where e.is_voided and not l.sync_voided and not l.completed;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('voided_events_set_aside', v_count);

  insert into ledger.set_aside (user_id, kind, reason, row_data)
  select e.user_id, 'recalculation link', 'migrated event of batch ' || e.recalc_batch_id,
    to_jsonb(e)
  from ledger.migrated_readings as l
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
  where e.recalc_batch_id is not null and not l.completed;

  -- A merged event whose survivor a client voided stays voided, in the client's words.
  with stays as (
    delete from ledger.merges as g
    using ledger.migrated_readings as l, public.token_events as s
    where l.user_id = g.user_id and l.reading_id = g.reading_id and l.event_id = g.survivor_id
      and s.user_id = g.user_id and s.id = g.survivor_id
      and s.is_voided and not l.sync_voided
    returning g.user_id, g.event_id, s.voided_at, s.voided_by, s.voided_reason
  )
  update public.token_events as e
  set voided_at = s.voided_at, voided_by = s.voided_by, voided_reason = s.voided_reason
  from stays as s
  where e.user_id = s.user_id and e.id = s.event_id;

  delete from public.token_events as e
  using ledger.migrated_readings as l
  where e.user_id = l.user_id and e.id = l.event_id and not l.completed;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('removed', v_count);

  -- Where a client voided it since, in words of its own, it stays so.
  update public.token_events as e
  set is_voided = false, voided_at = null, voided_by = null, voided_reason = null
  from ledger.merges as g
  where e.user_id = g.user_id and e.id = g.event_id
    and e.voided_reason = 'merged into ' || g.reading_id;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('unmerged', v_count);

  update public.token_events as e
  set is_voided = false, voided_at = null, voided_by = null, voided_reason = null
  from ledger.migrated_readings as l
  where l.completed and l.sync_voided and e.user_id = l.user_id and e.id = l.event_id;

  update public.token_events as e
  set event_date = b.event_date, observed_kwh = b.observed_kwh, token_cost = b.token_cost,
    legacy_token_amount = b.legacy_token_amount, notes = b.notes,
    meter_photo_url = b.meter_photo_url, created_at = b.created_at, reading_id = b.reading_id,
    metadata = case when (a.before ->> 'had_metadata')::boolean then a.before -> 'metadata' end
  from ledger.amended_events as a
  cross join lateral jsonb_populate_record(null::public.token_events, a.before) as b
  where e.user_id = a.user_id and e.id = a.event_id;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('restored', v_count);

  delete from ledger.migrated_readings;
  delete from ledger.merges;
  delete from ledger.amended_events;
  delete from ledger.migration_rejects;
  delete from ledger.maintenance where xact_id = pg_current_xact_id();
  update ledger.migration_runs as m
  set finished_at = clock_timestamp(), settings = v_counts,
    legacy_rows = (select count(*) from public.electricity_readings)
  where m.run_id = v_run_id;
  return v_counts;
end;
$$;

COMMENT ON FUNCTION ledger.undo_data_migration() IS 'Removes exactly what was migrated, un-voids exactly what was merged, sets aside what points at either, keeps everything written since; counts as jsonb';

CREATE FUNCTION ledger.void_event_of(p_event_id uuid) RETURNS uuid
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select v.id
  from public.token_events as v
  where v.user_id = (select auth.uid()) and v.void_of_event = p_event_id
    and v.event_type = 'VOID' and not v.is_voided;
$$;

COMMENT ON FUNCTION ledger.void_event_of(p_event_id uuid) IS 'The VOID event of one of the caller''s events';

CREATE FUNCTION ledger.void_readings(p_reading_ids uuid[], p_users uuid[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_users uuid[];
begin
  -- With a deleted profile everything goes, and there is nothing to void.
  select array_agg(distinct p.id) into v_users
  from public.user_profiles as p
  where p.id = any (p_users);
  if v_users is not null then
    perform ledger.take_turns(v_users);
  end if;
  -- Only now: a batch that had its turn first may have rejected one of these rows meanwhile.
  delete from ledger.migration_rejects as x where x.reading_id = any (p_reading_ids);
  if v_users is null then
    return;
  end if;
  with
  gone as (
    update ledger.migrated_readings as l
    set superseded = true,
      sync_voided = exists (
        select from public.token_events as e
        where e.user_id = l.user_id and e.id = l.event_id and not e.is_voided
      )
    where l.user_id = any (v_users) and l.reading_id = any (p_reading_ids) and not l.superseded
    returning l.user_id, l.event_id
  )
  update public.token_events as e
  set is_voided = true, voided_at = now(), voided_reason = 'reading deleted'
  from gone as g
  where e.user_id = g.user_id and e.id = g.event_id and not e.is_voided;
end;
$$;

COMMENT ON FUNCTION ledger.void_readings(p_reading_ids uuid[], p_users uuid[]) IS 'Voids the events that stand for deleted legacy readings';

CREATE FUNCTION ledger.void_survivors() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
  v_void record;
begin
  if not exists (select from old_rows as o where o.is_voided) then
    return null;
  end if;

  -- A client that holds a merged event's id and voids it means the fact. Such an event was voided
  -- before and is now voided in other words.
  for v_void in
    select g.user_id, g.survivor_id, e.voided_at, e.voided_by, e.voided_reason
    from (
      select v.user_id, v.id
      from (
        select o.user_id, o.id, o.voided_at, o.voided_by, o.voided_reason
        from old_rows as o
        where o.is_voided
        union
        select n.user_id, n.id, n.voided_at, n.voided_by, n.voided_reason
        from new_rows as n
        where n.is_voided
      ) as v
      group by v.user_id, v.id
      having count(*) > 1
    ) as c
    inner join ledger.merges as g on g.user_id = c.user_id and g.event_id = c.id
    inner join public.token_events as e on e.user_id = c.user_id and e.id = c.id
  loop
    update public.token_events as s
    set is_voided = true, voided_at = coalesce(v_void.voided_at, now()),
      voided_by = v_void.voided_by, voided_reason = v_void.voided_reason
    where s.user_id = v_void.user_id and s.id = v_void.survivor_id and not s.is_voided;
  end loop;
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.void_survivors() IS 'After a client voids a merged event: voids the migrated event that stands for the same fact';

CREATE FUNCTION ledger.write_batch(p_batch_id uuid, p_trigger_type text, p_trigger_event_id uuid, p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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
  from jsonb_array_elements(v_affected) as a (event)
  where e.user_id = v_user_id and e.id = (a.event ->> 'event_id')::uuid;
  return v_batch;
end;
$$;

COMMENT ON FUNCTION ledger.write_batch(p_batch_id uuid, p_trigger_type text, p_trigger_event_id uuid, p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) IS 'Writes the recalculation of a change that is made already, and links the affected events to it';

CREATE FUNCTION public.calculate_user_positions(p_user_id uuid) RETURNS TABLE(event_id uuid, user_id uuid, event_type text, event_date timestamp with time zone, kwh_amount numeric, token_cost numeric, notes text, meter_photo_url text, calculated_position numeric, daily_consumption numeric, is_topup boolean, created_at timestamp with time zone)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  with
  -- Each counted event as an anchor (what the meter showed) or a step (kWh added), in order.
  counted as (
    select
      e.*,
      case e.event_type when 'METER_READING' then e.kwh_amount else e.observed_kwh end as anchor_kwh,
      case e.event_type when 'METER_READING' then 0 else e.kwh_amount end as step_kwh
    from public.token_events as e
    where e.user_id = calculate_user_positions.p_user_id
      and not e.is_voided
      and e.event_type <> 'VOID'
  ),
  -- Island n holds the n-th anchor and the steps up to the next one; island 0 starts from 0 kWh.
  islands as (
    select
      c.*,
      count(c.anchor_kwh) over (
        order by c.event_date, c.created_at, c.id rows unbounded preceding
      ) as island
    from counted as c
  ),
  positions as (
    select
      i.*,
      sum(coalesce(i.anchor_kwh, i.step_kwh)) over (
        partition by i.island order by i.event_date, i.created_at, i.id rows unbounded preceding
      ) as position_kwh
    from islands as i
  )
  select
    p.id,
    p.user_id,
    p.event_type,
    p.event_date,
    p.kwh_amount,
    p.token_cost,
    p.notes,
    p.meter_photo_url,
    p.position_kwh,
    case
      when p.anchor_kwh is not null
      then lag(p.position_kwh) over (order by p.event_date, p.created_at, p.id)
        + p.step_kwh - p.anchor_kwh
    end,
    p.event_type = 'TOPUP',
    p.created_at
  from positions as p
  order by p.event_date, p.created_at, p.id;
$$;

COMMENT ON FUNCTION public.calculate_user_positions(p_user_id uuid) IS 'kWh left after each counted event of one user, and what was used up to each anchor (kWh)';

CREATE FUNCTION public.create_user_profile() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
    begin
      insert into public.user_profiles (id) values (new.id) on conflict (id) do nothing;
      return new;
    end;
    $$;

COMMENT ON FUNCTION public.create_user_profile() IS 'Gives each new user a profile';

CREATE FUNCTION public.preview_backdate(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone DEFAULT NULL::timestamp with time zone, p_observed_kwh numeric DEFAULT NULL::numeric) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
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
  from ledger.position_changes(v_new.event_date, v_new.event_date, p_new => v_new) as c;
  select jsonb_build_object(
    'position_kwh', p.position_kwh, 'consumption_kwh', p.consumption_kwh, 'later', v_later
  ) into v_result
  from ledger.positions_if(v_new.event_date, v_new.event_date, p_new => v_new) as p
  where p.event_id = v_new.id;
  return v_result;
end;
$$;

COMMENT ON FUNCTION public.preview_backdate(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) IS 'What record_event would do, without doing it. Answers {position_kwh, consumption_kwh, later}: later is an array of {event_id, event_type, event_date, old_kwh, new_kwh, old_consumption_kwh, new_consumption_kwh} of the events whose position or consumption would change';

CREATE FUNCTION public.recalculate(p_event_id uuid, p_idempotency_key text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
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
$_$;

COMMENT ON FUNCTION public.recalculate(p_event_id uuid, p_idempotency_key text) IS 'For a change that was written directly: writes the recalculation of a recorded, replaced (metadata.replaces) or voided event, old positions being those without the change, and links the affected events. Answers {batch}';

CREATE FUNCTION public.record_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone DEFAULT NULL::timestamp with time zone, p_token_cost numeric DEFAULT NULL::numeric, p_notes text DEFAULT NULL::text, p_meter_photo_url text DEFAULT NULL::text, p_observed_kwh numeric DEFAULT NULL::numeric, p_metadata jsonb DEFAULT NULL::jsonb, p_idempotency_key text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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
  from ledger.positions_if(v_new.event_date, v_new.event_date) as p
  where p.event_id = v_new.id;
  return ledger.finish_call('record_event', p_idempotency_key, v_arguments, v_result);
end;
$$;

COMMENT ON FUNCTION public.record_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_token_cost numeric, p_notes text, p_meter_photo_url text, p_observed_kwh numeric, p_metadata jsonb, p_idempotency_key text) IS 'Records a TOPUP, METER_READING or ADJUSTMENT (kWh; cost in the profile''s currency; now unless p_event_date says when). Answers {event, position_kwh, consumption_kwh, batch}; batch is the recalculation of a back-dated event, else null';

CREATE FUNCTION public.refresh_readings_mv() RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_started timestamptz := clock_timestamp();
  v_rows bigint;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('meterledger.refresh_readings_mv', 0)) then
    insert into ledger.refresh_log (started_at, finished_at, outcome)
    values (v_started, clock_timestamp(), 'skipped');
    return jsonb_build_object('outcome', 'skipped');
  end if;
  refresh materialized view concurrently public.electricity_readings_mv;
  select count(*) into v_rows from public.electricity_readings_mv;
  insert into ledger.refresh_log (started_at, finished_at, outcome, mv_rows)
  values (v_started, clock_timestamp(), 'refreshed', v_rows);
  return jsonb_build_object(
    'outcome', 'refreshed', 'rows', v_rows,
    'seconds', round(extract(epoch from clock_timestamp() - v_started), 3)
  );
end;
$$;

COMMENT ON FUNCTION public.refresh_readings_mv() IS 'Refreshes electricity_readings_mv beside its readers; answers skipped while another refresh runs';

CREATE FUNCTION public.replace_event(p_event_id uuid, p_changes jsonb, p_reason text DEFAULT NULL::text, p_idempotency_key text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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
  from ledger.positions_if(v_new.event_date, v_new.event_date) as p
  where p.event_id = v_new.id;
  return ledger.finish_call('replace_event', p_idempotency_key, v_arguments, v_result);
end;
$$;

COMMENT ON FUNCTION public.replace_event(p_event_id uuid, p_changes jsonb, p_reason text, p_idempotency_key text) IS 'Voids an event and records it again with the changed columns; what p_changes does not name stays. Linked both ways: metadata.replaces, and metadata.replaced_by of the VOID event. Answers {event, position_kwh, consumption_kwh, replaced, void, batch}';

CREATE FUNCTION public.rollback_recalculation(p_batch_id uuid, p_reason text DEFAULT NULL::text, p_idempotency_key text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION public.rollback_recalculation(p_batch_id uuid, p_reason text, p_idempotency_key text) IS 'Takes back the change that a recalculation recorded, within its 24 hours: what was recorded is voided, what was deleted or replaced is recorded again; what came in since stays and is recomputed. Answers {batch, event, voided, affected_events}';

CREATE FUNCTION public.void_event(p_event_id uuid, p_reason text DEFAULT NULL::text, p_idempotency_key text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION public.void_event(p_event_id uuid, p_reason text, p_idempotency_key text) IS 'Voids an event: marks it and writes its VOID event, or the half that is missing. Answers {event, void, batch}; batch is the recalculation if counted events come after it, else null';

CREATE TABLE ledger.amended_events (
    user_id uuid NOT NULL,
    event_id uuid NOT NULL,
    reason text NOT NULL,
    before jsonb NOT NULL,
    run_id bigint,
    CONSTRAINT amended_events_reason_check CHECK ((reason = ANY (ARRAY['completed'::text, 'displaced'::text])))
);

COMMENT ON TABLE ledger.amended_events IS 'Events under a reading''s id as they were: completed (same fact), or displaced (another fact, now shown under an id of its own)';

CREATE TABLE ledger.deployments (
    deployment_id bigint NOT NULL,
    version text NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    deployed_by text DEFAULT CURRENT_USER NOT NULL,
    deployed_at timestamp with time zone DEFAULT now() NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE ledger.deployments IS 'Which phase file was applied, with its checksum, by whom and when';

ALTER TABLE ledger.deployments ALTER COLUMN deployment_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.deployments_deployment_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.event_calls (
    user_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    call text NOT NULL,
    arguments jsonb NOT NULL,
    result jsonb NOT NULL,
    called_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT event_calls_idempotency_key_check CHECK (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 200)))
);

COMMENT ON TABLE ledger.event_calls IS 'The first result of each call that came with a client''s key: a repeat is answered with it';

CREATE TABLE ledger.found_objects (
    object_name text NOT NULL,
    origin text NOT NULL,
    definition jsonb DEFAULT '{}'::jsonb NOT NULL,
    noted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT found_objects_origin_check CHECK ((origin = ANY (ARRAY['found'::text, 'created'::text])))
);

COMMENT ON TABLE ledger.found_objects IS 'Which public objects the rollout found and which it made, with the found ones'' definitions';

CREATE TABLE ledger.heads (
    user_id uuid NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE ledger.heads IS 'One row a user: writers of a user take turns on it, and its version tells what changed';

CREATE TABLE ledger.maintenance (
    xact_id xid8 DEFAULT pg_current_xact_id() NOT NULL,
    purpose text NOT NULL
);

COMMENT ON TABLE ledger.maintenance IS 'Transactions that may amend or delete events; empty but inside such a transaction';

CREATE TABLE public.electricity_readings (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    date date NOT NULL,
    kwh_value numeric(10,2) NOT NULL,
    token_amount numeric,
    token_cost numeric,
    notes text,
    meter_photo_url text,
    created_at timestamp with time zone DEFAULT now(),
    CONSTRAINT electricity_readings_kwh_value_check CHECK ((kwh_value >= (0)::numeric))
);

COMMENT ON TABLE public.electricity_readings IS 'What households typed from their meters: the legacy record, kWh left after each entry';

CREATE TABLE public.user_profiles (
    id uuid NOT NULL,
    display_name text,
    role text DEFAULT 'user'::text,
    status text DEFAULT 'active'::text,
    last_login timestamp with time zone,
    tariff_settings jsonb DEFAULT '{"rate": 1444.70, "currency": "IDR"}'::jsonb,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now(),
    CONSTRAINT user_profiles_role_check CHECK ((role = ANY (ARRAY['user'::text, 'admin'::text]))),
    CONSTRAINT user_profiles_status_check CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text])))
);

COMMENT ON TABLE public.user_profiles IS 'One row a user, made when the user signs up';

CREATE VIEW ledger.mapped_readings WITH (security_invoker='true') AS
 SELECT r.id AS reading_id,
    r.user_id,
    m.event_type,
    m.event_date,
        CASE m.event_type
            WHEN 'TOPUP'::text THEN r.token_amount
            ELSE r.kwh_value
        END AS kwh_amount,
        CASE m.event_type
            WHEN 'TOPUP'::text THEN r.kwh_value
            ELSE NULL::numeric
        END AS observed_kwh,
        CASE m.event_type
            WHEN 'METER_READING'::text THEN r.token_amount
            ELSE NULL::numeric
        END AS legacy_token_amount,
    r.token_cost,
    r.notes,
    r.meter_photo_url,
    COALESCE(r.created_at, m.event_date) AS created_at,
    ((m.event_date AT TIME ZONE ( SELECT ledger.time_zone() AS time_zone)))::date AS local_day,
        CASE
            WHEN (r.user_id IS NULL) THEN 'no user'::text
            WHEN (p.id IS NULL) THEN 'no profile owns it'::text
            WHEN (r.date IS NULL) THEN 'no date'::text
            WHEN (m.event_date IS NULL) THEN 'date out of range'::text
            WHEN (ledger.reading_date(m.event_date, ( SELECT ledger.time_zone() AS time_zone)) <> r.date) THEN 'the day does not exist in the time zone'::text
            WHEN (r.kwh_value IS NULL) THEN 'no kwh_value'::text
            WHEN ((NOT (abs(r.kwh_value) < '1000000000000'::numeric)) OR (r.kwh_value < (0)::numeric)) THEN 'kwh_value out of range'::text
            WHEN (NOT (abs(r.token_amount) < '1000000000000'::numeric)) THEN 'token_amount out of range'::text
            WHEN (NOT (abs(r.token_cost) < '1000000000000'::numeric)) THEN 'token_cost out of range'::text
            WHEN (NOT isfinite(r.created_at)) THEN 'created_at out of range'::text
            ELSE NULL::text
        END AS reject_reason
   FROM ((public.electricity_readings r
     LEFT JOIN public.user_profiles p ON ((p.id = r.user_id)))
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN (r.token_amount > (0)::numeric) THEN 'TOPUP'::text
                    ELSE 'METER_READING'::text
                END AS event_type,
                CASE
                    WHEN ((r.date >= '4713-01-05 BC'::date) AND (r.date <= '294276-12-27'::date)) THEN ((r.date)::timestamp without time zone AT TIME ZONE ( SELECT ledger.time_zone() AS time_zone))
                    ELSE NULL::timestamp with time zone
                END AS event_date) m);

COMMENT ON VIEW ledger.mapped_readings IS 'Each legacy reading as the event that it becomes, or the reason why it cannot become one';

CREATE TABLE ledger.merges (
    user_id uuid NOT NULL,
    event_id uuid NOT NULL,
    reading_id uuid NOT NULL,
    survivor_id uuid NOT NULL,
    run_id bigint,
    merged_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE ledger.merges IS 'Dual-written events that were voided because the migrated reading states the same fact';

CREATE TABLE ledger.migrated_readings (
    user_id uuid NOT NULL,
    reading_id uuid NOT NULL,
    event_id uuid NOT NULL,
    run_id bigint,
    completed boolean DEFAULT false NOT NULL,
    superseded boolean DEFAULT false NOT NULL,
    sync_voided boolean DEFAULT false NOT NULL
);

COMMENT ON TABLE ledger.migrated_readings IS 'Which event stands for which legacy reading; run_id is null where a live write was synced';

COMMENT ON COLUMN ledger.migrated_readings.completed IS 'The event was there already under the reading''s id and was completed, not made';

COMMENT ON COLUMN ledger.migrated_readings.superseded IS 'The legacy row changed or went since; a later entry or none stands for it';

COMMENT ON COLUMN ledger.migrated_readings.sync_voided IS 'The forward sync voided the event then; a client''s void leaves this false';

CREATE TABLE ledger.migration_rejects (
    reading_id uuid NOT NULL,
    user_id uuid,
    reason text NOT NULL,
    row_data jsonb NOT NULL,
    run_id bigint,
    rejected_at timestamp with time zone DEFAULT now() NOT NULL,
    waived_at timestamp with time zone,
    waived_by text,
    waived_reason text
);

COMMENT ON TABLE ledger.migration_rejects IS 'Legacy rows that cannot become a valid event, whole, with the reason';

COMMENT ON COLUMN ledger.migration_rejects.waived_at IS 'When a person decided that this row need not become an event; null: it is still to be decided';

CREATE TABLE ledger.migration_runs (
    run_id bigint NOT NULL,
    kind text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    started_by text DEFAULT SESSION_USER NOT NULL,
    legacy_rows bigint,
    migrated bigint DEFAULT 0 NOT NULL,
    completed bigint DEFAULT 0 NOT NULL,
    merged bigint DEFAULT 0 NOT NULL,
    rejected bigint DEFAULT 0 NOT NULL,
    seconds jsonb DEFAULT '{}'::jsonb NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT migration_runs_kind_check CHECK ((kind = ANY (ARRAY['migrate'::text, 'undo'::text])))
);

COMMENT ON TABLE ledger.migration_runs IS 'Each run of the data migration or its undoing: who, when, what it moved, how long it took';

COMMENT ON COLUMN ledger.migration_runs.seconds IS 'Duration of each step, in seconds';

ALTER TABLE ledger.migration_runs ALTER COLUMN run_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.migration_runs_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW ledger.near_matches WITH (security_invoker='true') AS
 WITH leftover AS MATERIALIZED (
         SELECT e_1.user_id,
            e_1.id,
            e_1.event_type,
            e_1.kwh_amount,
            c.local_day,
            d.days,
            (c.local_day + d.days) AS wanted_day
           FROM ((public.token_events e_1
             CROSS JOIN LATERAL ( SELECT ((e_1.event_date AT TIME ZONE ( SELECT ledger.time_zone() AS time_zone)))::date AS local_day) c)
             CROSS JOIN ( VALUES ('-1'::integer), (0), (1)) d(days))
          WHERE ((NOT e_1.is_voided) AND (e_1.event_type = ANY (ARRAY['TOPUP'::text, 'METER_READING'::text])) AND (NOT (EXISTS ( SELECT
                   FROM ledger.migrated_readings l
                  WHERE ((l.user_id = e_1.user_id) AND (l.reading_id = COALESCE(e_1.reading_id, e_1.id)) AND (l.event_id = e_1.id))))))
        )
 SELECT e.user_id,
    e.id AS event_id,
    m.reading_id,
    e.event_type,
    e.local_day AS event_day,
    m.local_day AS reading_day,
    e.kwh_amount AS event_kwh,
    m.kwh_amount AS reading_kwh
   FROM (leftover e
     JOIN ledger.mapped_readings m ON (((m.user_id = e.user_id) AND (m.event_type = e.event_type) AND (m.local_day = e.wanted_day))))
  WHERE ((m.reject_reason IS NULL) AND
        CASE e.days
            WHEN 0 THEN (abs((m.kwh_amount - e.kwh_amount)) <= GREATEST((1)::numeric, (e.kwh_amount * 0.1)))
            ELSE (m.kwh_amount = e.kwh_amount)
        END);

COMMENT ON VIEW ledger.near_matches IS 'Events that may state a reading''s fact but not exactly: the same day within 10% or 1 kWh, or the same kWh on a neighbouring day; both stay, a person decides';

CREATE TABLE ledger.reviewed_matches (
    user_id uuid NOT NULL,
    event_id uuid NOT NULL,
    reading_id uuid NOT NULL,
    decision text NOT NULL,
    reason text NOT NULL,
    decided_by text DEFAULT SESSION_USER NOT NULL,
    decided_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT reviewed_matches_decision_check CHECK ((decision = ANY (ARRAY['both'::text, 'merged'::text])))
);

COMMENT ON TABLE ledger.reviewed_matches IS 'Near matches that a person has looked at: both are facts, or the event was voided as the same';

CREATE VIEW ledger.open_matches WITH (security_invoker='true') AS
 SELECT user_id,
    event_id,
    reading_id,
    event_type,
    event_day,
    reading_day,
    event_kwh,
    reading_kwh
   FROM ledger.near_matches m
  WHERE (NOT (EXISTS ( SELECT
           FROM ledger.reviewed_matches r
          WHERE ((r.user_id = m.user_id) AND (r.event_id = m.event_id) AND (r.reading_id = m.reading_id) AND (r.decision = 'both'::text)))));

COMMENT ON VIEW ledger.open_matches IS 'Near matches that nobody has decided about yet';

CREATE VIEW ledger.pending_readings WITH (security_invoker='true') AS
 SELECT id,
    user_id,
    date,
    kwh_value,
    token_amount,
    token_cost,
    notes,
    meter_photo_url,
    created_at
   FROM public.electricity_readings r
  WHERE ((NOT (EXISTS ( SELECT
           FROM ledger.migrated_readings l
          WHERE ((l.user_id = r.user_id) AND (l.reading_id = r.id) AND (NOT l.superseded))))) AND (NOT (EXISTS ( SELECT
           FROM ledger.migration_rejects x
          WHERE (x.reading_id = r.id)))));

COMMENT ON VIEW ledger.pending_readings IS 'Legacy rows that are neither migrated nor rejected yet';

CREATE TABLE ledger.readings (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    date date NOT NULL,
    kwh_value numeric NOT NULL,
    token_cost numeric,
    token_amount numeric,
    notes text,
    meter_photo_url text,
    created_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE ledger.readings IS 'The projection that users read: one row a counted event, current in the very transaction';

COMMENT ON COLUMN ledger.readings.kwh_value IS 'kWh left after the event';

COMMENT ON COLUMN ledger.readings.token_cost IS 'what it cost, in the currency of the profile';

COMMENT ON COLUMN ledger.readings.token_amount IS 'kWh bought, on a top-up';

CREATE TABLE ledger.receipts (
    receipt_id bigint NOT NULL,
    environment text NOT NULL,
    body jsonb NOT NULL,
    signature text NOT NULL,
    made_by text DEFAULT SESSION_USER NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE ledger.receipts IS 'What a rollout of this database was proven to be: checksums, fingerprint, results, signed';

ALTER TABLE ledger.receipts ALTER COLUMN receipt_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.receipts_receipt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.refresh_log (
    refresh_id bigint NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    trigger_source text DEFAULT 'manual'::text NOT NULL,
    outcome text NOT NULL,
    mv_rows bigint,
    users bigint,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT refresh_log_outcome_check CHECK ((outcome = ANY (ARRAY['refreshed'::text, 'skipped'::text, 'not needed'::text, 'failed'::text])))
);

COMMENT ON TABLE ledger.refresh_log IS 'Each refresh of electricity_readings_mv and how it ended';

ALTER TABLE ledger.refresh_log ALTER COLUMN refresh_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.refresh_log_refresh_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.set_aside (
    set_aside_id bigint NOT NULL,
    user_id uuid,
    kind text NOT NULL,
    reason text NOT NULL,
    row_data jsonb NOT NULL,
    set_aside_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE ledger.set_aside IS 'Rows that a rollback had to take out of public tables, whole, with the reason';

ALTER TABLE ledger.set_aside ALTER COLUMN set_aside_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.set_aside_set_aside_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.settings (
    singleton boolean DEFAULT true NOT NULL,
    time_zone text,
    defer_backfill boolean DEFAULT false NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    environment text,
    CONSTRAINT settings_singleton_check CHECK (singleton)
);

COMMENT ON TABLE ledger.settings IS 'One row: what an operator decided for this database';

COMMENT ON COLUMN ledger.settings.time_zone IS 'The app''s time zone, which says where a day begins; null until an operator confirms one';

COMMENT ON COLUMN ledger.settings.defer_backfill IS 'True: pushing phase 4 installs its functions and leaves the data to batches';

COMMENT ON COLUMN ledger.settings.environment IS 'The name under which operators know this database; a command aimed at another one stops';

CREATE MATERIALIZED VIEW public.electricity_readings_mv AS
 WITH counted AS (
         SELECT e.id,
            e.user_id,
            e.event_type,
            e.event_date,
            e.kwh_amount,
            e.token_cost,
            e.notes,
            e.meter_photo_url,
            e.is_voided,
            e.voided_at,
            e.voided_by,
            e.voided_reason,
            e.void_of_event,
            e.recalc_batch_id,
            e.created_by,
            e.metadata,
            e.created_at,
            e.observed_kwh,
            e.reading_id,
            e.idempotency_key,
            e.legacy_token_amount,
                CASE e.event_type
                    WHEN 'METER_READING'::text THEN e.kwh_amount
                    ELSE e.observed_kwh
                END AS anchor_kwh,
                CASE e.event_type
                    WHEN 'METER_READING'::text THEN (0)::numeric
                    ELSE e.kwh_amount
                END AS step_kwh
           FROM public.token_events e
          WHERE ((NOT e.is_voided) AND (e.event_type <> 'VOID'::text))
        ), islands AS (
         SELECT c.id,
            c.user_id,
            c.event_type,
            c.event_date,
            c.kwh_amount,
            c.token_cost,
            c.notes,
            c.meter_photo_url,
            c.is_voided,
            c.voided_at,
            c.voided_by,
            c.voided_reason,
            c.void_of_event,
            c.recalc_batch_id,
            c.created_by,
            c.metadata,
            c.created_at,
            c.observed_kwh,
            c.reading_id,
            c.idempotency_key,
            c.legacy_token_amount,
            c.anchor_kwh,
            c.step_kwh,
            count(c.anchor_kwh) OVER (PARTITION BY c.user_id ORDER BY c.event_date, c.created_at, c.id ROWS UNBOUNDED PRECEDING) AS island
           FROM counted c
        )
 SELECT COALESCE(reading_id, id) AS id,
    user_id,
    ledger.reading_date(event_date, ( SELECT ledger.time_zone() AS time_zone)) AS date,
    sum(COALESCE(anchor_kwh, step_kwh)) OVER (PARTITION BY user_id, island ORDER BY event_date, created_at, i.id ROWS UNBOUNDED PRECEDING) AS kwh_value,
    token_cost,
        CASE event_type
            WHEN 'TOPUP'::text THEN kwh_amount
            ELSE legacy_token_amount
        END AS token_amount,
    notes,
    meter_photo_url,
    created_at
   FROM islands i
  WITH NO DATA;

COMMENT ON MATERIALIZED VIEW public.electricity_readings_mv IS 'All users'' readings as of the last refresh, for reports and audits; no API role can read it';

CREATE VIEW public.electricity_readings_v WITH (security_invoker='true') AS
 SELECT id,
    user_id,
    date,
    kwh_value,
    token_cost,
    token_amount,
    notes,
    meter_photo_url,
    created_at
   FROM ledger.readings r;

COMMENT ON VIEW public.electricity_readings_v IS 'The readings as clients of electricity_readings know them, one row a counted event, never behind';

CREATE TABLE public.recalculation_batches (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    trigger_type text NOT NULL,
    trigger_event_id uuid,
    affected_events jsonb NOT NULL,
    events_count integer NOT NULL,
    can_rollback_until timestamp with time zone DEFAULT (now() + '24:00:00'::interval),
    rolled_back_at timestamp with time zone,
    rollback_reason text,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now(),
    CONSTRAINT recalculation_batches_trigger_type_check CHECK ((trigger_type = ANY (ARRAY['BACKDATE_TOPUP'::text, 'EDIT_TOPUP'::text, 'DELETE_TOPUP'::text, 'MANUAL_CORRECTION'::text])))
);

COMMENT ON TABLE public.recalculation_batches IS 'What a back-dated or corrected event changed in later positions, for 24 hours of second thoughts';

COMMENT ON COLUMN public.recalculation_batches.affected_events IS 'Array of {event_id, event_type, event_date, old_kwh, new_kwh}, kWh';

ALTER TABLE ONLY ledger.amended_events
    ADD CONSTRAINT amended_events_pkey PRIMARY KEY (user_id, event_id);

ALTER TABLE ONLY ledger.deployments
    ADD CONSTRAINT deployments_pkey PRIMARY KEY (deployment_id);

ALTER TABLE ONLY ledger.event_calls
    ADD CONSTRAINT event_calls_pkey PRIMARY KEY (user_id, idempotency_key);

ALTER TABLE ONLY ledger.found_objects
    ADD CONSTRAINT found_objects_pkey PRIMARY KEY (object_name);

ALTER TABLE ONLY ledger.heads
    ADD CONSTRAINT heads_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY ledger.maintenance
    ADD CONSTRAINT maintenance_pkey PRIMARY KEY (xact_id);

ALTER TABLE ONLY ledger.merges
    ADD CONSTRAINT merges_pkey PRIMARY KEY (user_id, event_id);

ALTER TABLE ONLY ledger.migrated_readings
    ADD CONSTRAINT migrated_readings_pkey PRIMARY KEY (user_id, reading_id, event_id);

ALTER TABLE ONLY ledger.migration_rejects
    ADD CONSTRAINT migration_rejects_pkey PRIMARY KEY (reading_id);

ALTER TABLE ONLY ledger.migration_runs
    ADD CONSTRAINT migration_runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY ledger.readings
    ADD CONSTRAINT readings_pkey PRIMARY KEY (user_id, id);

ALTER TABLE ONLY ledger.receipts
    ADD CONSTRAINT receipts_pkey PRIMARY KEY (receipt_id);

ALTER TABLE ONLY ledger.refresh_log
    ADD CONSTRAINT refresh_log_pkey PRIMARY KEY (refresh_id);

ALTER TABLE ONLY ledger.reviewed_matches
    ADD CONSTRAINT reviewed_matches_pkey PRIMARY KEY (user_id, event_id, reading_id);

ALTER TABLE ONLY ledger.set_aside
    ADD CONSTRAINT set_aside_pkey PRIMARY KEY (set_aside_id);

ALTER TABLE ONLY ledger.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.electricity_readings
    ADD CONSTRAINT electricity_readings_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.recalculation_batches
    ADD CONSTRAINT recalculation_batches_tenant_pkey PRIMARY KEY (user_id, id);

ALTER TABLE ONLY public.token_events
    ADD CONSTRAINT token_events_tenant_pkey PRIMARY KEY (user_id, id);

ALTER TABLE ONLY public.user_profiles
    ADD CONSTRAINT user_profiles_pkey PRIMARY KEY (id);

CREATE INDEX readings_newest ON ledger.readings USING btree (user_id, date DESC, created_at DESC, id DESC);

CREATE UNIQUE INDEX electricity_readings_mv_key ON public.electricity_readings_mv USING btree (user_id, id);

CREATE INDEX electricity_readings_user_date ON public.electricity_readings USING btree (user_id, date DESC);

CREATE UNIQUE INDEX token_events_idempotency_key ON public.token_events USING btree (user_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE UNIQUE INDEX token_events_one_void_a_target ON public.token_events USING btree (user_id, void_of_event) WHERE ((event_type = 'VOID'::text) AND (NOT is_voided) AND (void_of_event IS NOT NULL));

CREATE INDEX token_events_order ON public.token_events USING btree (user_id, event_date, created_at, id) INCLUDE (event_type, kwh_amount, observed_kwh) WHERE ((NOT is_voided) AND (event_type <> 'VOID'::text));

CREATE UNIQUE INDEX token_events_visible_id ON public.token_events USING btree (user_id, COALESCE(reading_id, id)) WHERE ((NOT is_voided) AND (event_type <> 'VOID'::text));

CREATE INDEX token_events_void_of_event ON public.token_events USING btree (user_id, void_of_event) WHERE (void_of_event IS NOT NULL);

CREATE TRIGGER guard_settings BEFORE INSERT OR UPDATE ON ledger.settings FOR EACH ROW EXECUTE FUNCTION ledger.guard_settings();

CREATE TRIGGER settings_apply_time_zone AFTER UPDATE OF time_zone ON ledger.settings FOR EACH ROW WHEN ((old.time_zone IS DISTINCT FROM new.time_zone)) EXECUTE FUNCTION ledger.apply_time_zone();

CREATE TRIGGER settings_keep_time_zone BEFORE UPDATE OF time_zone ON ledger.settings FOR EACH ROW WHEN ((old.time_zone IS DISTINCT FROM new.time_zone)) EXECUTE FUNCTION ledger.keep_time_zone();

CREATE TRIGGER electricity_readings_refuse_truncate BEFORE TRUNCATE ON public.electricity_readings FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_truncate();

CREATE TRIGGER electricity_readings_sync_deletes AFTER DELETE ON public.electricity_readings REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.sync_deletes();

CREATE TRIGGER electricity_readings_sync_inserts AFTER INSERT ON public.electricity_readings REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.sync_inserts();

CREATE TRIGGER electricity_readings_sync_updates AFTER UPDATE ON public.electricity_readings REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.sync_updates();

CREATE TRIGGER recalculation_batches_guard_update BEFORE UPDATE ON public.recalculation_batches FOR EACH ROW EXECUTE FUNCTION ledger.guard_batch_update();

CREATE TRIGGER token_events_guard_delete AFTER DELETE ON public.token_events REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.guard_event_delete();

CREATE TRIGGER token_events_guard_insert BEFORE INSERT ON public.token_events FOR EACH ROW EXECUTE FUNCTION ledger.guard_direct_insert();

CREATE TRIGGER token_events_guard_truncate BEFORE TRUNCATE ON public.token_events FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_truncate();

CREATE TRIGGER token_events_guard_update BEFORE UPDATE ON public.token_events FOR EACH ROW EXECUTE FUNCTION ledger.guard_event_update();

CREATE TRIGGER token_events_guard_void BEFORE UPDATE ON public.token_events FOR EACH ROW EXECUTE FUNCTION ledger.guard_direct_void();

CREATE TRIGGER token_events_project_deletes AFTER DELETE ON public.token_events REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.project_deletes();

CREATE TRIGGER token_events_project_inserts AFTER INSERT ON public.token_events REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.project_inserts();

CREATE TRIGGER token_events_project_updates AFTER UPDATE ON public.token_events REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.project_updates();

CREATE TRIGGER token_events_take_own_turn BEFORE UPDATE ON public.token_events FOR EACH STATEMENT EXECUTE FUNCTION ledger.take_own_turn();

CREATE TRIGGER token_events_void_survivors AFTER UPDATE ON public.token_events REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.void_survivors();

CREATE TRIGGER user_profiles_erase_user AFTER DELETE ON public.user_profiles REFERENCING OLD TABLE AS old_profiles FOR EACH STATEMENT EXECUTE FUNCTION ledger.erase_user();

ALTER TABLE ONLY ledger.event_calls
    ADD CONSTRAINT event_calls_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.user_profiles(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.electricity_readings
    ADD CONSTRAINT electricity_readings_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.user_profiles(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.recalculation_batches
    ADD CONSTRAINT recalculation_batches_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.user_profiles(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.token_events
    ADD CONSTRAINT token_events_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.user_profiles(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.token_events
    ADD CONSTRAINT token_events_void_of_event_tenant_fkey FOREIGN KEY (user_id, void_of_event) REFERENCES public.token_events(user_id, id);

ALTER TABLE ONLY public.user_profiles
    ADD CONSTRAINT user_profiles_id_fkey FOREIGN KEY (id) REFERENCES auth.users(id) ON DELETE CASCADE;

CREATE POLICY "Users note their own calls" ON ledger.event_calls FOR INSERT TO authenticated WITH CHECK ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users see their own calls" ON ledger.event_calls FOR SELECT TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users see their own readings" ON ledger.readings FOR SELECT TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid)));

ALTER TABLE ledger.amended_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.deployments ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.event_calls ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.found_objects ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.heads ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.maintenance ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.merges ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.migrated_readings ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.migration_rejects ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.migration_runs ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.readings ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.receipts ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.refresh_log ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.reviewed_matches ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.set_aside ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.settings ENABLE ROW LEVEL SECURITY;

CREATE POLICY "Users add their own profile" ON public.user_profiles FOR INSERT TO authenticated WITH CHECK ((id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users add their own readings" ON public.electricity_readings FOR INSERT TO authenticated WITH CHECK ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users change their own profile" ON public.user_profiles FOR UPDATE TO authenticated USING ((id = ( SELECT auth.uid() AS uid))) WITH CHECK ((id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users change their own readings" ON public.electricity_readings FOR UPDATE TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid))) WITH CHECK ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users change their own recalculations" ON public.recalculation_batches FOR UPDATE TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid))) WITH CHECK ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users delete their own readings" ON public.electricity_readings FOR DELETE TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users record their own events, in their own name" ON public.token_events FOR INSERT TO authenticated WITH CHECK (((user_id = ( SELECT auth.uid() AS uid)) AND ((created_by IS NULL) OR (created_by = ( SELECT auth.uid() AS uid))) AND ((metadata IS NULL) OR (NOT (metadata ? 'migrated_from'::text)))));

CREATE POLICY "Users record their own recalculations" ON public.recalculation_batches FOR INSERT TO authenticated WITH CHECK (((user_id = ( SELECT auth.uid() AS uid)) AND ((created_by IS NULL) OR (created_by = ( SELECT auth.uid() AS uid)))));

CREATE POLICY "Users see their own events" ON public.token_events FOR SELECT TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users see their own profile" ON public.user_profiles FOR SELECT TO authenticated USING ((id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users see their own readings" ON public.electricity_readings FOR SELECT TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users see their own recalculations" ON public.recalculation_batches FOR SELECT TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "Users void their own events" ON public.token_events FOR UPDATE TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid))) WITH CHECK ((user_id = ( SELECT auth.uid() AS uid)));

ALTER TABLE public.electricity_readings ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.recalculation_batches ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.token_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.user_profiles ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA ledger TO authenticated;
GRANT USAGE ON SCHEMA ledger TO service_role;

GRANT USAGE ON SCHEMA public TO postgres;
GRANT USAGE ON SCHEMA public TO anon;
GRANT USAGE ON SCHEMA public TO authenticated;
GRANT USAGE ON SCHEMA public TO service_role;

REVOKE ALL ON FUNCTION ledger.affected_events(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.affected_events(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) TO authenticated;

REVOKE ALL ON FUNCTION ledger.amend_namesakes(p_reading_ids uuid[], p_run_id bigint) FROM PUBLIC;

GRANT SELECT ON TABLE public.token_events TO authenticated;
GRANT SELECT ON TABLE public.token_events TO service_role;

GRANT INSERT(id) ON TABLE public.token_events TO authenticated;
GRANT INSERT(id) ON TABLE public.token_events TO service_role;

GRANT INSERT(user_id) ON TABLE public.token_events TO authenticated;
GRANT INSERT(user_id) ON TABLE public.token_events TO service_role;

GRANT INSERT(event_type) ON TABLE public.token_events TO authenticated;
GRANT INSERT(event_type) ON TABLE public.token_events TO service_role;

GRANT INSERT(event_date) ON TABLE public.token_events TO authenticated;
GRANT INSERT(event_date) ON TABLE public.token_events TO service_role;

GRANT INSERT(kwh_amount) ON TABLE public.token_events TO authenticated;
GRANT INSERT(kwh_amount) ON TABLE public.token_events TO service_role;

GRANT INSERT(token_cost) ON TABLE public.token_events TO authenticated;
GRANT INSERT(token_cost) ON TABLE public.token_events TO service_role;

GRANT INSERT(notes) ON TABLE public.token_events TO authenticated;
GRANT INSERT(notes) ON TABLE public.token_events TO service_role;

GRANT INSERT(meter_photo_url) ON TABLE public.token_events TO authenticated;
GRANT INSERT(meter_photo_url) ON TABLE public.token_events TO service_role;

GRANT UPDATE(is_voided) ON TABLE public.token_events TO authenticated;
GRANT UPDATE(is_voided) ON TABLE public.token_events TO service_role;

GRANT UPDATE(voided_at) ON TABLE public.token_events TO authenticated;
GRANT UPDATE(voided_at) ON TABLE public.token_events TO service_role;

GRANT UPDATE(voided_by) ON TABLE public.token_events TO authenticated;
GRANT UPDATE(voided_by) ON TABLE public.token_events TO service_role;

GRANT UPDATE(voided_reason) ON TABLE public.token_events TO authenticated;
GRANT UPDATE(voided_reason) ON TABLE public.token_events TO service_role;

GRANT INSERT(void_of_event) ON TABLE public.token_events TO authenticated;
GRANT INSERT(void_of_event) ON TABLE public.token_events TO service_role;

GRANT INSERT(recalc_batch_id),UPDATE(recalc_batch_id) ON TABLE public.token_events TO authenticated;
GRANT INSERT(recalc_batch_id),UPDATE(recalc_batch_id) ON TABLE public.token_events TO service_role;

GRANT INSERT(created_by) ON TABLE public.token_events TO authenticated;
GRANT INSERT(created_by) ON TABLE public.token_events TO service_role;

GRANT INSERT(metadata) ON TABLE public.token_events TO authenticated;
GRANT INSERT(metadata) ON TABLE public.token_events TO service_role;

GRANT INSERT(created_at) ON TABLE public.token_events TO authenticated;
GRANT INSERT(created_at) ON TABLE public.token_events TO service_role;

GRANT INSERT(observed_kwh) ON TABLE public.token_events TO authenticated;
GRANT INSERT(observed_kwh) ON TABLE public.token_events TO service_role;

GRANT INSERT(idempotency_key) ON TABLE public.token_events TO authenticated;
GRANT INSERT(idempotency_key) ON TABLE public.token_events TO service_role;

REVOKE ALL ON FUNCTION ledger.apply_change(p_target uuid, p_reason text, p_new public.token_events, p_batch_id uuid, p_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.apply_change(p_target uuid, p_reason text, p_new public.token_events, p_batch_id uuid, p_key text) TO authenticated;

REVOKE ALL ON FUNCTION ledger.apply_time_zone() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.begin_call(p_call text, p_key text, p_arguments jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.begin_call(p_call text, p_key text, p_arguments jsonb) TO authenticated;

REVOKE ALL ON FUNCTION ledger.erase_user() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.event_again(p_event public.token_events, p_link text) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.event_again(p_event public.token_events, p_link text) TO authenticated;

REVOKE ALL ON FUNCTION ledger.find_event(p_event_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.find_event(p_event_id uuid) TO authenticated;

REVOKE ALL ON FUNCTION ledger.finish_call(p_call text, p_key text, p_arguments jsonb, p_result jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.finish_call(p_call text, p_key text, p_arguments jsonb, p_result jsonb) TO authenticated;

REVOKE ALL ON FUNCTION ledger.finish_migration(p_run_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_batch_update() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_direct_insert() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_direct_void() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_event_delete() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_event_update() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_settings() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.in_maintenance() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.is_back_dated(p_event public.token_events) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.is_back_dated(p_event public.token_events) TO authenticated;

REVOKE ALL ON FUNCTION ledger.keep_time_zone() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migrate_data(p_batch_rows integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migrate_readings(p_reading_ids uuid[], p_run_id bigint, p_just_written boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migrate_users(p_run_id bigint, p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migration_differences() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migration_problems() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.new_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.new_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) TO authenticated;

REVOKE ALL ON FUNCTION ledger.position_before(p_user_id uuid, p_event_date timestamp with time zone, p_created_at timestamp with time zone, p_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.position_changes(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.position_changes(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) TO authenticated;

REVOKE ALL ON FUNCTION ledger.positions_if(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.positions_if(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) TO authenticated;

REVOKE ALL ON FUNCTION ledger.project(p_spans ledger.span[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.project_deletes() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.project_everything(p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.project_inserts() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.project_updates() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.reading_date(p_event_date timestamp with time zone, p_time_zone text) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.refuse_impossible(p_event public.token_events) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.refuse_impossible(p_event public.token_events) TO authenticated;
GRANT ALL ON FUNCTION ledger.refuse_impossible(p_event public.token_events) TO service_role;

REVOKE ALL ON FUNCTION ledger.refuse_truncate() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.require_columns(p_table regclass, p_columns jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.start_migration() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.sync_deletes() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.sync_inserts() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.sync_updates() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.take_own_turn() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.take_turns(p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.time_zone() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.told_event(p_event_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.told_event(p_event_id uuid) TO authenticated;

REVOKE ALL ON FUNCTION ledger.undo_data_migration() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.void_event_of(p_event_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.void_event_of(p_event_id uuid) TO authenticated;

REVOKE ALL ON FUNCTION ledger.void_readings(p_reading_ids uuid[], p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.void_survivors() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.write_batch(p_batch_id uuid, p_trigger_type text, p_trigger_event_id uuid, p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.write_batch(p_batch_id uuid, p_trigger_type text, p_trigger_event_id uuid, p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) TO authenticated;

REVOKE ALL ON FUNCTION public.calculate_user_positions(p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.calculate_user_positions(p_user_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.calculate_user_positions(p_user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION public.create_user_profile() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.preview_backdate(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION public.preview_backdate(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) TO authenticated;

REVOKE ALL ON FUNCTION public.recalculate(p_event_id uuid, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.recalculate(p_event_id uuid, p_idempotency_key text) TO authenticated;

REVOKE ALL ON FUNCTION public.record_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_token_cost numeric, p_notes text, p_meter_photo_url text, p_observed_kwh numeric, p_metadata jsonb, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_token_cost numeric, p_notes text, p_meter_photo_url text, p_observed_kwh numeric, p_metadata jsonb, p_idempotency_key text) TO authenticated;

REVOKE ALL ON FUNCTION public.refresh_readings_mv() FROM PUBLIC;
GRANT ALL ON FUNCTION public.refresh_readings_mv() TO service_role;

REVOKE ALL ON FUNCTION public.replace_event(p_event_id uuid, p_changes jsonb, p_reason text, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.replace_event(p_event_id uuid, p_changes jsonb, p_reason text, p_idempotency_key text) TO authenticated;

REVOKE ALL ON FUNCTION public.rollback_recalculation(p_batch_id uuid, p_reason text, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.rollback_recalculation(p_batch_id uuid, p_reason text, p_idempotency_key text) TO authenticated;

REVOKE ALL ON FUNCTION public.void_event(p_event_id uuid, p_reason text, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.void_event(p_event_id uuid, p_reason text, p_idempotency_key text) TO authenticated;

GRANT SELECT,INSERT ON TABLE ledger.event_calls TO authenticated;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.electricity_readings TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.electricity_readings TO service_role;

GRANT SELECT,INSERT,UPDATE ON TABLE public.user_profiles TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.user_profiles TO service_role;

GRANT SELECT ON TABLE ledger.readings TO authenticated;
GRANT SELECT ON TABLE ledger.readings TO service_role;

GRANT SELECT ON TABLE public.electricity_readings_v TO authenticated;
GRANT SELECT ON TABLE public.electricity_readings_v TO service_role;

GRANT SELECT,INSERT,UPDATE ON TABLE public.recalculation_batches TO authenticated;
GRANT SELECT,INSERT,UPDATE ON TABLE public.recalculation_batches TO service_role;

ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON SEQUENCES TO anon;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON SEQUENCES TO authenticated;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON SEQUENCES TO service_role;

ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON FUNCTIONS TO authenticated;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON FUNCTIONS TO service_role;

ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO anon;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO authenticated;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO service_role;
