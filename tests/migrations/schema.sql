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
  from ledger.position_changes(p_from, p_until, p_without, p_with, null) as c
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
  inner join public.electricity_readings as r on r.id = i.reading_id
  inner join ledger.migrated_readings as l
    on l.user_id = r.user_id and l.reading_id = r.id and not l.superseded
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.reading_id
  -- A completed one may be void: of a reading whose void outlived a rollback.
  where (l.completed or not e.is_voided) and e.event_type <> 'VOID' and e.reading_id is null
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
  where e.user_id = l.user_id and e.id = l.event_id;

  update public.token_events as e
  set reading_id = gen_random_uuid()
  from unnest(p_reading_ids) as i (reading_id)
  inner join public.electricity_readings as r on r.id = i.reading_id
  inner join ledger.amended_events as a
    on a.user_id = r.user_id and a.event_id = r.id and a.reason = 'displaced'
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

CREATE FUNCTION ledger.apply_set_aside(p_run_id bigint, p_users uuid[], p_reading_ids uuid[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    AS $_$
declare
  v_entries bigint[];
  v_columns text;
  v_settled bigint[];
begin
  select array_agg(u.set_aside_id) into v_entries
  from ledger.unsettled as u
  inner join ledger.migrated_readings as l
    on l.user_id = u.user_id and l.reading_id = u.reading_id and l.event_id = u.event_id
      and not l.superseded and l.completed = (u.kind = 'completed event')
  where u.user_id = any (p_users) and u.reading_id = any (p_reading_ids) and u.same_fact;
  if v_entries is null then
    return 0;
  end if;
  insert into ledger.maintenance (purpose) values ('apply what was set aside')
  on conflict do nothing;

  -- VOID events whose id and key are free, the voided ones before their own voids.
  with recursive
  entry as materialized (
    select distinct on (a.user_id, r.id)
      a.set_aside_id, a.user_id, a.event_id, r.id, r.void_of_event
    from ledger.set_aside as a
    cross join lateral jsonb_populate_record(null::public.token_events, a.row_data) as r
    where a.set_aside_id = any (v_entries) and a.kind = 'void event'
      and not exists (
        select from public.token_events as e
        where e.user_id = a.user_id
          and (e.id = r.id or e.idempotency_key = r.idempotency_key)
      )
    order by a.user_id, r.id, a.set_aside_id desc
  ),
  restorable as (
    select e.set_aside_id, e.user_id, e.id
    from entry as e
    where e.void_of_event = e.event_id
    union all
    select e.set_aside_id, e.user_id, e.id
    from restorable as r
    inner join entry as e on e.user_id = r.user_id and e.void_of_event = r.id
  )
  select array_agg(r.set_aside_id) into v_settled from restorable as r;
  if v_settled is not null then
    -- With whatever columns the found table has; those that it computes, or got since, it fills.
    select string_agg(quote_ident(c.attname), ', ' order by c.attnum) into v_columns
    from pg_attribute as c
    where c.attrelid = 'public.token_events'::regclass and c.attnum > 0 and not c.attisdropped
      and c.attgenerated = ''
      and not exists (
        select from ledger.set_aside as a
        where a.set_aside_id = any (v_settled) and not a.row_data ? c.attname::text
      );
    execute format(
      'insert into public.token_events (%1$s) overriding system value select %1$s from ('
      'select r.* from ledger.set_aside as a cross join lateral '
      'jsonb_populate_record(null::public.token_events, a.row_data) as r '
      'where a.set_aside_id = any ($1)) as r',
      v_columns
    ) using v_settled;
  end if;

  with again as (
    update public.token_events as e
    set is_voided = true, voided_at = r.voided_at, voided_by = r.voided_by,
      voided_reason = r.voided_reason
    from ledger.set_aside as a
    cross join lateral jsonb_populate_record(null::public.token_events, a.row_data) as r
    where a.set_aside_id = any (v_entries) and a.kind = 'voided event'
      and e.user_id = a.user_id and e.id = a.event_id and not e.is_voided
    returning a.set_aside_id
  )
  select v_settled || array_agg(g.set_aside_id) into v_settled from again as g;

  -- What was merged into such a reading stayed void meanwhile, in the client's words.
  update public.token_events as e
  set voided_at = r.voided_at, voided_by = r.voided_by, voided_reason = r.voided_reason
  from ledger.set_aside as a
  cross join lateral jsonb_populate_recordset(
    null::public.token_events, a.migrated_event -> 'merged'
  ) as r
  where a.set_aside_id = any (v_settled) and a.kind = 'voided event'
    and e.user_id = a.user_id and e.id = r.id and e.is_voided;
  insert into ledger.merges (user_id, event_id, reading_id, survivor_id, run_id)
  select a.user_id, e.id, a.reading_id, a.event_id, p_run_id
  from ledger.set_aside as a
  cross join lateral jsonb_populate_recordset(
    null::public.token_events, a.migrated_event -> 'merged'
  ) as r
  inner join public.token_events as e on e.user_id = a.user_id and e.id = r.id and e.is_voided
  where a.set_aside_id = any (v_settled) and a.kind = 'voided event'
  on conflict do nothing;

  with linked as (
    update public.token_events as e
    set recalc_batch_id = (a.row_data ->> 'recalc_batch_id')::uuid
    from ledger.set_aside as a
    where a.set_aside_id = any (v_entries) and a.kind = 'recalculation link'
      and e.user_id = a.user_id and e.id = a.event_id and e.recalc_batch_id is null
    returning a.set_aside_id
  ),
  referred as (
    update public.token_events as e
    set void_of_event = a.event_id
    from ledger.set_aside as a
    where a.set_aside_id = any (v_entries) and a.kind = 'event reference'
      and e.user_id = a.user_id and e.id = (a.row_data ->> 'id')::uuid
      and e.void_of_event is null
    returning a.set_aside_id
  ),
  triggered as (
    update public.recalculation_batches as b
    set trigger_event_id = a.event_id
    from ledger.set_aside as a
    where a.set_aside_id = any (v_entries) and a.kind = 'batch reference'
      and b.user_id = a.user_id and b.id = (a.row_data ->> 'id')::uuid
      and b.trigger_event_id is null
    returning a.set_aside_id
  ),
  void_already as (
    select a.set_aside_id from ledger.set_aside as a
    where a.set_aside_id = any (v_entries) and a.kind = 'completed event'
  )
  select v_settled || array_agg(d.set_aside_id) into v_settled
  from (
    select l.set_aside_id from linked as l
    union all
    select r.set_aside_id from referred as r
    union all
    select t.set_aside_id from triggered as t
    union all
    select v.set_aside_id from void_already as v
  ) as d;

  update ledger.set_aside as a
  set settled_at = clock_timestamp()
  where a.set_aside_id = any (v_settled);
  delete from ledger.maintenance where xact_id = pg_current_xact_id();
  return coalesce(cardinality(v_settled), 0);
end;
$_$;

COMMENT ON FUNCTION ledger.apply_set_aside(p_run_id bigint, p_users uuid[], p_reading_ids uuid[]) IS 'Applies what a rollback set aside about readings that were just migrated again, and notes it; how many entries';

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

CREATE FUNCTION ledger.archive_obstacles(p_users uuid[] DEFAULT NULL::uuid[]) RETURNS TABLE(user_id uuid, reading_id uuid, problem text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
  v_archive constant regclass := 'ledger.electricity_readings_archive';
  v_check record;
  v_checks text := '';
begin
  for v_check in
    select c.conname, pg_get_expr(c.conbin, c.conrelid) as expression
    from pg_constraint as c
    where c.conrelid = v_archive and c.contype = 'c'
  loop
    v_checks := v_checks || format(
      ' union all select r.user_id, r.id, %L from rows_of as r where (%s) is false',
      'it violates ' || v_check.conname, v_check.expression
    );
  end loop;
  for v_check in
    select
      c.relname,
      coalesce(pg_get_expr(i.indpred, i.indrelid), 'true') as predicate,
      string_agg(pg_get_indexdef(i.indexrelid, s.n, false), ', ' order by s.n) as keys
    from pg_index as i
    inner join pg_class as c on c.oid = i.indexrelid
    cross join lateral generate_series(1, i.indnkeyatts) as s (n)
    where i.indrelid = v_archive and i.indisunique and not i.indisprimary
    group by c.relname, i.indpred, i.indrelid
  loop
    -- The oldest row of a key may stay.
    v_checks := v_checks || format(
      ' union all select x.user_id, x.id, %L from (select r.user_id, r.id, row_number() over '
      '(partition by %s order by r.created_at, r.id) as nth from rows_of as r where %s) as x '
      'where x.nth > 1',
      'it repeats a key of ' || v_check.relname, v_check.keys, v_check.predicate
    );
  end loop;
  return query execute
    $sql$
      with rows_of as materialized (
        select * from public.electricity_readings as v
        where $1 is null or v.user_id = any ($1)
      )
      select r.user_id, r.id, 'the table''s numbers cannot hold it'
      from rows_of as r
      where 'NaN' in (r.kwh_value, r.token_amount, r.token_cost)
      union all
      select r.user_id, r.id, 'a rejected row has its id'
      from rows_of as r
      inner join ledger.migration_rejects as x on x.reading_id = r.id
      union all
      select distinct r.user_id, r.id, 'another user''s row has its id'
      from rows_of as r
      inner join ledger.electricity_readings_archive as a on a.id = r.id and a.user_id <> r.user_id
      -- What the view does not show of its owner any more, the merge removes.
      inner join ledger.readings as o on o.user_id = a.user_id and o.id = a.id
      union all
      select distinct r.user_id, r.id, 'another user''s row has its id'
      from rows_of as r
      inner join ledger.readings as o on o.id = r.id and o.user_id < r.user_id
      where not exists (
        select from ledger.electricity_readings_archive as a
        inner join ledger.readings as k on k.user_id = a.user_id and k.id = a.id
        where a.id = r.id
      )
    $sql$ || v_checks
  using p_users;
end;
$_$;

COMMENT ON FUNCTION ledger.archive_obstacles(p_users uuid[]) IS 'Readings of the given users, or of everybody, that the archived table could not take back, and why';

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

CREATE FUNCTION ledger.change_reading(p_old ledger.readings, p_new ledger.readings) RETURNS ledger.readings
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_now ledger.readings;
  v_stated public.token_events;
  v_event public.token_events;
  v_replaced_id uuid;
begin
  perform ledger.take_turns(array[p_old.user_id, p_new.user_id]);
  -- Only now, with the turn taken, is the row what it is: an earlier writer may have changed it, or
  -- taken it away, and then there is nothing to change.
  select r.* into v_now
  from ledger.readings as r
  where r.user_id = p_old.user_id and r.id = p_old.id;
  if not found then
    return null;
  end if;
  select e.* into v_event
  from public.token_events as e
  where e.user_id = p_old.user_id and coalesce(e.reading_id, e.id) = p_old.id
    and not e.is_voided and e.event_type <> 'VOID';

  -- Only what this statement changes: everything else stays as the earlier writer left it.
  select
    case when p_new.id is distinct from p_old.id then p_new.id else v_now.id end,
    case when p_new.user_id is distinct from p_old.user_id then p_new.user_id else v_now.user_id end,
    case when p_new.date is distinct from p_old.date then p_new.date else v_now.date end,
    case when p_new.kwh_value is distinct from p_old.kwh_value
      then p_new.kwh_value else v_now.kwh_value end,
    case when p_new.token_cost is distinct from p_old.token_cost
      then p_new.token_cost else v_now.token_cost end,
    case when p_new.token_amount is distinct from p_old.token_amount
      then p_new.token_amount else v_now.token_amount end,
    case when p_new.notes is distinct from p_old.notes then p_new.notes else v_now.notes end,
    case when p_new.meter_photo_url is distinct from p_old.meter_photo_url
      then p_new.meter_photo_url else v_now.meter_photo_url end,
    case when p_new.created_at is distinct from p_old.created_at
      then p_new.created_at else v_now.created_at end
  into v_now;
  v_stated := ledger.reading_as_event(v_now);
  if ledger.is_cut_over() then
    if (v_now.user_id, v_now.id) is distinct from (p_old.user_id, p_old.id)
      and exists (
        select from ledger.readings as r where r.user_id = v_now.user_id and r.id = v_now.id
      )
    then
      perform ledger.refuse_taken_id(v_now.id);
    end if;
    perform ledger.check_unique_reading(to_jsonb(v_now), p_old.id);
    perform ledger.check_owner(v_now.user_id);
  end if;

  v_event.token_cost := v_stated.token_cost;
  v_event.notes := v_stated.notes;
  v_event.meter_photo_url := v_stated.meter_photo_url;
  v_event.created_at := v_stated.created_at;
  -- Where the day stays, the event keeps its hour; where no kWh change, a computed balance stays
  -- computed.
  if p_new.date is distinct from p_old.date then
    v_event.event_date := v_stated.event_date;
  end if;
  if p_new.token_amount is distinct from p_old.token_amount
    or (p_new.kwh_value is distinct from p_old.kwh_value and v_event.event_type <> 'ADJUSTMENT')
  then
    v_event.event_type := v_stated.event_type;
    v_event.kwh_amount := v_stated.kwh_amount;
    v_event.observed_kwh := v_stated.observed_kwh;
    v_event.legacy_token_amount := v_stated.legacy_token_amount;
  elsif p_new.kwh_value is distinct from p_old.kwh_value then
    v_event.observed_kwh := v_now.kwh_value; -- a correction, and now it is known what it came to
  end if;

  if (v_now.user_id, v_now.id) is distinct from (p_old.user_id, p_old.id) then
    perform ledger.remove_reading(p_old.user_id, p_old.id, 'reading changed');
  else
    v_replaced_id := ledger.remove_reading(p_old.user_id, p_old.id, null);
  end if;
  v_event.id := gen_random_uuid();
  v_event.user_id := v_now.user_id;
  v_event.reading_id := v_now.id;
  perform ledger.record_reading(v_event, v_replaced_id, 'reading changed');

  -- A merged event's survivor moves on with an edit, as long as the reading states the same fact.
  update ledger."merges" as g
  set survivor_id = v_event.id
  from public.token_events as e
  where v_replaced_id is not null and g.user_id = v_event.user_id and g.survivor_id = v_replaced_id
    and e.user_id = g.user_id and e.id = v_replaced_id
    and e.event_type = v_event.event_type and e.kwh_amount = v_event.kwh_amount
    and (e.event_date at time zone (select ledger.time_zone()))::date
      = (v_event.event_date at time zone (select ledger.time_zone()))::date;
  v_now.created_at := v_event.created_at;
  return v_now;
end;
$$;

COMMENT ON FUNCTION ledger.change_reading(p_old ledger.readings, p_new ledger.readings) IS 'Voids the event that stands for a reading and records a new one under the same visible id, changing only what differs between the two rows; the reading as it is then, null where it is gone';

CREATE FUNCTION ledger.check_owner(p_user_id uuid) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_key text;
begin
  if exists (select from public.user_profiles as p where p.id = p_user_id) then
    return;
  end if;
  select c.conname into v_key
  from pg_constraint as c
  where c.conrelid = 'ledger.electricity_readings_archive'::regclass and c.contype = 'f';
  perform ledger.refuse_reading(
    '23503',
    format(
      'insert or update on table "electricity_readings" violates foreign key constraint "%s"', v_key
    ),
    v_key, format('Key (user_id)=(%s) is not present in table "user_profiles".', p_user_id),
    'Key is not present in table "user_profiles".'
  );
end;
$$;

COMMENT ON FUNCTION ledger.check_owner(p_user_id uuid) IS 'Raises what the archived table would raise for a user without a profile';

CREATE FUNCTION ledger.check_reading(p_row jsonb) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_archive constant regclass := 'ledger.electricity_readings_archive';
  v_failing text;
  v_column text;
  v_check record;
  v_fails boolean;
begin
  select
    'Failing row contains ('
      || string_agg(coalesce(left(p_row ->> a.attname, 64), 'null'), ', ' order by a.attnum) || ').',
    min(a.attname) filter (where a.attnotnull and p_row ->> a.attname is null)
  into v_failing, v_column
  from pg_attribute as a
  where a.attrelid = v_archive and a.attnum > 0 and not a.attisdropped;
  if v_column is not null then
    perform ledger.refuse_reading(
      '23502',
      format(
        'null value in column "%s" of relation "electricity_readings" violates not-null constraint',
        v_column
      ),
      v_column, v_failing
    );
  end if;

  for v_check in
    select c.conname, pg_get_expr(c.conbin, c.conrelid) as expression
    from pg_constraint as c
    where c.conrelid = v_archive and c.contype = 'c'
    order by c.conname
  loop
    execute format(
      'select (%s) is false '
      'from jsonb_populate_record(null::ledger.electricity_readings_archive, $1)',
      v_check.expression
    )
    into v_fails
    using p_row;
    if v_fails then
      perform ledger.refuse_reading(
        '23514',
        format(
          'new row for relation "electricity_readings" violates check constraint "%s"',
          v_check.conname
        ),
        v_check.conname, v_failing
      );
    end if;
  end loop;
end;
$_$;

COMMENT ON FUNCTION ledger.check_reading(p_row jsonb) IS 'Raises what the archived table would raise for this row: not null and check, under its constraints'' own names';

CREATE FUNCTION ledger.check_reading_rights() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  if row_security_active('ledger.readings') and new.user_id is distinct from auth.uid() then
    raise exception 'new row violates row-level security policy for table "electricity_readings"'
      using errcode = 'insufficient_privilege';
  end if;
  return new;
end;
$$;

COMMENT ON FUNCTION ledger.check_reading_rights() IS 'Before a write through the view: a user writes own rows only, as the table''s policies said';

CREATE FUNCTION ledger.check_unique_reading(p_row jsonb, p_self uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_index record;
  v_key text;
begin
  for v_index in
    select
      c.relname,
      pg_get_expr(i.indpred, i.indrelid) as predicate,
      string_agg(k.expression, ', ' order by k.n) as keys
    from pg_index as i
    inner join pg_class as c on c.oid = i.indexrelid
    cross join lateral (
      select s.n, pg_get_indexdef(i.indexrelid, s.n, false) as expression
      from generate_series(1, i.indnkeyatts) as s (n)
    ) as k
    where i.indrelid = 'ledger.electricity_readings_archive'::regclass
      and i.indisunique and not i.indisprimary
    group by c.relname, i.indpred, i.indrelid
  loop
    -- Both sides as rows of the archived table, so that its expressions read as they do there.
    execute format(
      $sql$
        select mine.key
        from (
          select row(%1$s) as fields, concat_ws(', ', %1$s) as key
          from jsonb_populate_record(null::ledger.electricity_readings_archive, $1)
          where %2$s
        ) as mine
        inner join (
          select row(%1$s) as fields
          from public.electricity_readings
          where user_id = $2 and id is distinct from $3 and (%2$s)
        ) as others on others.fields = mine.fields
        limit 1
      $sql$,
      v_index.keys, coalesce(v_index.predicate, 'true')
    )
    into v_key
    using p_row, (p_row ->> 'user_id')::uuid, p_self;
    if v_key is not null then
      perform ledger.refuse_reading(
        '23505', format('duplicate key value violates unique constraint "%s"', v_index.relname),
        v_index.relname, format('Key (%s)=(%s) already exists.', v_index.keys, v_key)
      );
    end if;
  end loop;
end;
$_$;

COMMENT ON FUNCTION ledger.check_unique_reading(p_row jsonb, p_self uuid) IS 'Raises what a unique index of the archived table would raise for this row of its user, the row p_self apart';

CREATE FUNCTION ledger.contract() RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_rows bigint;
begin
  if not ledger.is_cut_over() then
    raise exception 'meterledger: electricity_readings is the table that the app reads: nothing may go'
      using errcode = 'ML214', detail = 'Next: cut over first, and wait out the grace period.';
  end if;
  -- The empty table stays: its constraints give old clients' errors their names.
  lock table ledger.electricity_readings_archive in access exclusive mode;
  select count(*) into v_rows from ledger.electricity_readings_archive;
  alter table ledger.electricity_readings_archive
    disable trigger electricity_readings_refuse_truncate;
  truncate table ledger.electricity_readings_archive;
  alter table ledger.electricity_readings_archive
    enable trigger electricity_readings_refuse_truncate;
  delete from ledger.cutback_marks;
  update ledger.cutovers as c
  set contracted_at = clock_timestamp(), contracted_by = session_user
  where c.cut_back_at is null and c.contracted_at is null;
  return jsonb_build_object('rows', v_rows);
end;
$$;

COMMENT ON FUNCTION ledger.contract() IS 'Empties the archived table, for good; its shape stays, since old clients'' errors carry its constraints'' names';

CREATE FUNCTION ledger.create_embeddings() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
  v_name text;
  v_function regprocedure;
begin
  create function public.electricity_readings(public.user_profiles)
  returns setof public.electricity_readings
  rows 100
  language sql
  stable
  security invoker
  set search_path = ''
  as 'select r.* from public.electricity_readings as r where r.user_id = ($1).id';
  comment on function public.electricity_readings(public.user_profiles) is
    'For PostgREST: a profile''s readings, as the table''s foreign key embedded them';

  -- Clients name the profile by its table or by the key's column.
  foreach v_name in array array['user_profiles', 'user_id'] loop
    execute format(
      $sql$
        create function public.%1$I(public.electricity_readings)
        returns setof public.user_profiles
        rows 1
        language sql
        stable
        security invoker
        set search_path = ''
        as 'select p.* from public.user_profiles as p where p.id = ($1).user_id';
        comment on function public.%1$I(public.electricity_readings) is
          'For PostgREST: a reading''s profile, as the table''s foreign key embedded it';
      $sql$,
      v_name
    );
  end loop;

  foreach v_function in array ledger.embeddings() loop
    execute format(
      'revoke all on function %s from public, anon, authenticated, service_role', v_function
    );
    execute format('grant execute on function %s to authenticated, service_role', v_function);
    -- Of the table anon may be a reader, who finds nothing.
    if not ledger.is_cut_over()
      and has_table_privilege('anon', 'public.electricity_readings', 'select')
    then
      execute format('grant execute on function %s to anon', v_function);
    end if;
  end loop;
end;
$_$;

COMMENT ON FUNCTION ledger.create_embeddings() IS 'Creates the functions by which PostgREST embeds profiles in readings and readings in profiles';

CREATE FUNCTION ledger.create_readings_view() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
  v_archive constant regclass := 'ledger.electricity_readings_archive';
  v_columns text;
  v_default record;
begin
  select string_agg(
    case
      when a.atttypid = 'numeric'::regtype and a.atttypmod <> -1
      then format(
        'case when abs(r.%1$I) >= 1e%2$s - 5e-%3$s then ''NaN''::%4$s else r.%1$I::%4$s end as %1$I',
        a.attname,
        ((a.atttypmod - 4) >> 16) - ((a.atttypmod - 4) & 2047),
        ((a.atttypmod - 4) & 2047) + 1,
        format_type(a.atttypid, a.atttypmod)
      )
      -- An upsert that names no conflict must come as a plain insert, which the trigger can judge:
      -- PostgREST must find no key to name. The planner sees the bare column.
      when a.attname = 'id' then 'case when true then r.id end as id'
      when a.atttypid = p.atttypid and a.atttypmod = p.atttypmod then format('r.%I', a.attname)
      else format('r.%1$I::%2$s as %1$I', a.attname, format_type(a.atttypid, a.atttypmod))
    end,
    ', ' order by a.attnum
  )
  into v_columns
  from pg_attribute as a
  inner join pg_attribute as p
    on p.attrelid = 'ledger.readings'::regclass and p.attname = a.attname
  where a.attrelid = v_archive and a.attnum > 0 and not a.attisdropped;
  execute format(
    'create view public.electricity_readings with (security_invoker = true) as '
    'select %s from ledger.readings as r',
    v_columns
  );
  comment on view public.electricity_readings is
    'The readings under their old name, for old clients: a view that writes events';
  for v_default in
    select a.attname, pg_get_expr(d.adbin, d.adrelid) as expression
    from pg_attrdef as d
    inner join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = v_archive
  loop
    execute format(
      'alter view public.electricity_readings alter column %I set default %s',
      v_default.attname, v_default.expression
    );
  end loop;

  create trigger electricity_readings_check_rights
  instead of insert or update on public.electricity_readings
  for each row execute function ledger.check_reading_rights();
  create trigger electricity_readings_insert
  instead of insert on public.electricity_readings
  for each row execute function ledger.insert_reading();
  create trigger electricity_readings_update
  instead of update on public.electricity_readings
  for each row execute function ledger.update_reading();
  create trigger electricity_readings_delete
  instead of delete on public.electricity_readings
  for each row execute function ledger.delete_reading();
end;
$_$;

COMMENT ON FUNCTION ledger.create_readings_view() IS 'Puts the view electricity_readings where the archived table was, with its types and defaults';

CREATE FUNCTION ledger.cut_back(p_set_aside bigint DEFAULT 0) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_views jsonb;
  v_users bigint;
  v_troubled uuid[];
  v_set_aside bigint;
  v_list text;
  v_locked_at timestamptz;
begin
  if not ledger.is_cut_over() then
    raise exception 'meterledger: electricity_readings is the table: there is nothing to cut back'
      using errcode = 'ML211', detail = 'Next: nothing.';
  end if;
  perform ledger.drop_embeddings();
  v_views := ledger.dependent_views('public.electricity_readings');
  -- Writers through the view are waited for, and new ones wait: a rename locks the view itself,
  -- where lock table would lock the projection under it too.
  alter view public.electricity_readings rename to electricity_readings_leaving;
  alter view public.electricity_readings_leaving rename to electricity_readings;
  v_locked_at := clock_timestamp();
  v_users := ledger.prepare_cutback(null);

  select array_agg(m.user_id) into v_troubled
  from ledger.cutback_marks as m
  where m.obstacles > 0;
  -- What stood in another user's way may be gone since: these are merged once more.
  if v_troubled is not null then
    perform ledger.merge_into_archive(v_troubled);
  end if;
  select
    count(distinct (o.user_id, o.reading_id)),
    string_agg(o.problem || ': ' || o.reading_id, '; ') filter (where o.nth <= 10)
  into v_set_aside, v_list
  from (
    select a.*, row_number() over (order by a.user_id, a.reading_id) as nth
    from ledger.archive_obstacles(coalesce(v_troubled, '{}')) as a
  ) as o;
  if v_set_aside <> p_set_aside then
    raise exception 'meterledger: the table cannot take % readings back: %', v_set_aside, v_list
      using errcode = 'ML211',
        detail = 'Next: correct them through their app, or let them be set aside, by their number.';
  end if;
  insert into ledger.set_aside (user_id, kind, reason, row_data)
  select
    o.user_id, 'reading', 'the table could not take it back: ' || string_agg(o.problem, ', '),
    (
      select to_jsonb(r) from ledger.readings as r
      where r.user_id = o.user_id and r.id = o.reading_id
    )
  from ledger.archive_obstacles(coalesce(v_troubled, '{}')) as o
  group by o.user_id, o.reading_id;

  -- What contract() dropped and no event stands for comes back from the list of rejects.
  insert into ledger.electricity_readings_archive
  select w.*
  from ledger.migration_rejects as x
  cross join lateral
    jsonb_populate_record(null::ledger.electricity_readings_archive, x.row_data) as w
  where x.user_id is null or exists (select from public.user_profiles as p where p.id = x.user_id)
  on conflict do nothing;
  with gone as (
    delete from ledger.migration_rejects as x
    where not exists (
      select from ledger.electricity_readings_archive as a where a.id = x.reading_id
    )
    returning x.user_id, x.reason, x.row_data
  )
  insert into ledger.set_aside (user_id, kind, reason, row_data)
  select g.user_id, 'reject', 'the table could not take it back: ' || g.reason, g.row_data
  from gone as g;

  -- Every row has arrived, but for those that were set aside. Users whose version is the one that
  -- they were merged at have the same rows as then, which the command compared whole.
  if (select count(*) from public.electricity_readings) - v_set_aside <> (
    select count(*) from ledger.electricity_readings_archive as a
    where not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
  ) then
    raise exception 'meterledger: the table does not hold what the view shows'
      using errcode = 'ML215',
        detail = 'Next: Nothing was changed. Report it as a defect, and stay with the view.';
  end if;

  alter view public.electricity_readings rename to electricity_readings_leaving;
  alter table ledger.electricity_readings_archive set schema public;
  alter table public.electricity_readings_archive rename to electricity_readings;
  perform ledger.repoint_views(v_views);
  drop view public.electricity_readings_leaving;
  alter table public.electricity_readings
    enable trigger electricity_readings_sync_inserts,
    enable trigger electricity_readings_sync_updates,
    enable trigger electricity_readings_sync_copied,
    enable trigger electricity_readings_sync_deletes;
  perform ledger.give_grants('public.electricity_readings', c.table_grants)
  from ledger.cutovers as c
  where c.cut_back_at is null;
  perform ledger.create_embeddings();
  update ledger.cutovers as c
  set cut_back_at = clock_timestamp(), cut_back_by = session_user, set_aside = v_set_aside
  where c.cut_back_at is null;
  delete from ledger.cutback_marks;
  notify pgrst, 'reload schema';
  return jsonb_build_object(
    'users_merged', v_users, 'set_aside', v_set_aside, 'locked_at', v_locked_at
  );
end;
$$;

COMMENT ON FUNCTION ledger.cut_back(p_set_aside bigint) IS 'Makes electricity_readings the table again with every write in it; refuses (ML211) unless told the number of readings that the table cannot take back';

CREATE FUNCTION ledger.cut_over(p_acknowledged text[] DEFAULT '{}'::text[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_views jsonb;
  v_grants jsonb;
  v_cutover_id bigint;
  v_locked_at timestamptz;
begin
  -- What takes a scan is asked before the lock; the sync lets nothing become pending meanwhile.
  perform ledger.require_cutover(
    (select jsonb_agg(to_jsonb(f)) from ledger.cutover_findings() as f), p_acknowledged
  );
  lock table public.electricity_readings in access exclusive mode;
  v_locked_at := clock_timestamp();
  perform ledger.require_cutover(
    (select jsonb_agg(to_jsonb(o)) from ledger.cutover_obstacles() as o), p_acknowledged
  );

  perform ledger.drop_embeddings();
  v_views := ledger.dependent_views('public.electricity_readings');
  v_grants := ledger.relation_grants('public.electricity_readings');
  insert into ledger.cutovers (acknowledged, table_grants)
  values (p_acknowledged, v_grants)
  returning cutover_id into v_cutover_id;

  -- Grants that no policy gave a row to would open something on a view: they stay with the table.
  select coalesce(jsonb_agg(g.value), '[]') into v_grants
  from jsonb_array_elements(v_grants) as g
  where g.value ->> 'privilege' in ('select', 'insert', 'update', 'delete')
    and (
      exists (
        select from pg_roles as o
        where quote_ident(o.rolname) = g.value ->> 'grantee' and o.rolbypassrls
      )
      or exists (
        select from pg_policies as p
        where p.schemaname = 'public' and p.tablename = 'electricity_readings'
          and p.permissive = 'PERMISSIVE' and p.cmd in (upper(g.value ->> 'privilege'), 'ALL')
          and (p.roles::text[] && array['public', g.value ->> 'grantee']
            or g.value ->> 'grantee' = 'public')
      )
    );
  perform ledger.take_grants('public.electricity_readings');
  alter table public.electricity_readings
    disable trigger electricity_readings_sync_inserts,
    disable trigger electricity_readings_sync_updates,
    disable trigger electricity_readings_sync_copied,
    disable trigger electricity_readings_sync_deletes;
  alter table public.electricity_readings rename to electricity_readings_archive;
  alter table public.electricity_readings_archive set schema ledger;
  delete from ledger.cutback_marks;
  perform ledger.create_readings_view();
  perform ledger.take_grants('public.electricity_readings'); -- what default privileges gave
  perform ledger.give_grants('public.electricity_readings', v_grants);
  perform ledger.repoint_views(v_views);

  perform ledger.create_embeddings();
  notify pgrst, 'reload schema';
  return jsonb_build_object(
    'cutover_id', v_cutover_id, 'views_moved', jsonb_array_length(v_views),
    'locked_at', v_locked_at
  );
end;
$$;

COMMENT ON FUNCTION ledger.cut_over(p_acknowledged text[]) IS 'Turns electricity_readings into a view over the projection and archives the table; refuses (ML210) with the list of what stands in the way or was not acknowledged';

CREATE FUNCTION ledger.cutover_findings() RETURNS TABLE(topic text, verdict text, subject text, finding text, next_step text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select o.* from ledger.cutover_obstacles() as o
  union all
  select
    'data', 'refuse', 'rejects', format('%s rejected readings wait for a decision', count(*)),
    'meterledger rejects: correct or waive each'
  from ledger.migration_rejects as x
  where x.waived_at is null and not ledger.is_cut_over()
  having count(*) > 0
  union all
  select
    'data', 'refuse', 'pending', format('%s readings are not migrated yet', count(*)),
    'meterledger backfill'
  from ledger.pending_readings as p
  where not ledger.is_cut_over()
  having count(*) > 0
  union all
  select
    'data', 'refuse', 'time zone', 'the app''s time zone is not confirmed',
    'update ledger.settings set time_zone = …'
  from ledger.settings as s
  where s.time_zone is null
  union all
  select
    'data', 'note', 'voided readings',
    format('%s readings that the table shows were voided by new clients, and go from sight',
      count(*)),
    'meterledger validate lists them'
  from ledger.migrated_readings as l
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
  where e.is_voided and not l.superseded and not ledger.is_cut_over()
  having count(*) > 0
  union all
  select
    'data', 'note', 'new events',
    format('%s events that only new clients see appear to old ones', count(*)),
    'meterledger validate lists them'
  from public.token_events as e
  where not e.is_voided and e.event_type <> 'VOID' and not ledger.is_cut_over()
    and not exists (
      select from ledger.migrated_readings as l
      where l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id)
        and l.event_id = e.id
    )
  having count(*) > 0;
$$;

COMMENT ON FUNCTION ledger.cutover_findings() IS 'What stands in the way of a cutover, what it moves and what its operator must know, the data included';

CREATE FUNCTION ledger.cutover_obstacles() RETURNS TABLE(topic text, verdict text, subject text, finding text, next_step text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  with
  legacy as (
    select c.oid, c.relkind, c.relrowsecurity
    from pg_class as c
    where c.oid = to_regclass('public.electricity_readings')
  ),
  own_rows as (
    select p.policyname, p.cmd, p.permissive, p.roles,
      coalesce(regexp_replace(lower(p.qual), '[()\s]|::uuid', '', 'g'), 'user_id=auth.uid')
        in (
          'auth.uid=user_id', 'user_id=auth.uid', 'selectauth.uidasuid=user_id',
          'user_id=selectauth.uidasuid'
        )
      and coalesce(regexp_replace(lower(p.with_check), '[()\s]|::uuid', '', 'g'), 'user_id=auth.uid')
        in (
          'auth.uid=user_id', 'user_id=auth.uid', 'selectauth.uidasuid=user_id',
          'user_id=selectauth.uidasuid'
        )
      and p.permissive = 'PERMISSIVE' as holds
    from pg_policies as p
    where p.schemaname = 'public' and p.tablename = 'electricity_readings'
  )
  select
    'state', 'refuse', 'electricity_readings', 'it is a view already: the cutover is done',
    'nothing; meterledger cutback leads back'
  from legacy as l where l.relkind = 'v'
  union all
  select
    'state', 'refuse', 'electricity_readings', 'there is no such table', 'deploy the phases first'
  where not exists (select from legacy)
  union all
  select
    'owner', 'refuse', 'electricity_readings',
    format('the table belongs to %s, and you are %s', pg_get_userbyid(c.relowner), current_user),
    'connect as the owner, or alter table public.electricity_readings owner to …'
  from legacy as l
  inner join pg_class as c on c.oid = l.oid
  where l.relkind <> 'v' and c.relowner <> (
    select o.oid from pg_roles as o where o.rolname = current_user
  )
  union all
  select
    'columns', 'refuse', format('column %s', a.attname),
    format('the events have no place for the table''s column %s', a.attname),
    'move it to a table of its own, keyed by (user_id, id), then drop it'
  from legacy as l
  inner join pg_attribute as a on a.attrelid = l.oid and a.attnum > 0 and not a.attisdropped
  where l.relkind <> 'v' and a.attname not in (
    'id', 'user_id', 'date', 'kwh_value', 'token_amount', 'token_cost', 'notes',
    'meter_photo_url', 'created_at'
  )
  union all
  select
    'isolation', 'refuse', 'electricity_readings', 'row level security is off on the table',
    'alter table public.electricity_readings enable row level security; see meterledger isolation'
  from legacy as l where l.relkind <> 'v' and not l.relrowsecurity
  union all
  select
    'policies', 'acknowledge', format('policy "%s"', o.policyname),
    format('policy "%s" says something else than own rows; through the view each user reaches '
      'own rows, and nothing else', o.policyname),
    'see whether a client needs what it gives'
  from own_rows as o where not o.holds
  union all
  select
    'policies', 'acknowledge', format('no policy for %s', x.cmd),
    format('no policy lets a user %s: a %s that found no row is refused through the view',
      lower(x.cmd), lower(x.cmd)),
    'nothing, where no client tries'
  from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as x (cmd)
  inner join legacy as l on l.relkind <> 'v'
  where not exists (
    select from own_rows as o where o.cmd in (x.cmd, 'ALL') and o.permissive = 'PERMISSIVE'
  )
  union all
  select
    'triggers', 'refuse', format('trigger %s', t.tgname),
    format('trigger %s calls %s, and the view would not fire it', t.tgname, t.tgfoid::regprocedure),
    'move what it does to token_events, then drop it'
  from legacy as l
  inner join pg_trigger as t on t.tgrelid = l.oid and not t.tgisinternal
  inner join pg_proc as p on p.oid = t.tgfoid
  where l.relkind <> 'v' and p.pronamespace <> 'ledger'::regnamespace
  union all
  select
    'rules', 'refuse', format('rule %s', r.rulename), 'a view cannot carry the table''s rule',
    'drop it'
  from legacy as l
  inner join pg_rewrite as r on r.ev_class = l.oid
  where l.relkind <> 'v'
  union all
  select
    'partitions', 'refuse', i.inhrelid::regclass::text, 'the table has or is a child of another',
    'detach it'
  from legacy as l
  inner join pg_inherits as i on l.oid in (i.inhrelid, i.inhparent)
  union all
  select
    'keys', 'refuse', format('foreign key %s of %s', f.conname, f.conrelid::regclass),
    'a foreign key cannot point at a view',
    'point it at token_events (user_id, id), or drop it'
  from legacy as l
  inner join pg_constraint as f on f.contype = 'f' and f.confrelid = l.oid
  union all
  select
    'keys', 'refuse', format('foreign key %s', f.conname),
    'the view knows only the key from user_id to user_profiles', 'drop it'
  from legacy as l
  inner join pg_constraint as f on f.contype = 'f' and f.conrelid = l.oid
  where f.confrelid <> 'public.user_profiles'::regclass
  union all
  select
    'keys', 'refuse', format('constraint %s', f.conname), 'a view cannot hold an exclusion',
    'drop it'
  from legacy as l
  inner join pg_constraint as f on f.contype = 'x' and f.conrelid = l.oid
  union all
  select
    'keys', 'refuse', format('index %s', i.indexrelid::regclass),
    'it is unique across users, which the view cannot hold', 'add user_id to it, or drop it'
  from legacy as l
  inner join pg_index as i on i.indrelid = l.oid and i.indisunique and not i.indisprimary
  where not exists (
    select from pg_attribute as a
    where a.attrelid = l.oid and a.attname = 'user_id' and a.attnum = any (i.indkey::int2[])
  )
  union all
  select
    'views', 'move', v.name, 'the view reads electricity_readings; it is pointed at its successor',
    'nothing'
  from legacy as l
  cross join lateral jsonb_to_recordset(ledger.dependent_views(l.oid)) as v (name text)
  where l.relkind <> 'v'
  union all
  select
    'views', 'refuse', c.oid::regclass::text,
    'the materialized view reads the table, and would stay with its archive',
    'drop it, and create it again after the cutover'
  from legacy as l
  inner join pg_depend as d
    on d.refobjid = l.oid and d.refclassid = 'pg_class'::regclass
      and d.classid = 'pg_rewrite'::regclass
  inner join pg_rewrite as r on r.oid = d.objid
  inner join pg_class as c on c.oid = r.ev_class and c.relkind = 'm'
  group by c.oid
  union all
  select
    'policies', 'refuse', format('policy "%s" of %s', y.polname, y.polrelid::regclass),
    'the policy reads the table, and would stay with its archive',
    'drop it, and create it again after the cutover'
  from legacy as l
  inner join pg_depend as d
    on d.refobjid = l.oid and d.refclassid = 'pg_class'::regclass
      and d.classid = 'pg_policy'::regclass
  inner join pg_policy as y on y.oid = d.objid and y.polrelid <> l.oid
  group by y.polname, y.polrelid
  union all
  select
    'functions', 'refuse', f.oid::regprocedure::text,
    'the function takes, returns or reads the table itself, and would stay with its archive',
    'drop it, and create it again after the cutover'
  from legacy as l
  inner join pg_class as c on c.oid = l.oid
  inner join pg_depend as d
    on d.classid = 'pg_proc'::regclass
      and ((d.refclassid = 'pg_class'::regclass and d.refobjid = l.oid)
        or (d.refclassid = 'pg_type'::regclass and d.refobjid = c.reltype))
  inner join pg_proc as f on f.oid = d.objid and f.pronamespace <> 'ledger'::regnamespace
  where l.relkind <> 'v' and f.oid <> all (ledger.embeddings())
  group by f.oid
  union all
  select
    'functions', 'acknowledge', f.oid::regprocedure::text,
    'the function names electricity_readings, and will meet the view',
    'see that it uses no on conflict, no for update, no truncate'
  from legacy as l
  inner join pg_proc as f
    on f.prosrc ~ '\melectricity_readings\M'
      and f.pronamespace::regnamespace::text not in ('ledger', 'pg_catalog', 'information_schema')
  where l.relkind <> 'v' and f.oid <> all (ledger.embeddings())
  union all
  select
    'realtime', 'acknowledge', format('publication %s', t.pubname),
    'a view is never published: subscribers hear nothing more of electricity_readings',
    'let them follow token_events'
  from legacy as l
  inner join pg_publication_tables as t
    on l.relkind <> 'v' and t.schemaname = 'public' and t.tablename = 'electricity_readings'
  union all
  select
    'upserts', 'acknowledge', 'on conflict, PUT',
    'on a view, insert … on conflict (id) fails with 42P10 and PUT with 405',
    'let clients insert or patch: see docs/clients.md'
  from legacy as l where l.relkind <> 'v';
$$;

COMMENT ON FUNCTION ledger.cutover_obstacles() IS 'What the catalog says of a cutover: verdict refuse, acknowledge (by its topic), or move';

CREATE FUNCTION ledger.delete_reading() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform ledger.take_turns(array[old.user_id]);
  if ledger.remove_reading(old.user_id, old.id, 'reading deleted') is null then
    return null;
  end if;
  return old;
end;
$$;

COMMENT ON FUNCTION ledger.delete_reading() IS 'Instead of a delete from the view electricity_readings: voids the event';

CREATE FUNCTION ledger.dependent_views(p_relation regclass) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(jsonb_agg(to_jsonb(v) order by v.name), '[]')
  from (
    select
      c.oid::regclass::text as name,
      ' with (' || array_to_string(c.reloptions, ', ') || ')' as options,
      pg_get_viewdef(c.oid) as definition
    from pg_class as c
    where c.relkind = 'v' and c.relnamespace <> 'ledger'::regnamespace
      and exists (
        select from pg_depend as d
        inner join pg_rewrite as r on r.oid = d.objid and r.ev_class = c.oid
        where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
          and d.refobjid = dependent_views.p_relation and c.oid <> dependent_views.p_relation
      )
  ) as v;
$$;

COMMENT ON FUNCTION ledger.dependent_views(p_relation regclass) IS 'The app''s views that read a relation: an array of {name, options, definition}';

CREATE FUNCTION ledger.difference_cause(p_user_id uuid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select case
    when not exists (select from public.user_profiles as p where p.id = p_user_id)
    then 'nobody has this user id: written directly'
    when exists (
      select from ledger.audits as a
      where a.details ? 'triggers_off' and a.started_at > coalesce(m.audited_at, '-infinity')
    ) then 'a trigger of the projector was off'
    when m.version = h.version
    then 'changed behind the projector after the audit of ' || m.audited_at::text
  end
  from (select p_user_id as user_id) as u
  left join ledger.heads as h on h.user_id = u.user_id
  left join ledger.audit_marks as m on m.user_id = u.user_id;
$$;

COMMENT ON FUNCTION ledger.difference_cause(p_user_id uuid) IS 'What is known of how a user''s readings came to differ; null: nothing';

CREATE FUNCTION ledger.drop_embeddings() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_function regprocedure;
begin
  foreach v_function in array ledger.embeddings() loop
    execute format('drop function %s', v_function);
  end loop;
end;
$$;

COMMENT ON FUNCTION ledger.drop_embeddings() IS 'Drops the functions that create_embeddings() made';

CREATE FUNCTION ledger.embeddings() RETURNS regprocedure[]
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(array_agg(f.oid::regprocedure), '{}')
  from unnest(array[
    to_regprocedure('public.electricity_readings(public.user_profiles)')::oid,
    to_regprocedure('public.user_profiles(public.electricity_readings)')::oid,
    to_regprocedure('public.user_id(public.electricity_readings)')::oid
  ]) as f (oid)
  where obj_description(f.oid, 'pg_proc') like 'For PostgREST: %'; -- the app may have its own
$$;

COMMENT ON FUNCTION ledger.embeddings() IS 'The functions that create_embeddings() made, which a switch makes anew';

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

CREATE FUNCTION ledger.give_grants(p_relation regclass, p_grants jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_grant record;
begin
  for v_grant in
    select g.*
    from jsonb_to_recordset(p_grants)
      as g (grantee text, privilege text, columns text, grantable boolean)
  loop
    execute format(
      'grant %s%s on table %s to %s%s',
      v_grant.privilege, ' (' || v_grant.columns || ')', p_relation, v_grant.grantee,
      case when v_grant.grantable then ' with grant option' end
    );
  end loop;
end;
$$;

COMMENT ON FUNCTION ledger.give_grants(p_relation regclass, p_grants jsonb) IS 'Grants on a relation what relation_grants() listed';

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

CREATE FUNCTION ledger.insert_reading() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_preference constant text := coalesce(
    nullif(current_setting('request.headers', true), '')::jsonb ->> 'prefer', ''
  );
  v_reading ledger.readings;
  v_event public.token_events;
  v_day date;
  v_half_id uuid;
  v_half_reading_id uuid;
begin
  perform ledger.check_reading(to_jsonb(new));
  select
    new.id, new.user_id, new.date, new.kwh_value, new.token_cost, new.token_amount, new.notes,
    new.meter_photo_url, new.created_at
  into v_reading;
  v_event := ledger.reading_as_event(v_reading);
  v_day := (v_event.event_date at time zone ledger.time_zone())::date;
  perform ledger.take_turns(array[new.user_id]);

  -- A dual-writing client's first half: the same fact, of the last hour, that stands for no reading
  -- yet; the one under the reading's own id before others. What a coming cutback has copied was no
  -- reading of its own.
  select e.id, coalesce(e.reading_id, e.id) into v_half_id, v_half_reading_id
  from public.token_events as e
  where e.user_id = new.user_id and not e.is_voided and e.event_type <> 'VOID'
    and e.event_date >= v_day::timestamp at time zone ledger.time_zone()
    and e.event_date < (v_day + 1)::timestamp at time zone ledger.time_zone()
    and e.event_type = v_event.event_type and e.kwh_amount = v_event.kwh_amount
    and e.created_at > now() - interval '1 hour' and e.idempotency_key is null
    and not exists (
      select from ledger.migrated_readings as l
      where l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id)
        and l.event_id = e.id and not (l.completed and l.copied and not l.superseded)
    )
  order by e.id <> new.id, e.event_date, e.created_at, e.id
  limit 1;

  if exists (
    select from public.token_events as e
    where e.user_id = new.user_id and coalesce(e.reading_id, e.id) = new.id
      and not e.is_voided and e.event_type <> 'VOID' and e.id is distinct from v_half_id
  ) then
    if v_preference like '%resolution=ignore-duplicates%' then
      return null;
    end if;
    if v_preference like '%resolution=merge-duplicates%' then
      raise exception 'reading % is there already, and an upsert cannot change it', new.id
        using errcode = 'ML221', schema = 'public', table = 'electricity_readings',
          hint = 'Send a PATCH with a filter on id instead; upserts are for new readings only.';
    end if;
    perform ledger.refuse_taken_id(new.id);
  end if;
  perform ledger.check_unique_reading(to_jsonb(new), coalesce(v_half_reading_id, new.id));
  perform ledger.check_owner(new.user_id);

  if exists (
    select from public.token_events as e where e.user_id = new.user_id and e.id = new.id
  ) then
    v_event.id := gen_random_uuid();
    v_event.reading_id := new.id;
  end if;
  if v_half_id is not null then
    insert into ledger."merges" (user_id, event_id, reading_id, survivor_id)
    values (new.user_id, v_half_id, new.id, v_event.id);
    update ledger.migrated_readings as l
    set superseded = true, sync_voided = true
    where l.user_id = new.user_id and l.event_id = v_half_id and l.copied and not l.superseded;
  end if;
  perform ledger.record_reading(v_event, v_half_id, 'merged into ' || new.id);
  new.created_at := v_event.created_at;
  return new;
end;
$$;

COMMENT ON FUNCTION ledger.insert_reading() IS 'Instead of an insert into the view electricity_readings: records the event';

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

CREATE FUNCTION ledger.is_cut_over() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select exists (
    select from pg_class as c
    where c.oid = to_regclass('public.electricity_readings') and c.relkind = 'v'
  );
$$;

COMMENT ON FUNCTION ledger.is_cut_over() IS 'True while electricity_readings is a view over the projection';

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

CREATE FUNCTION ledger.lost_rows(p_floor xid) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  -- Only what was there, and not touched, before the refresh began counts.
  select count(*)
  from public.token_events as e
  where not e.is_voided and e.event_type <> 'VOID' and age(e.xmin) > age(p_floor)
    and not exists (
      select from public.electricity_readings_mv as m
      where m.user_id = e.user_id and m.id = coalesce(e.reading_id, e.id)
    );
$$;

COMMENT ON FUNCTION ledger.lost_rows(p_floor xid) IS 'Counted events, older than this transaction, that the materialized view does not show';

CREATE FUNCTION ledger.mark_refreshed(p_users uuid[], p_versions bigint[]) RETURNS bigint
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  -- Who is being erased keeps no mark: the profile is held, or is skipped.
  with present as materialized (
    select p.id, s.version
    from unnest(p_users, p_versions) as s (user_id, version)
    inner join public.user_profiles as p on p.id = s.user_id
    for key share of p skip locked
  )
  insert into ledger.refresh_marks as m (user_id, version)
  select p.id, p.version from present as p
  on conflict (user_id) do update set version = excluded.version
  where m.version is distinct from excluded.version;
  select count(*) from ledger.refresh_marks;
$$;

COMMENT ON FUNCTION ledger.mark_refreshed(p_users uuid[], p_versions bigint[]) IS 'Notes which versions a refresh saw; how many users have a mark then';

CREATE FUNCTION ledger.merge_into_archive(p_users uuid[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_owners uuid[]; -- of the rows that are set aside: another user may have the same id
  v_set_aside uuid[];
  v_removed bigint;
  v_written uuid[];
begin
  -- Writers of events wait: one that voids a row between two of these statements would leave it in
  -- the table with nothing that stands for it.
  perform
  from ledger.heads as h
  where h.user_id = any (p_users)
  order by h.user_id
  for update of h;
  with
  obstacles as materialized (
    select o.user_id, array_agg(distinct o.reading_id) as reading_ids
    from ledger.archive_obstacles(p_users) as o
    group by o.user_id
  ),
  noted as (
    update ledger.cutback_marks as m
    set obstacles = coalesce(
      (select cardinality(o.reading_ids) from obstacles as o where o.user_id = m.user_id), 0
    )
    where m.user_id = any (p_users)
  )
  select array_agg(o.user_id), array_agg(i.reading_id) into v_owners, v_set_aside
  from obstacles as o
  cross join lateral unnest(o.reading_ids) as i (reading_id);

  -- What differs goes first and comes back whole, so that no key is ever held twice in between.
  -- Rejected rows, which no event stands for, stay.
  delete from ledger.electricity_readings_archive as a
  where a.user_id = any (p_users)
    and not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
    and not exists (
      select from public.electricity_readings as v
      where v.user_id = a.user_id and v.id = a.id
        and not exists (
          select from unnest(v_owners, v_set_aside) as s (user_id, id)
          where s.user_id = v.user_id and s.id = v.id
        )
        and (v.date, v.kwh_value, v.token_amount, v.token_cost, v.notes, v.meter_photo_url)
          is not distinct from
          (a.date, a.kwh_value, a.token_amount, a.token_cost, a.notes, a.meter_photo_url)
        and (a.created_at is null or v.created_at = a.created_at)
    );
  get diagnostics v_removed = row_count;
  -- A row that was given to one of these users since, and is its old owner's in the archive still.
  delete from ledger.electricity_readings_archive as a
  using public.electricity_readings as v
  where v.user_id = any (p_users) and a.id = v.id and a.user_id <> all (p_users)
    and not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
    and not exists (
      select from public.electricity_readings as o where o.user_id = a.user_id and o.id = a.id
    );
  with written as (
    insert into ledger.electricity_readings_archive (
      id, user_id, date, kwh_value, token_amount, token_cost, notes, meter_photo_url, created_at
    )
    select
      v.id, v.user_id, v.date, v.kwh_value, v.token_amount, v.token_cost, v.notes,
      v.meter_photo_url, v.created_at
    from public.electricity_readings as v
    where v.user_id = any (p_users)
      and not exists (
        select from unnest(v_owners, v_set_aside) as s (user_id, id)
        where s.user_id = v.user_id and s.id = v.id
      )
      and not exists (
        select from ledger.electricity_readings_archive as a
        where a.user_id = v.user_id and a.id = v.id
      )
    returning id
  )
  select array_agg(w.id) into v_written from written as w;

  -- The list follows: one entry a row of the table, for the event that stands for it now.
  update ledger.migrated_readings as l
  set superseded = true
  where l.user_id = any (p_users) and not l.superseded
    and not exists (
      select from ledger.electricity_readings_archive as a
      inner join public.token_events as e
        on e.user_id = a.user_id and coalesce(e.reading_id, e.id) = a.id
          and not e.is_voided and e.event_type <> 'VOID'
      where a.user_id = l.user_id and a.id = l.reading_id and e.id = l.event_id
    );
  insert into ledger.migrated_readings as l (user_id, reading_id, event_id, completed, copied)
  select a.user_id, a.id, e.id, true, true
  from ledger.electricity_readings_archive as a
  inner join public.token_events as e
    on e.user_id = a.user_id and coalesce(e.reading_id, e.id) = a.id
      and not e.is_voided and e.event_type <> 'VOID'
  where a.user_id = any (p_users)
    and not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
  on conflict (user_id, reading_id, event_id) do update
  set superseded = false where l.superseded;
  update ledger.migrated_readings as l
  set copied = true
  from public.token_events as e
  where l.user_id = any (p_users) and not l.superseded and not l.copied
    and e.user_id = l.user_id and e.id = l.event_id
    and (
      (e.event_type <> 'METER_READING' and e.observed_kwh is null)
      -- What was written just now was rounded to the table's numbers, whoever recorded the event.
      or l.reading_id in (select w.id from unnest(v_written) as w (id))
    );
  return jsonb_build_object(
    'removed', v_removed, 'written', coalesce(cardinality(v_written), 0),
    'set_aside', coalesce(cardinality(v_set_aside), 0)
  );
end;
$$;

COMMENT ON FUNCTION ledger.merge_into_archive(p_users uuid[]) IS 'Makes the archived table hold what the view shows of the given users, but for the rows that it cannot take; counts as jsonb';

CREATE FUNCTION ledger.merge_second_halves() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
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

COMMENT ON FUNCTION ledger.merge_second_halves() IS 'After an insert into token_events: an event that states the fact of a reading of the last hour is its second half, and is merged with it, one to one';

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
    SET plan_cache_mode TO 'auto'
    AS $$
declare
  v_users uuid[];
  v_superseded uuid[];
  v_namesakes bigint;
  v_rejected bigint;
  v_migrated bigint;
  v_completed bigint;
  v_merged bigint;
  v_applied bigint := 0;
  v_started timestamptz;
  v_from timestamptz;
  v_until timestamptz;
begin
  -- One row or fifty thousand: the plans differ. An app's few rows are served by kept plans.
  if cardinality(p_reading_ids) > 20 then
    perform set_config('plan_cache_mode', 'force_custom_plan', true);
  end if;
  -- The stretch of the readings, and enough around it for their whole days in any time zone.
  select array_agg(distinct m.user_id), min(m.event_date) - interval '2 days',
    max(m.event_date) + interval '2 days'
  into v_users, v_from, v_until
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
  -- What a rollback set aside about a reading that states the same fact still.
  kept as materialized (
    select distinct on (u.user_id, u.reading_id)
      u.user_id, u.reading_id, u.event_id, u.kind = 'completed event' as completed
    from ledger.unsettled as u
    where p_run_id is not null
      and u.user_id = any (v_users) and u.reading_id = any (p_reading_ids) and u.same_fact
    order by u.user_id, u.reading_id, u.set_aside_id desc
  ),
  -- Events of the same user under the reading's own id, voided ones too.
  namesakes as materialized (
    select
      w.user_id,
      w.reading_id,
      (not e.is_voided or exists (
        select from kept as k
        where k.user_id = e.user_id and k.reading_id = e.id and k.completed
      ))
      and e.reading_id is null
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
      -- A live write reads the events around its days; a batch has all days of its users anyway.
      and e.event_date >= v_from and e.event_date <= v_until
      -- What a cutback copied between a client's two halves was no reading of its own.
      and not exists (
        select from ledger.migrated_readings as l
        where l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id)
          and l.event_id = e.id
          and not (
            p_just_written and l.completed and l.copied and not l.superseded
            and l.reading_id <> all (p_reading_ids) and e.idempotency_key is null
          )
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
      case
        when k.event_id is not null then k.event_id
        when s.reading_id is null then n.reading_id
        else gen_random_uuid()
      end as event_id,
      false as completed,
      c.id as absorbed_id
    from numbered as n
    left join namesakes as s on s.user_id = n.user_id and s.reading_id = n.reading_id
    left join kept as k
      on k.user_id = n.user_id and k.reading_id = n.reading_id and not exists (
        select from public.token_events as e where e.user_id = k.user_id and e.id = k.event_id
      )
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
  if v_merged > 0 and p_just_written then
    with copies as (
      update ledger.migrated_readings as l
      set superseded = true, sync_voided = true
      from ledger.merges as g
      where g.user_id = any (v_users) and g.reading_id = any (p_reading_ids)
        and l.user_id = g.user_id and l.event_id = g.event_id and l.reading_id <> g.reading_id
        and l.copied and not l.superseded
      returning l.user_id, l.reading_id
    )
    delete from public.electricity_readings as r
    using copies as c
    where r.user_id = c.user_id and r.id = c.reading_id;
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

  if p_run_id is not null and v_users is not null then
    v_applied := ledger.apply_set_aside(p_run_id, v_users, p_reading_ids);
  end if;
  return jsonb_build_object(
    'migrated', v_migrated, 'completed', v_completed, 'merged', v_merged, 'rejected', v_rejected,
    'applied', v_applied, 'insert_seconds', extract(epoch from clock_timestamp() - v_started)
  );
end;
$$;

COMMENT ON FUNCTION ledger.migrate_readings(p_reading_ids uuid[], p_run_id bigint, p_just_written boolean) IS 'Turns the given legacy rows into events: lists, merges, rejects, inserts; counts as jsonb. With a run it applies what a rollback had set aside about them. Without one it serves a live write and replaces what an earlier version of a row became; what was just written absorbs only events of the last hour';

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
    ),
    settings = m.settings || case v_counts ->> 'applied'
      when '0' then '{}'
      else jsonb_build_object(
        'applied',
        coalesce((m.settings ->> 'applied')::bigint, 0) + (v_counts ->> 'applied')::bigint
      )
    end
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
    select
      l.user_id, l.reading_id, e.is_voided, l.copied,
      e.event_type = 'METER_READING' or e.observed_kwh is not null as is_anchor
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
          (v.date, w.kwh_value, w.token_cost, w.token_amount, v.notes, v.meter_photo_url)
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
    -- What a cutback copied was rounded to the table's numbers, and a computed balance moves on.
    cross join lateral (
      select
        case when l.copied and coalesce(
          not l.is_anchor or round(v.kwh_value, scale(r.kwh_value)) = r.kwh_value, false
        ) then r.kwh_value else v.kwh_value end as kwh_value,
        case when l.copied and round(v.token_amount, scale(r.token_amount)) = r.token_amount
          then r.token_amount else v.token_amount end as token_amount,
        case when l.copied and round(v.token_cost, scale(r.token_cost)) = r.token_cost
          then r.token_cost else v.token_cost end as token_cost
    ) as w
  )
  select j.user_id, j.reading_id, j.problem
  from judged as j
  where j.problem is not null
    -- Once electricity_readings is a view, there is no table to compare with.
    and not exists (
      select from pg_class as c
      where c.oid = to_regclass('public.electricity_readings') and c.relkind = 'v'
    );
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
    and not c.relrowsecurity
  union all
  select
    'electricity_readings is a view: its table is archived, and what was deleted since is there',
    'nothing is left to move; meterledger cutback makes it the table again'
  from pg_class as c
  where c.oid = to_regclass('public.electricity_readings') and c.relkind = 'v';
$$;

COMMENT ON FUNCTION ledger.migration_problems() IS 'What stands in the way of the data migration, and what to do about it; empty when nothing does';

CREATE FUNCTION ledger.mv_differences(p_users uuid[]) RETURNS TABLE(user_id uuid, row_id uuid, finding text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS $$
  with
  projected as (
    select r.* from ledger.readings as r where r.user_id = any (p_users)
  ),
  refreshed as (
    select m.* from public.electricity_readings_mv as m where m.user_id = any (p_users)
  )
  select
    coalesce(p.user_id, m.user_id), coalesce(p.id, m.id),
    case when m.id is null then 'missing' when p.id is null then 'foreign' else 'wrong' end
  from projected as p
  full join refreshed as m on m.user_id = p.user_id and m.id = p.id
  where (
    p.id, p.date, p.kwh_value, p.token_cost, p.token_amount, p.notes, p.meter_photo_url,
    p.created_at
  ) is distinct from (
    m.id, m.date, m.kwh_value, m.token_cost, m.token_amount, m.notes, m.meter_photo_url,
    m.created_at
  );
$$;

COMMENT ON FUNCTION ledger.mv_differences(p_users uuid[]) IS 'Where the materialized view differs from the projection of users who did not change since';

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

CREATE FUNCTION ledger.next_user(p_after uuid) RETURNS uuid
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS $$
  select least(
    (
      select r.user_id from ledger.readings as r
      where r.user_id > coalesce(p_after, '00000000-0000-0000-0000-000000000000')
      order by r.user_id limit 1
    ),
    (
      select e.user_id from public.token_events as e
      where e.user_id > coalesce(p_after, '00000000-0000-0000-0000-000000000000')
      order by e.user_id limit 1
    )
  );
$$;

COMMENT ON FUNCTION ledger.next_user(p_after uuid) IS 'The next user who has events or readings, in the order of their ids; null: the first';

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

CREATE FUNCTION ledger.position_changes(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) RETURNS TABLE(event_id uuid, event_type text, event_date timestamp with time zone, created_at timestamp with time zone, current_kwh numeric, supposed_kwh numeric, current_consumption_kwh numeric, supposed_consumption_kwh numeric)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select
    c.event_id, c.event_type, c.event_date, c.created_at, c.position_kwh, s.position_kwh,
    c.consumption_kwh, s.consumption_kwh
  from ledger.positions_if(p_from, p_until, '{}', '{}', null) as c
  inner join ledger.positions_if(p_from, p_until, p_without, p_with, p_new) as s
    on s.event_id = c.event_id
  where (c.position_kwh, c.consumption_kwh) is distinct from (s.position_kwh, s.consumption_kwh);
$$;

COMMENT ON FUNCTION ledger.position_changes(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) IS 'Counted events whose position or consumption (kWh) would be another under a supposition';

CREATE FUNCTION ledger.positions_if(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) RETURNS TABLE(event_id uuid, event_type text, event_date timestamp with time zone, created_at timestamp with time zone, position_kwh numeric, consumption_kwh numeric)
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

CREATE FUNCTION ledger.prepare_cutback(p_limit integer DEFAULT 1000) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_users uuid[];
begin
  if not ledger.is_cut_over() then
    raise exception 'meterledger: electricity_readings is the table: there is nothing to cut back'
      using errcode = 'ML211', detail = 'Next: nothing.';
  end if;
  -- The version first, then the rows: whoever writes in between is merged once more at the switch.
  with chosen as (
    insert into ledger.cutback_marks as m (user_id, version)
    select h.user_id, h.version
    from ledger.heads as h
    left join ledger.cutback_marks as k on k.user_id = h.user_id
    where k.version is distinct from h.version
    order by k.version is not null, h.user_id -- who writes all day long comes last
    limit p_limit
    on conflict (user_id) do update set version = excluded.version
    returning m.user_id
  )
  select array_agg(c.user_id) into v_users from chosen as c;
  if v_users is null then
    return 0;
  end if;
  perform ledger.merge_into_archive(v_users);
  return cardinality(v_users);
end;
$$;

COMMENT ON FUNCTION ledger.prepare_cutback(p_limit integer) IS 'Merges the readings of some users that changed since they were last merged into the archived table, beside running writers; how many users, 0 when all are merged';

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

CREATE FUNCTION ledger.projection_differences(p_users uuid[]) RETURNS TABLE(user_id uuid, row_id uuid, finding text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS $$
  with
  live as (
    select
      coalesce(e.reading_id, p.event_id) as id, p.user_id,
      ledger.reading_date(p.event_date, (select ledger.time_zone())) as date,
      p.calculated_position as kwh_value, p.token_cost, p.notes, p.meter_photo_url, p.created_at,
      case when p.is_topup then p.kwh_amount else e.legacy_token_amount end as token_amount
    from unnest(p_users) as u (user_id)
    cross join lateral public.calculate_user_positions(u.user_id) as p
    inner join public.token_events as e on e.user_id = p.user_id and e.id = p.event_id
    where e.user_id = any (p_users)
  ),
  projected as (
    select r.* from ledger.readings as r where r.user_id = any (p_users)
  )
  select
    coalesce(l.user_id, p.user_id), coalesce(l.id, p.id),
    case when p.id is null then 'missing' when l.id is null then 'foreign' else 'wrong' end
  from live as l
  full join projected as p on p.user_id = l.user_id and p.id = l.id
  where (
    l.id, l.date, l.kwh_value, l.token_cost, l.token_amount, l.notes, l.meter_photo_url,
    l.created_at
  ) is distinct from (
    p.id, p.date, p.kwh_value, p.token_cost, p.token_amount, p.notes, p.meter_photo_url,
    p.created_at
  );
$$;

COMMENT ON FUNCTION ledger.projection_differences(p_users uuid[]) IS 'Where the projection of these users differs from the live computation: a defect, row by row';

CREATE FUNCTION ledger.projector_triggers_off(p_missing boolean) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(array_agg(n.name order by n.name), '{}')
  from unnest(array[
    'token_events_project_deletes', 'token_events_project_inserts', 'token_events_project_updates'
  ]) as n (name)
  left join pg_catalog.pg_trigger as t
    on t.tgname = n.name and t.tgrelid = 'public.token_events'::regclass
  where case when p_missing then t.oid is null else t.tgenabled = 'D' end;
$$;

COMMENT ON FUNCTION ledger.projector_triggers_off(p_missing boolean) IS 'Triggers that keep the projection current and are switched off, or are missing';

CREATE FUNCTION ledger.reading_as_event(p_reading ledger.readings) RETURNS public.token_events
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_zone constant text := ledger.time_zone();
  v_event public.token_events;
  v_problem text;
begin
  v_event.id := p_reading.id;
  v_event.user_id := p_reading.user_id;
  v_event.event_type := case when p_reading.token_amount > 0 then 'TOPUP' else 'METER_READING' end;
  -- One of the two, whichever type the column has.
  v_event.event_date := case
    when pg_typeof(p_reading.date) = 'date'::regtype
    then p_reading.date::timestamp at time zone v_zone
    else p_reading.date::timestamptz
  end;
  v_event.created_at := coalesce(p_reading.created_at, v_event.event_date);
  v_event.token_cost := p_reading.token_cost;
  v_event.notes := p_reading.notes;
  v_event.meter_photo_url := p_reading.meter_photo_url;
  if v_event.event_type = 'TOPUP' then
    v_event.kwh_amount := p_reading.token_amount;
    v_event.observed_kwh := p_reading.kwh_value;
  else
    v_event.kwh_amount := p_reading.kwh_value;
    v_event.legacy_token_amount := p_reading.token_amount;
  end if;
  v_event.is_voided := false;

  v_problem := case
    when not v_event.event_date between '4713-01-05 00:00+00 BC' and '294276-12-27 00:00+00'
    then 'date out of range'
    when ledger.reading_date(v_event.event_date, v_zone) <> p_reading.date
    then 'the day does not exist in the time zone'
    when not (abs(p_reading.kwh_value) < 1e12 and p_reading.kwh_value >= 0)
    then 'kwh_value out of range'
    when not abs(p_reading.token_amount) < 1e12 then 'token_amount out of range'
    when not abs(p_reading.token_cost) < 1e12 then 'token_cost out of range'
    when not isfinite(p_reading.created_at) then 'created_at out of range'
  end;
  if v_problem is not null then
    raise exception 'this reading cannot be recorded: %', v_problem
      using errcode = 'ML220', schema = 'public', table = 'electricity_readings',
        hint = 'Send numbers below a million million, and a real day.';
  end if;
  return v_event;
end;
$$;

COMMENT ON FUNCTION ledger.reading_as_event(p_reading ledger.readings) IS 'A reading as the event that it becomes, by the mapping of the data migration (ML220 where it cannot become one)';

CREATE FUNCTION ledger.reading_date(p_event_date timestamp with time zone, p_time_zone text) RETURNS date
    LANGUAGE sql IMMUTABLE
    RETURN ((p_event_date AT TIME ZONE p_time_zone))::date;

COMMENT ON FUNCTION ledger.reading_date(p_event_date timestamp with time zone, p_time_zone text) IS 'The date of a reading as the legacy column has it: the local day, or the instant';

CREATE FUNCTION ledger.record_reading(p_event public.token_events, p_replaced_id uuid, p_reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_reading_id constant uuid := coalesce(p_event.reading_id, p_event.id);
begin
  -- What a cutback copied into the table goes on being the event's.
  insert into ledger.migrated_readings (user_id, reading_id, event_id, copied)
  select
    p_event.user_id, v_reading_id, p_event.id,
    exists (
      select from ledger.migrated_readings as l
      where l.user_id = p_event.user_id and l.reading_id = v_reading_id
        and l.event_id = p_replaced_id and l.copied
    );

  -- In one statement, so that no trigger and no reader sees the reading gone in between.
  with voided as (
    update public.token_events as e
    set is_voided = true, voided_at = now(), voided_reason = p_reason
    where p_replaced_id is not null
      and e.user_id = p_event.user_id and e.id = p_replaced_id and not e.is_voided
    returning e.id
  )
  insert into public.token_events (
    id, user_id, event_type, event_date, kwh_amount, token_cost, notes, meter_photo_url,
    created_at, created_by, metadata, observed_kwh, legacy_token_amount, reading_id
  )
  select
    p_event.id, p_event.user_id, p_event.event_type, p_event.event_date, p_event.kwh_amount,
    p_event.token_cost, p_event.notes, p_event.meter_photo_url, p_event.created_at,
    p_event.created_by,
    case jsonb_typeof(p_event.metadata) when 'object' then p_event.metadata else '{}' end
      || '{"migrated_from": "electricity_readings"}',
    p_event.observed_kwh, p_event.legacy_token_amount, p_event.reading_id
  where (select count(*) from voided) >= 0;
end;
$$;

COMMENT ON FUNCTION ledger.record_reading(p_event public.token_events, p_replaced_id uuid, p_reason text) IS 'Records an event for an old client''s reading, voiding the one that it replaces';

CREATE FUNCTION ledger.refresh_reason(p_deadline_ms integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_settings ledger.work_settings;
  v_last record;
  v_changed bigint;
  v_users bigint;
  v_age interval;
begin
  select s.* into v_settings from ledger.work_settings as s;
  if not v_settings.refresh then
    return jsonb_build_object('outcome', 'not needed', 'reason', 'switched off');
  end if;
  if not (
    select c.relispopulated from pg_catalog.pg_class as c
    where c.oid = 'public.electricity_readings_mv'::regclass
  ) then
    return jsonb_build_object('outcome', 'due', 'reason', 'it was emptied');
  end if;
  select l.finished_at, extract(epoch from l.finished_at - l.started_at) * 1000 as ms into v_last
  from ledger.refresh_log as l
  where l.outcome = 'refreshed' and l.finished_at is not null
  order by l.refresh_id desc
  limit 1;
  v_changed := ledger.unrefreshed_users();
  select count(*) into v_users from ledger.heads;
  v_age := clock_timestamp() - v_last.finished_at;
  if v_age < '0' then -- the clock was set back: how old it is, nobody knows
    v_age := v_settings.refresh_age;
  end if;
  if v_changed = 0 then
    return jsonb_build_object('outcome', 'not needed', 'reason', 'no user changed', 'changed', 0);
  end if;
  if v_last.finished_at is not null and not (
    v_age >= v_settings.refresh_age
    or (
      v_changed >= v_settings.refresh_share * v_users
      and v_age >= v_last.ms / v_settings.refresh_duty * interval '1 millisecond'
    )
  ) then
    return jsonb_build_object(
      'outcome', 'not needed', 'reason', 'neither old enough nor enough users changed',
      'changed', v_changed
    );
  end if;
  if v_last.ms > p_deadline_ms then
    return jsonb_build_object(
      'outcome', 'failed', 'reason', 'the last refresh took longer than this run may',
      'changed', v_changed
    );
  end if;
  return jsonb_build_object('outcome', 'due', 'reason', 'users changed', 'changed', v_changed);
end;
$$;

COMMENT ON FUNCTION ledger.refresh_reason(p_deadline_ms integer) IS 'Whether a refresh is due within so many milliseconds, and why or why not';

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

CREATE FUNCTION ledger.refuse_reading(p_sqlstate text, p_message text, p_name text, p_detail text, p_detail_for_all text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_detail text := p_detail_for_all;
begin
  if exists (
    select from pg_roles as r
    where r.rolname = coalesce(nullif(current_setting('role'), 'none'), session_user)
      and (r.rolbypassrls or r.rolsuper)
  ) then
    v_detail := p_detail;
  end if;
  if p_sqlstate = '23502' then
    if v_detail is null then
      raise exception '%', p_message
        using errcode = p_sqlstate, schema = 'public', table = 'electricity_readings',
          column = p_name;
    end if;
    raise exception '%', p_message
      using errcode = p_sqlstate, schema = 'public', table = 'electricity_readings',
        column = p_name, detail = v_detail;
  end if;
  if v_detail is null then
    raise exception '%', p_message
      using errcode = p_sqlstate, schema = 'public', table = 'electricity_readings',
        constraint = p_name;
  end if;
  raise exception '%', p_message
    using errcode = p_sqlstate, schema = 'public', table = 'electricity_readings',
      constraint = p_name, detail = v_detail;
end;
$$;

COMMENT ON FUNCTION ledger.refuse_reading(p_sqlstate text, p_message text, p_name text, p_detail text, p_detail_for_all text) IS 'Raises a violation of the archived table''s constraint, or of its column (23502), with the detail that the caller may see: p_detail only without row level security';

CREATE FUNCTION ledger.refuse_taken_id(p_id uuid) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_key text;
begin
  select c.conname into v_key
  from pg_constraint as c
  where c.conrelid = 'ledger.electricity_readings_archive'::regclass and c.contype = 'p';
  perform ledger.refuse_reading(
    '23505', format('duplicate key value violates unique constraint "%s"', v_key), v_key,
    format('Key (id)=(%s) already exists.', p_id)
  );
end;
$$;

COMMENT ON FUNCTION ledger.refuse_taken_id(p_id uuid) IS 'Raises what the archived table raises for an id that is taken';

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

CREATE FUNCTION ledger.relation_grants(p_relation regclass) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(jsonb_agg(to_jsonb(g) order by g.grantee, g.privilege, g.columns), '[]')
  from (
    select
      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
        as grantee,
      lower(a.privilege_type) as privilege,
      null::text as columns,
      a.is_grantable as grantable
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as a
    where c.oid = relation_grants.p_relation and a.grantee <> c.relowner
    union all
    select
      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
      lower(a.privilege_type),
      string_agg(quote_ident(t.attname), ', ' order by t.attnum),
      a.is_grantable
    from pg_attribute as t
    inner join pg_class as c on c.oid = t.attrelid
    cross join lateral aclexplode(t.attacl) as a
    where t.attrelid = relation_grants.p_relation and not t.attisdropped and a.grantee <> c.relowner
    group by a.grantee, a.privilege_type, a.is_grantable
  ) as g;
$$;

COMMENT ON FUNCTION ledger.relation_grants(p_relation regclass) IS 'The grants of a relation and its columns to others than its owner: an array of {grantee, privilege, columns, grantable}';

CREATE FUNCTION ledger.remove_reading(p_user_id uuid, p_reading_id uuid, p_reason text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_event_id uuid;
begin
  select e.id into v_event_id
  from public.token_events as e
  where e.user_id = p_user_id and coalesce(e.reading_id, e.id) = p_reading_id
    and not e.is_voided and e.event_type <> 'VOID';
  if v_event_id is null then
    return null;
  end if;
  -- An event that a new client recorded was there before any reading: so says `completed`.
  insert into ledger.migrated_readings as l (
    user_id, reading_id, event_id, completed, superseded, sync_voided
  )
  values (p_user_id, p_reading_id, v_event_id, true, true, true)
  on conflict (user_id, reading_id, event_id) do update set superseded = true, sync_voided = true;
  if p_reason is not null then
    update public.token_events as e
    set is_voided = true, voided_at = now(), voided_reason = p_reason
    where e.user_id = p_user_id and e.id = v_event_id;
  end if;
  return v_event_id;
end;
$$;

COMMENT ON FUNCTION ledger.remove_reading(p_user_id uuid, p_reading_id uuid, p_reason text) IS 'Takes the event that stands for a reading off the list, and voids it where a reason is given; its id, null where there is none';

CREATE FUNCTION ledger.rename_second_half() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

COMMENT ON FUNCTION ledger.rename_second_half() IS 'Before an insert into token_events: a second half under its reading''s id gets one of its own';

CREATE FUNCTION ledger.repair_user(p_user_id uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    SET lock_timeout TO '500ms'
    AS $$
begin
  if exists (select from public.user_profiles as p where p.id = p_user_id) then
    perform ledger.project_everything(array[p_user_id]);
  else
    delete from ledger.readings as r where r.user_id = p_user_id;
  end if;
  return not exists (select from ledger.projection_differences(array[p_user_id]));
exception
  when lock_not_available or deadlock_detected or serialization_failure then
    return false;
end;
$$;

COMMENT ON FUNCTION ledger.repair_user(p_user_id uuid) IS 'Recomputes one user''s projection in the user''s turn; whether it equals the events then';

CREATE FUNCTION ledger.repoint_views(p_views jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_view record;
begin
  for v_view in
    select v.* from jsonb_to_recordset(p_views) as v (name text, options text, definition text)
  loop
    execute format(
      'create or replace view %s%s as %s', v_view.name, v_view.options, v_view.definition
    );
  end loop;
end;
$$;

COMMENT ON FUNCTION ledger.repoint_views(p_views jsonb) IS 'Lets the app''s views read whatever has the names in their definitions now';

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

CREATE FUNCTION ledger.require_cutover(p_findings jsonb, p_acknowledged text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_list text;
  v_steps text;
begin
  select
    string_agg(format('%s: %s', f.subject, f.finding), '; '),
    string_agg(distinct case f.verdict
      when 'refuse' then f.next_step
      else format('acknowledge %s, when you have seen to it', f.topic)
    end, '; ')
  into v_list, v_steps
  from jsonb_to_recordset(p_findings)
    as f (topic text, verdict text, subject text, finding text, next_step text)
  where f.verdict = 'refuse'
    or (f.verdict = 'acknowledge' and f.topic <> all (p_acknowledged));
  if v_list is not null then
    raise exception 'meterledger: the cutover is refused: %', v_list
      using errcode = 'ML210', detail = 'Next: ' || v_steps;
  end if;
end;
$$;

COMMENT ON FUNCTION ledger.require_cutover(p_findings jsonb, p_acknowledged text[]) IS 'Raises ML210 with the findings that refuse a cutover, or that nobody acknowledged';

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

  -- An undoing that stopped half-way is over when the data moves again.
  update ledger.migration_runs as m
  set finished_at = clock_timestamp(), settings = m.settings || '{"abandoned": true}'
  where m.kind = 'undo' and m.finished_at is null;
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

CREATE FUNCTION ledger.start_undo() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_run_id bigint;
begin
  if (
    select c.relkind from pg_class as c where c.oid = to_regclass('public.electricity_readings')
  ) = 'v' then
    raise exception 'meterledger: electricity_readings is a view over the events: they must stay'
      using errcode = 'ML006', detail = 'Next: meterledger cutback, then roll back.';
  end if;
  select m.run_id into v_run_id
  from ledger.migration_runs as m
  where m.kind = 'undo' and m.finished_at is null
  order by m.run_id desc
  limit 1;
  if v_run_id is null then
    insert into ledger.migration_runs (kind) values ('undo') returning run_id into v_run_id;
  end if;
  return v_run_id;
end;
$$;

COMMENT ON FUNCTION ledger.start_undo() IS 'Opens a run that undoes the data migration, or gives the one that was begun and not finished';

CREATE FUNCTION ledger.switch_projector_on(p_triggers text[]) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_trigger text;
begin
  foreach v_trigger in array p_triggers loop
    execute format('alter table public.token_events enable trigger %I', v_trigger);
  end loop;
  -- What was written meanwhile moved no version: everybody is to be audited.
  update ledger.audit_marks set version = -1 where version <> -1;
  return true;
exception
  when lock_not_available then
    return false;
end;
$$;

COMMENT ON FUNCTION ledger.switch_projector_on(p_triggers text[]) IS 'Switches triggers of the projector on again and has everybody audited; false: the table is busy';

CREATE FUNCTION ledger.sync_copied() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform ledger.change_reading(
    row(
      o.id, o.user_id, o.date, o.kwh_value, o.token_cost, o.token_amount, o.notes,
      o.meter_photo_url, o.created_at
    )::ledger.readings,
    row(
      n.id, n.user_id, n.date, n.kwh_value, n.token_cost, n.token_amount, n.notes,
      n.meter_photo_url, n.created_at
    )::ledger.readings
  )
  from new_rows as n
  inner join old_rows as o on o.user_id = n.user_id and o.id = n.id
  where (
      n.date, n.kwh_value, n.token_amount, n.token_cost, n.notes, n.meter_photo_url, n.created_at
    ) is distinct from (
      o.date, o.kwh_value, o.token_amount, o.token_cost, o.notes, o.meter_photo_url, o.created_at
    )
    and exists (
      select from ledger.migrated_readings as l
      where l.user_id = n.user_id and l.reading_id = n.id and not l.superseded and l.copied
    );
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.sync_copied() IS 'After an update of electricity_readings: changes the events of rows that a cutback copied';

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
    where (
        o.id is null
        or (
          n.date, n.kwh_value, n.token_amount, n.token_cost, n.notes, n.meter_photo_url,
          n.created_at
        ) is distinct from (
          o.date, o.kwh_value, o.token_amount, o.token_cost, o.notes, o.meter_photo_url,
          o.created_at
        )
      )
      -- What a cutback copied into the table, the cutover's own sync takes care of.
      and not exists (
        select from ledger.migrated_readings as l
        where l.user_id = n.user_id and l.reading_id = n.id and not l.superseded and l.copied
      )
    group by n.known;
  end if;
  return null;
end;
$$;

COMMENT ON FUNCTION ledger.sync_updates() IS 'After an update of electricity_readings: voids what changed and records the new version';

CREATE FUNCTION ledger.take_grants(p_relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_grantee text;
begin
  for v_grantee in
    select distinct g.grantee
    from jsonb_to_recordset(ledger.relation_grants(p_relation)) as g (grantee text)
  loop
    execute format('revoke all on table %s from %s cascade', p_relation, v_grantee);
  end loop;
end;
$$;

COMMENT ON FUNCTION ledger.take_grants(p_relation regclass) IS 'Revokes all that others than the owner may do with a relation and its columns';

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
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
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
end;
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
  v_run_id bigint := ledger.start_undo();
  v_users uuid[];
  v_counts jsonb;
begin
  select coalesce(array_agg(u.user_id), '{}') into v_users
  from (
    select l.user_id from ledger.migrated_readings as l
    union
    select g.user_id from ledger.merges as g
    union
    select a.user_id from ledger.amended_events as a
  ) as u;
  perform ledger.undo_users(v_run_id, v_users);
  delete from ledger.migration_rejects;
  update ledger.migration_runs as m
  set finished_at = clock_timestamp(),
    legacy_rows = (select count(*) from public.electricity_readings)
  where m.run_id = v_run_id
  returning m.settings into v_counts;
  return v_counts;
end;
$$;

COMMENT ON FUNCTION ledger.undo_data_migration() IS 'Removes exactly what was migrated, un-voids exactly what was merged, sets aside what points at either, keeps everything written since; goes on where batches stopped; counts as jsonb';

CREATE FUNCTION ledger.undo_users(p_run_id bigint, p_users uuid[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  v_counts jsonb := '{}';
  v_count bigint;
begin
  perform ledger.take_turns(p_users);
  insert into ledger.maintenance (purpose) values ('undo data migration') on conflict do nothing;

  -- What clients wrote about migrated events since is set aside, whole, and named: voids, voids of
  -- those voids, and other events' references.
  with recursive
  doomed as (
    select
      l.user_id, l.event_id as id, l.event_id,
      case when not l.superseded then l.reading_id end as reading_id
    from ledger.migrated_readings as l
    where l.user_id = any (p_users) and not l.completed
    union
    select v.user_id, v.id, d.event_id, d.reading_id
    from doomed as d
    inner join public.token_events as v
      on v.user_id = d.user_id and v.void_of_event = d.id and v.event_type = 'VOID'
  ),
  cleared as (
    update public.token_events as e
    set void_of_event = null
    from doomed as d
    where e.user_id = d.user_id and e.void_of_event = d.id and e.event_type <> 'VOID'
    returning
      e.user_id, e.id, d.id as target_id,
      case when d.id = d.event_id then d.reading_id end as reading_id
  ),
  moved as (
    delete from public.token_events as v
    using doomed as d
    where v.user_id = d.user_id and v.id = d.id and v.event_type = 'VOID'
    returning v.user_id, v.void_of_event, d.reading_id, d.event_id, to_jsonb(v) as row_data
  )
  insert into ledger.set_aside (user_id, kind, reason, row_data, reading_id, event_id)
  select
    m.user_id, 'void event', 'it voids migrated event ' || m.void_of_event, m.row_data,
    m.reading_id, m.event_id
  from moved as m
  union all
  select
    c.user_id, 'event reference', format('event %s refers to event %s', c.id, c.target_id),
    jsonb_build_object('id', c.id, 'void_of_event', c.target_id), c.reading_id, c.target_id
  from cleared as c;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('void_events_set_aside', v_count);

  with moved as (
    update public.recalculation_batches as b
    set trigger_event_id = null
    from ledger.migrated_readings as l
    where l.user_id = any (p_users)
      and b.user_id = l.user_id and b.trigger_event_id = l.event_id and not l.completed
    returning
      b.user_id, b.id, l.event_id, case when not l.superseded then l.reading_id end as reading_id,
      to_jsonb(b) as row_data
  )
  insert into ledger.set_aside (user_id, kind, reason, row_data, reading_id, event_id)
  select
    m.user_id, 'batch reference', format('batch %s refers to migrated event %s', m.id, m.event_id),
    m.row_data || jsonb_build_object('trigger_event_id', m.event_id), m.reading_id, m.event_id
  from moved as m;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('batch_references_set_aside', v_count);

  insert into ledger.set_aside (user_id, kind, reason, row_data, reading_id, event_id)
  select
    e.user_id, 'voided event', 'a client voided this migrated event', to_jsonb(e),
    case when not l.superseded then l.reading_id end, e.id
  from ledger.migrated_readings as l
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
  where l.user_id = any (p_users) and e.is_voided and not l.sync_voided and not l.completed;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('voided_events_set_aside', v_count);

  -- A completed event stays, void; what must be known is that its void is its reading's.
  insert into ledger.set_aside (user_id, kind, reason, row_data, reading_id, event_id)
  select
    e.user_id, 'completed event', 'a client voided this completed event', to_jsonb(e),
    l.reading_id, e.id
  from ledger.migrated_readings as l
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
  where l.user_id = any (p_users) and e.is_voided and not l.sync_voided and l.completed
    and not l.superseded;

  insert into ledger.set_aside (user_id, kind, reason, row_data, reading_id, event_id)
  select
    e.user_id, 'recalculation link', 'migrated event of batch ' || e.recalc_batch_id, to_jsonb(e),
    case when not l.superseded then l.reading_id end, e.id
  from ledger.migrated_readings as l
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
  where l.user_id = any (p_users) and e.recalc_batch_id is not null and not l.completed;

  update ledger.set_aside as a
  set migrated_event = to_jsonb(e) || jsonb_build_object(
    'local_day', (e.event_date at time zone (select ledger.time_zone()))::date,
    'merged', (
      select coalesce(jsonb_agg(to_jsonb(m) order by m.id), '[]')
      from ledger.merges as g
      inner join public.token_events as m on m.user_id = g.user_id and m.id = g.event_id
      where g.user_id = e.user_id and g.survivor_id = e.id and e.is_voided
    )
  )
  from public.token_events as e
  where a.user_id = any (p_users) and a.settled_at is null and a.reading_id is not null
    and a.migrated_event is null and e.user_id = a.user_id and e.id = a.event_id;

  -- A merged event whose survivor a client voided stays voided, in the client's words.
  with stays as (
    delete from ledger.merges as g
    using ledger.migrated_readings as l, public.token_events as s
    where g.user_id = any (p_users)
      and l.user_id = g.user_id and l.reading_id = g.reading_id and l.event_id = g.survivor_id
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
  where l.user_id = any (p_users)
    and e.user_id = l.user_id and e.id = l.event_id and not l.completed;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('removed', v_count);

  -- Where a client voided it since, in words of its own, it stays so.
  update public.token_events as e
  set is_voided = false, voided_at = null, voided_by = null, voided_reason = null
  from ledger.merges as g
  where g.user_id = any (p_users) and e.user_id = g.user_id and e.id = g.event_id
    and e.voided_reason = 'merged into ' || g.reading_id;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('unmerged', v_count);

  update public.token_events as e
  set is_voided = false, voided_at = null, voided_by = null, voided_reason = null
  from ledger.migrated_readings as l
  where l.user_id = any (p_users) and l.completed and l.sync_voided and e.user_id = l.user_id and e.id = l.event_id;

  update public.token_events as e
  set event_date = b.event_date, observed_kwh = b.observed_kwh, token_cost = b.token_cost,
    legacy_token_amount = b.legacy_token_amount, notes = b.notes,
    meter_photo_url = b.meter_photo_url, created_at = b.created_at, reading_id = b.reading_id,
    metadata = case when (a.before ->> 'had_metadata')::boolean then a.before -> 'metadata' end
  from ledger.amended_events as a
  cross join lateral jsonb_populate_record(null::public.token_events, a.before) as b
  where a.user_id = any (p_users) and e.user_id = a.user_id and e.id = a.event_id;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('restored', v_count);

  delete from ledger.migrated_readings as l where l.user_id = any (p_users);
  get diagnostics v_count = row_count;
  delete from ledger.merges as g where g.user_id = any (p_users);
  delete from ledger.amended_events as a where a.user_id = any (p_users);
  delete from ledger.maintenance where xact_id = pg_current_xact_id();
  update ledger.migration_runs as m
  set settings = m.settings || (
    select jsonb_object_agg(
      c.key, coalesce((m.settings ->> c.key)::bigint, 0) + c.value::bigint
    )
    from jsonb_each_text(v_counts) as c
  )
  where m.run_id = p_run_id;
  return v_counts || jsonb_build_object('unlisted', v_count);
end;
$$;

COMMENT ON FUNCTION ledger.undo_users(p_run_id bigint, p_users uuid[]) IS 'Undoes the data migration of the given users, as part of a run; may be its own transaction';

CREATE FUNCTION ledger.unrefreshed_users() RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  -- Those who changed, and those who were erased since: their marks went with them.
  select
    (
      select count(*)
      from ledger.heads as h
      left join ledger.refresh_marks as m on m.user_id = h.user_id
      where m.version is distinct from h.version
    ) + greatest(0, coalesce((
      select l.users from ledger.refresh_log as l
      where l.outcome = 'refreshed' and l.users is not null
      order by l.refresh_id desc
      limit 1
    ), 0) - (select count(*) from ledger.refresh_marks));
$$;

COMMENT ON FUNCTION ledger.unrefreshed_users() IS 'Users who changed since the last scheduled refresh';

CREATE FUNCTION ledger.update_reading() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_old ledger.readings;
  v_new ledger.readings;
begin
  if new is not distinct from old then
    return new;
  end if;
  perform ledger.check_reading(to_jsonb(new));
  select
    old.id, old.user_id, old.date, old.kwh_value, old.token_cost, old.token_amount, old.notes,
    old.meter_photo_url, old.created_at
  into v_old;
  select
    new.id, new.user_id, new.date, new.kwh_value, new.token_cost, new.token_amount, new.notes,
    new.meter_photo_url, new.created_at
  into v_new;
  v_new := ledger.change_reading(v_old, v_new);
  if v_new is null then
    return null;
  end if;
  select
    v_new.id, v_new.user_id, v_new.date, v_new.kwh_value, v_new.token_cost, v_new.token_amount,
    v_new.notes, v_new.meter_photo_url, v_new.created_at
  into
    new.id, new.user_id, new.date, new.kwh_value, new.token_cost, new.token_amount, new.notes,
    new.meter_photo_url, new.created_at;
  return new;
end;
$$;

COMMENT ON FUNCTION ledger.update_reading() IS 'Instead of an update of the view electricity_readings: changes the reading''s event';

CREATE FUNCTION ledger.users_after(p_after uuid, p_count bigint) RETURNS TABLE(user_id uuid)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  with recursive hop as (
    select ledger.next_user(p_after) as user_id, 1 as hops
    union all
    select ledger.next_user(h.user_id), h.hops + 1
    from hop as h
    where h.user_id is not null and h.hops < p_count
  )
  select h.user_id from hop as h where h.user_id is not null;
$$;

COMMENT ON FUNCTION ledger.users_after(p_after uuid, p_count bigint) IS 'The next users who have events or readings, in the order of their ids; null: from the first';

CREATE FUNCTION ledger.users_to_audit(p_mv boolean, OUT users uuid[], OUT changed bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_cycle interval;
  v_share numeric;
  v_known bigint;
  v_limit bigint;
  v_state ledger.work_state;
  v_next uuid[];
begin
  select s.audit_cycle into v_cycle from ledger.work_settings as s;
  select s.* into v_state from ledger.work_state as s for update;
  select count(*) into v_known from ledger.heads;
  -- Less than nothing where the clock was set back.
  v_share := greatest(0, least(
    1, extract(epoch from clock_timestamp() - v_state.swept_at) / extract(epoch from v_cycle)
  ));

  -- Who changed since the audit, whom a refresh brought up to date since, whose time has come.
  with due as (
    select h.user_id
    from ledger.heads as h
    left join ledger.audit_marks as m on m.user_id = h.user_id
    left join ledger.refresh_marks as r on r.user_id = h.user_id
    where m.version is distinct from h.version
      or (p_mv and r.version = h.version and m.mv_version is distinct from r.version)
      or m.audited_at < clock_timestamp() - v_cycle
  )
  select array_agg(d.user_id), count(*) into users, changed from due as d;
  -- And of the others, those who were looked at longest ago.
  users := coalesce(users, '{}') || coalesce((
    select array_agg(s.user_id)
    from (
      select m.user_id
      from ledger.audit_marks as m
      where changed < v_known
      order by m.audited_at, m.user_id
      limit ceil(v_known * v_share)
    ) as s
    where not s.user_id = any (coalesce(users, '{}'))
  ), '{}');

  -- And whom nobody knows: as many as are known, and some more; round the end, and on from the
  -- beginning.
  v_limit := ceil(v_known * v_share)::bigint + 10;
  select coalesce(array_agg(u.user_id), '{}') into v_next
  from ledger.users_after(v_state.swept_to, v_limit) as u;
  if cardinality(v_next) < v_limit and v_state.swept_to is not null then
    v_next := v_next || coalesce((
      select array_agg(u.user_id)
      from ledger.users_after(null, v_limit - cardinality(v_next)) as u
    ), '{}');
  end if;
  users := users || coalesce((
    select array_agg(distinct u.user_id)
    from unnest(v_next) as u (user_id)
    where not exists (select from ledger.heads as h where h.user_id = u.user_id)
  ), '{}');
  update ledger.work_state
  set swept_to = v_next[cardinality(v_next)], swept_at = clock_timestamp();
end;
$$;

COMMENT ON FUNCTION ledger.users_to_audit(p_mv boolean, OUT users uuid[], OUT changed bigint) IS 'Whom an audit is to look at now: the changed ones first, then a share of the rest by the time that passed, so that everybody comes up within a cycle';

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
  -- Of an array the index is asked id by id; a join may read all of the user's events instead.
  where e.user_id = v_user_id and e.id = any (array(
    select (a.event ->> 'event_id')::uuid from jsonb_array_elements(v_affected) as a (event)
  ));
  return v_batch;
end;
$$;

COMMENT ON FUNCTION ledger.write_batch(p_batch_id uuid, p_trigger_type text, p_trigger_event_id uuid, p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) IS 'Writes the recalculation of a change that is made already, and links the affected events to it';

CREATE FUNCTION public.audit_readings(p_trigger text DEFAULT 'manual'::text, p_budget_ms integer DEFAULT 2000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET statement_timeout TO '10min'
    SET lock_timeout TO '2s'
    SET row_security TO 'off'
    AS $$
declare
  v_started timestamptz := clock_timestamp();
  v_until timestamptz := v_started + p_budget_ms * interval '1 millisecond';
  v_audit_id bigint;
  v_details jsonb := '{}';
  v_off text[];
  v_missing text[];
  v_mv boolean;
  v_refresh boolean := false;
  v_more boolean := false;
  v_users uuid[];
  v_changed bigint := 0;
  v_done integer := 0;
  v_chunk uuid[];
  v_seen jsonb;
  v_found jsonb;
  v_user uuid;
  v_differing uuid[] := '{}';
  v_repaired boolean;
  v_differences bigint := 0;
  v_unrepaired bigint := 0;
  v_result jsonb;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('meterledger.audit_readings', 0)) then
    return jsonb_build_object(
      'outcome', 'skipped', 'reason', 'an audit is under way', 'more', false, 'refresh', false
    );
  end if;
  insert into ledger.audits (started_at, trigger_source) values (v_started, p_trigger)
  returning audit_id into v_audit_id;

  v_missing := ledger.projector_triggers_off(true);
  if v_missing <> '{}' then
    v_details := v_details || jsonb_build_object('triggers_missing', v_missing);
    v_unrepaired := v_unrepaired + cardinality(v_missing);
    v_differences := v_differences + cardinality(v_missing);
  end if;
  v_off := ledger.projector_triggers_off(false);
  if v_off <> '{}' then
    v_details := v_details || jsonb_build_object('triggers_off', v_off);
    v_differences := v_differences + cardinality(v_off);
    if ledger.switch_projector_on(v_off) then
      v_more := true;
    else
      v_unrepaired := v_unrepaired + cardinality(v_off);
    end if;
  end if;

  -- Switching a trigger holds writers up, so nothing else is done in that transaction.
  if not v_more then
    select s.refresh into v_mv from ledger.work_settings as s;
    if v_mv and not (
      select c.relispopulated from pg_catalog.pg_class as c
      where c.oid = 'public.electricity_readings_mv'::regclass
    ) then
      v_details := v_details || '{"mv_emptied": true}';
      v_differences := v_differences + 1;
      v_refresh := true;
      v_mv := false;
    end if;
    select u.users, u.changed into v_users, v_changed from ledger.users_to_audit(v_mv) as u;

    while v_done < cardinality(v_users) loop
      v_chunk := v_users[v_done + 1:v_done + 10];
      -- One statement, one snapshot: versions, events and both caches belong together.
      with
      seen as (
        select
          u.user_id, h.version,
          case when v_mv and r.version = h.version then r.version end as mv_version
        from unnest(v_chunk) as u (user_id)
        left join ledger.heads as h on h.user_id = u.user_id
        left join ledger.refresh_marks as r on r.user_id = u.user_id
      ),
      projected as materialized (
        select d.* from ledger.projection_differences(v_chunk) as d
      ),
      found as (
        select p.*, 'projection' as found_in from projected as p
        union all
        select d.*, 'materialized view'
        -- Not called at all where the view is empty or switched off: that would raise. Whose
        -- projection is wrong differs from the view as well, which may be right.
        from (
          select array_agg(s.user_id) as users
          from seen as s
          where s.mv_version is not null
            and not exists (select from projected as p where p.user_id = s.user_id)
        ) as c
        cross join lateral ledger.mv_differences(c.users) as d
        where v_mv
      )
      select
        (select jsonb_agg(to_jsonb(s)) from seen as s),
        (select jsonb_agg(to_jsonb(f)) from found as f)
      into v_seen, v_found;
      v_done := v_done + cardinality(v_chunk);

      if v_found is not null then
        insert into ledger.audit_differences (user_id, audit_id, row_id, found_in, finding, cause)
        select f.user_id, v_audit_id, f.row_id, f.found_in, f.finding, case f.found_in
          when 'projection' then ledger.difference_cause(f.user_id) else 'see the projection' end
        from jsonb_to_recordset(v_found)
          as f (user_id uuid, row_id uuid, finding text, found_in text)
        on conflict (user_id, audit_id, row_id, found_in) do nothing;
        v_differences := v_differences + jsonb_array_length(v_found);
        v_differing := v_differing || array(
          select distinct (f ->> 'user_id')::uuid from jsonb_array_elements(v_found) as f
        );
      end if;
      -- Who is being erased keeps no mark: the profile is held, or is skipped.
      with present as materialized (
        select s.user_id, s.version, s.mv_version
        from jsonb_to_recordset(v_seen) as s (user_id uuid, version bigint, mv_version bigint)
        inner join public.user_profiles as p on p.id = s.user_id
        where s.version is not null and not s.user_id = any (v_differing)
        for key share of p skip locked
      )
      insert into ledger.audit_marks as m (user_id, version, mv_version, audited_at)
      select p.user_id, p.version, p.mv_version, clock_timestamp() from present as p
      on conflict (user_id) do update
      set version = excluded.version, audited_at = excluded.audited_at,
        mv_version = coalesce(excluded.mv_version, m.mv_version);
      -- Of whom is right now, nothing of earlier audits is open; of the view, if it was compared.
      update ledger.audit_differences as d set repaired = true
      where not d.repaired and d.audit_id < v_audit_id
        and d.user_id = any (v_chunk) and not d.user_id = any (v_differing)
        and (
          d.found_in = 'projection'
          or exists (
            select from jsonb_to_recordset(v_seen) as s (user_id uuid, mv_version bigint)
            where s.user_id = d.user_id and s.mv_version is not null
          )
        );
      exit when clock_timestamp() > v_until;
    end loop;

    -- In the order in which writers take their turns. What the time does not suffice for is found,
    -- and told, again by the next audit.
    for v_user in select distinct d.id from unnest(v_differing) as d (id) order by d.id loop
      if exists (
        select from ledger.audit_differences as d
        where d.audit_id = v_audit_id and d.user_id = v_user and d.found_in = 'projection'
      ) then
        v_repaired := clock_timestamp() < v_until + interval '2 seconds'
          and ledger.repair_user(v_user);
        update ledger.audit_differences as d set repaired = true
        where v_repaired and not d.repaired and d.user_id = v_user and d.found_in = 'projection';
      else
        update ledger.refresh_marks as m set version = -1 where m.user_id = v_user;
      end if;
    end loop;
    select
      v_unrepaired + count(*) filter (where d.found_in = 'projection' and not d.repaired),
      v_refresh or count(*) filter (where d.found_in = 'materialized view') > 0
    into v_unrepaired, v_refresh
    from ledger.audit_differences as d where d.audit_id = v_audit_id;
    v_more := v_done < cardinality(v_users);
  end if;

  update ledger.audits as a
  set finished_at = clock_timestamp(), users = v_done, changed = v_changed,
    left_over = greatest(0, v_changed - v_done), differences = v_differences,
    unrepaired = v_unrepaired, details = v_details
  where a.audit_id = v_audit_id;
  select v_details || jsonb_build_object(
    'outcome', case when v_differences = 0 then 'clean' else 'differences' end,
    'audit_id', v_audit_id, 'users', v_done, 'changed', v_changed,
    'differences', v_differences, 'unrepaired', v_unrepaired, 'refresh', v_refresh, 'more', v_more,
    'causes', coalesce((
      select jsonb_agg(distinct coalesce(d.cause, 'unknown'))
      from ledger.audit_differences as d where d.audit_id = v_audit_id
    ), '[]'),
    'seconds', round(extract(epoch from clock_timestamp() - v_started), 3)
  ) into v_result;
  return v_result;
end;
$$;

COMMENT ON FUNCTION public.audit_readings(p_trigger text, p_budget_ms integer) IS 'Compares the projection of changed users and of a rotating share of the rest with the events, and with the view where that is up to date; repairs and records what differs. more: call again; refresh: the view needs a forced refresh';

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

CREATE FUNCTION public.ledger_health(p_stale_seconds integer DEFAULT 86400) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    SET lock_timeout TO '2s'
    AS $_$
declare
  v_settings ledger.work_settings;
  v_installed_at timestamptz;
  v_refresh record;
  v_run record;
  v_audit record;
  v_recent record;
  v_stale timestamptz := now() - p_stale_seconds * interval '1 second';
  v_rejects bigint;
  v_changed bigint;
  v_open bigint;
  v_cron text[];
  v_problems text[] := '{}';
begin
  select s.* into v_settings from ledger.work_settings as s;
  select w.installed_at into v_installed_at from ledger.work_state as w;
  -- The newest by their numbers, not by their times: a clock that was set back hides none.
  select
    (
      select l.finished_at from ledger.refresh_log as l where l.outcome = 'refreshed'
      order by l.refresh_id desc limit 1
    ) as refreshed_at,
    (
      select l.finished_at from ledger.refresh_log as l
      where l.outcome in ('refreshed', 'not needed') order by l.refresh_id desc limit 1
    ) as succeeded_at
  into v_refresh;
  select l.outcome, coalesce(l.details ->> 'reason', 'no reason is on record') as reason into v_run
  from ledger.refresh_log as l where l.outcome <> 'skipped' order by l.refresh_id desc limit 1;
  select a.finished_at, a.users, a.differences, a.left_over into v_audit
  from ledger.audits as a order by a.audit_id desc limit 1;
  select
    coalesce(sum(a.differences), 0) as differences, coalesce(sum(a.unrepaired), 0) as unrepaired
  into v_recent
  from ledger.audits as a where a.started_at > now() - interval '24 hours';
  select count(*) into v_rejects from ledger.migration_rejects as r where r.waived_at is null;
  v_changed := ledger.unrefreshed_users();
  -- What could not be repaired is recorded by each audit anew.
  select count(distinct (d.user_id, d.row_id, d.found_in)) into v_open
  from ledger.audit_differences as d
  where not d.repaired and (v_settings.refresh or d.found_in = 'projection');

  if v_settings.refresh and coalesce(v_refresh.succeeded_at, v_installed_at) < v_stale then
    v_problems := v_problems || 'no scheduled refresh has succeeded lately'::text;
  end if;
  if v_settings.refresh and v_run.outcome = 'failed' then
    v_problems := v_problems || ('the last refresh run failed: ' || v_run.reason);
  end if;
  if coalesce(v_audit.finished_at, v_installed_at) < v_stale then
    v_problems := v_problems || 'no audit has run lately'::text;
  end if;
  if v_recent.differences > 0 then
    v_problems := v_problems
      || 'an audit of the last 24 hours found differences, which are defects'::text;
  end if;
  if v_open > 0 then
    v_problems := v_problems || 'what an audit found is not repaired yet'::text;
  end if;
  if cardinality(
    ledger.projector_triggers_off(false) || ledger.projector_triggers_off(true)
  ) > 0 then
    v_problems := v_problems || 'a trigger of the projector is off or missing'::text;
  end if;
  if v_settings.refresh and not exists (
    select from pg_catalog.pg_class as c
    where c.oid = to_regclass('public.electricity_readings_mv') and c.relispopulated
  ) then
    v_problems := v_problems || 'electricity_readings_mv is empty or missing'::text;
  end if;
  -- pg_cron tells nobody. What it noted of our jobs, where it is there and we may read it.
  if (
    select count(*) = 2
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'cron' and c.relname in ('job', 'job_run_details')
      and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
  ) then
    execute $jobs$
      select array_agg(
        'pg_cron: ' || j.jobname || case
          when j.active then ' failed: ' || coalesce(d.return_message, 'it does not say why')
          else ' is switched off'
        end
        order by j.jobname
      )
      from cron.job as j
      left join lateral (
        select r.status, r.return_message from cron.job_run_details as r
        where r.jobid = j.jobid and r.status in ('succeeded', 'failed')
        order by r.runid desc
        limit 1
      ) as d on true
      where j.database = current_database() and j.jobname like 'meterledger %'
        and (not j.active or d.status = 'failed')
    $jobs$ into v_cron;
    v_problems := v_problems || coalesce(v_cron, '{}');
  end if;
  return jsonb_build_object(
    'healthy', v_problems = '{}', 'problems', v_problems,
    'refresh', case when v_settings.refresh then 'on' else 'off' end,
    'last_refresh_at', v_refresh.refreshed_at,
    'seconds_since_refresh', round(extract(epoch from now() - v_refresh.refreshed_at)),
    'seconds_since_refresh_run', round(extract(epoch from now() - v_refresh.succeeded_at)),
    'last_refresh_outcome', v_run.outcome,
    'changed_since_refresh', v_changed,
    'last_audit_at', v_audit.finished_at,
    'seconds_since_audit', round(extract(epoch from now() - v_audit.finished_at)),
    'last_audit_users', v_audit.users,
    'last_audit_differences', v_audit.differences,
    'waiting_for_audit', v_audit.left_over,
    'differences_open', v_open,
    'differences_24h', v_recent.differences, 'unrepaired_24h', v_recent.unrepaired,
    'rejects_open', v_rejects
  );
end;
$_$;

COMMENT ON FUNCTION public.ledger_health(p_stale_seconds integer) IS 'Whether the scheduled work is done and found nothing amiss, with figures for a monitor';

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
  from ledger.position_changes(v_new.event_date, v_new.event_date, '{}', '{}', v_new) as c;
  select jsonb_build_object(
    'position_kwh', p.position_kwh, 'consumption_kwh', p.consumption_kwh, 'later', v_later
  ) into v_result
  from ledger.positions_if(v_new.event_date, v_new.event_date, '{}', '{}', v_new) as p
  where p.event_id = v_new.id;
  return v_result;
end;
$$;

COMMENT ON FUNCTION public.preview_backdate(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) IS 'What record_event would do, without doing it. Answers {position_kwh, consumption_kwh, later}: later is an array of {event_id, event_type, event_date, old_kwh, new_kwh, old_consumption_kwh, new_consumption_kwh} of the events whose position or consumption would change';

CREATE FUNCTION public.prune_ledger(p_limit integer DEFAULT 10000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET statement_timeout TO '10min'
    SET lock_timeout TO '2s'
    AS $_$
declare
  v_settings ledger.work_settings;
  v_log bigint;
  v_audits bigint;
  v_differences bigint;
  v_calls bigint := 0;
  v_batches bigint;
begin
  select s.* into v_settings from ledger.work_settings as s;
  if not pg_try_advisory_xact_lock(hashtextextended('meterledger.prune_ledger', 0)) then
    return jsonb_build_object(
      'outcome', 'skipped', 'reason', 'a pruning is under way', 'more', false
    );
  end if;

  -- The last refresh stays, whatever its age: what changed since is told from it.
  delete from ledger.refresh_log as l
  where l.refresh_id in (
    select o.refresh_id from ledger.refresh_log as o
    where o.started_at < now() - v_settings.keep_log
      and o.refresh_id < (
        select max(n.refresh_id) from ledger.refresh_log as n
        where n.outcome = 'refreshed' and n.users is not null
      )
    limit p_limit
  );
  get diagnostics v_log = row_count;
  delete from ledger.audit_differences as d
  using ledger.audits as a
  where a.audit_id = d.audit_id and a.started_at < now() - v_settings.keep_log;
  get diagnostics v_differences = row_count;
  delete from ledger.audits as a
  where a.audit_id in (
    select o.audit_id from ledger.audits as o
    where o.started_at < now() - v_settings.keep_log
      and o.audit_id < (select max(n.audit_id) from ledger.audits as n)
    limit p_limit
  );
  get diagnostics v_audits = row_count;
  if to_regclass('ledger.event_calls') is not null then
    execute
      'delete from ledger.event_calls as c where c.ctid = any (array('
      '  select o.ctid from ledger.event_calls as o where o.called_at < now() - $1 limit $2'
      '  for update skip locked))'
    using v_settings.keep_calls, p_limit;
    get diagnostics v_calls = row_count;
  end if;
  -- A batch that an event still names stays: the event says by what it was changed.
  delete from public.recalculation_batches as b
  where (b.user_id, b.id) in (
    select o.user_id, o.id from public.recalculation_batches as o
    where coalesce(o.can_rollback_until, o.created_at) < now() - v_settings.keep_batches
      and not exists (
        select from public.token_events as e
        where e.user_id = o.user_id and e.recalc_batch_id = o.id
      )
    limit p_limit
    for update skip locked
  );
  get diagnostics v_batches = row_count;

  update ledger.work_state set pruned_at = clock_timestamp();
  return jsonb_build_object(
    'outcome', 'pruned', 'refresh_log', v_log, 'audits', v_audits, 'found', v_differences,
    'calls', v_calls, 'batches', v_batches,
    'more', greatest(v_log, v_audits, v_calls, v_batches) >= p_limit
  );
end;
$_$;

COMMENT ON FUNCTION public.prune_ledger(p_limit integer) IS 'Removes what is past its time from the logs, the answers to clients'' keys and the recalculations, so many rows of each; never an event. more: call again';

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
  from ledger.positions_if(v_new.event_date, v_new.event_date, '{}', '{}', null) as p
  where p.event_id = v_new.id;
  return ledger.finish_call('record_event', p_idempotency_key, v_arguments, v_result);
end;
$$;

COMMENT ON FUNCTION public.record_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_token_cost numeric, p_notes text, p_meter_photo_url text, p_observed_kwh numeric, p_metadata jsonb, p_idempotency_key text) IS 'Records a TOPUP, METER_READING or ADJUSTMENT (kWh; cost in the profile''s currency; now unless p_event_date says when). Answers {event, position_kwh, consumption_kwh, batch}; batch is the recalculation of a back-dated event, else null';

CREATE FUNCTION public.refresh_readings(p_trigger text DEFAULT 'manual'::text, p_deadline_ms integer DEFAULT NULL::integer, p_force boolean DEFAULT false) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET statement_timeout TO '10min'
    SET lock_timeout TO '2s'
    SET row_security TO 'off'
    AS $$
declare
  v_started timestamptz := clock_timestamp();
  v_result jsonb;
  v_floor xid;
  v_due bigint;
  v_rows bigint;
  v_lost bigint;
  v_marked bigint;
  v_users uuid[];
  v_versions bigint[];
begin
  -- Through the REST API nobody can set a statement_timeout for one call. From PostgreSQL 17 on this
  -- ends the session when the caller's time is up, and nothing is done. A second later: a caller's
  -- own statement_timeout comes first, which is logged.
  if p_deadline_ms is not null and current_setting('server_version_num')::integer >= 170000 then
    perform set_config('transaction_timeout', (least(p_deadline_ms, 86400000) + 1000)::text, true);
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('meterledger.refresh_readings_mv', 0)) then
    v_result := jsonb_build_object('outcome', 'skipped', 'reason', 'a refresh is under way');
  else
    v_result := ledger.refresh_reason(p_deadline_ms);
    if p_force and v_result ->> 'reason' <> 'switched off' then
      v_result := v_result || '{"outcome": "due", "reason": "forced"}';
    end if;
  end if;

  if v_result ->> 'outcome' = 'due' then
    begin
      v_floor := pg_snapshot_xmin(pg_current_snapshot())::xid;
      select array_agg(h.user_id), array_agg(h.version) into v_users, v_versions
      from ledger.heads as h
      left join ledger.refresh_marks as m on m.user_id = h.user_id
      where m.version is distinct from h.version;
      select count(*) into v_due
      from public.token_events as e where not e.is_voided and e.event_type <> 'VOID';
      if (select c.relispopulated from pg_catalog.pg_class as c
        where c.oid = 'public.electricity_readings_mv'::regclass)
      then
        refresh materialized view concurrently public.electricity_readings_mv;
      else
        refresh materialized view public.electricity_readings_mv;
      end if;
      select count(*) into v_rows from public.electricity_readings_mv;
      if v_rows < v_due then
        v_lost := ledger.lost_rows(v_floor);
        if v_lost > 0 then
          raise exception 'the refresh lost % rows that the events have, and was rolled back',
            v_lost using errcode = 'ML007',
            hint = 'Compare the definition and the owner of electricity_readings_mv: meterledger '
              'validate --drift, meterledger doctor.';
        end if;
      end if;
      v_marked := ledger.mark_refreshed(v_users, v_versions);
      v_result := v_result || jsonb_build_object(
        'outcome', 'refreshed', 'rows', v_rows, 'users', v_marked
      );
    exception
      when lock_not_available then
        v_result := v_result || jsonb_build_object(
          'outcome', 'skipped', 'reason', 'the view is locked: a refresh is under way'
        );
      when query_canceled or others then
        v_result := v_result || jsonb_build_object(
          'outcome', 'failed', 'reason', sqlerrm, 'sqlstate', sqlstate
        );
    end;
  end if;

  v_result := v_result || jsonb_build_object(
    'seconds', round(extract(epoch from clock_timestamp() - v_started), 3)
  );
  insert into ledger.refresh_log (
    started_at, finished_at, trigger_source, outcome, mv_rows, users, details
  )
  values (
    v_started, clock_timestamp(), p_trigger, v_result ->> 'outcome',
    (v_result ->> 'rows')::bigint, (v_result ->> 'users')::bigint,
    v_result - array['outcome', 'rows', 'users', 'seconds']
  );
  return v_result;
end;
$$;

COMMENT ON FUNCTION public.refresh_readings(p_trigger text, p_deadline_ms integer, p_force boolean) IS 'Refreshes electricity_readings_mv beside its readers where users changed and it is worth it; answers refreshed, not needed, skipped or failed, and logs it';

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
  from ledger.positions_if(v_new.event_date, v_new.event_date, '{}', '{}', null) as p
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

CREATE TABLE ledger.audit_differences (
    user_id uuid NOT NULL,
    audit_id bigint NOT NULL,
    row_id uuid NOT NULL,
    found_in text NOT NULL,
    finding text NOT NULL,
    cause text,
    repaired boolean DEFAULT false NOT NULL,
    CONSTRAINT audit_differences_finding_check CHECK ((finding = ANY (ARRAY['missing'::text, 'foreign'::text, 'wrong'::text]))),
    CONSTRAINT audit_differences_found_in_check CHECK ((found_in = ANY (ARRAY['projection'::text, 'materialized view'::text])))
);

COMMENT ON TABLE ledger.audit_differences IS 'Rows in which an audit found the projection or the view and the recomputation apart: defects';

COMMENT ON COLUMN ledger.audit_differences.cause IS 'What is known of how it came about';

CREATE TABLE ledger.audit_marks (
    user_id uuid NOT NULL,
    version bigint NOT NULL,
    mv_version bigint,
    audited_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE ledger.audit_marks IS 'The version of each user that an audit found right, and the refreshed one that it compared';

CREATE TABLE ledger.audits (
    audit_id bigint NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    trigger_source text NOT NULL,
    users bigint DEFAULT 0 NOT NULL,
    changed bigint DEFAULT 0 NOT NULL,
    left_over bigint DEFAULT 0 NOT NULL,
    differences bigint DEFAULT 0 NOT NULL,
    unrepaired bigint DEFAULT 0 NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE ledger.audits IS 'Each audit of the projection: whom it looked at, how many rows differed, what was not repaired';

COMMENT ON COLUMN ledger.audits.left_over IS 'Changed users whom the budget did not reach';

COMMENT ON COLUMN ledger.audits.details IS 'triggers_off and triggers_missing: the projector''s; mv_emptied';

ALTER TABLE ledger.audits ALTER COLUMN audit_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.audits_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.cutback_marks (
    user_id uuid NOT NULL,
    version bigint NOT NULL,
    obstacles bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE ledger.cutback_marks IS 'Whose readings a coming cutback has merged into the archived table already, and as of which version';

COMMENT ON COLUMN ledger.cutback_marks.obstacles IS 'How many of the user''s readings the archived table could not take back then';

CREATE TABLE ledger.cutovers (
    cutover_id bigint NOT NULL,
    cut_over_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    cut_over_by text DEFAULT SESSION_USER NOT NULL,
    acknowledged text[] DEFAULT '{}'::text[] NOT NULL,
    table_grants jsonb NOT NULL,
    cut_back_at timestamp with time zone,
    cut_back_by text,
    set_aside bigint DEFAULT 0 NOT NULL,
    contracted_at timestamp with time zone,
    contracted_by text
);

COMMENT ON TABLE ledger.cutovers IS 'Each time that electricity_readings became a view, what was acknowledged, and when it became the table again';

COMMENT ON COLUMN ledger.cutovers.table_grants IS 'The grants of the table, which its archive does not carry and a cutback gives back';

COMMENT ON COLUMN ledger.cutovers.set_aside IS 'Readings that the table could not take back at the cutback';

ALTER TABLE ledger.cutovers ALTER COLUMN cutover_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.cutovers_cutover_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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
    sync_voided boolean DEFAULT false NOT NULL,
    copied boolean DEFAULT false NOT NULL
);

COMMENT ON TABLE ledger.migrated_readings IS 'Which event stands for which legacy reading; run_id is null where a live write was synced';

COMMENT ON COLUMN ledger.migrated_readings.completed IS 'The event was there already under the reading''s id and was completed, not made';

COMMENT ON COLUMN ledger.migrated_readings.superseded IS 'The legacy row changed or went since; a later entry or none stands for it';

COMMENT ON COLUMN ledger.migrated_readings.sync_voided IS 'The forward sync voided the event then; a client''s void leaves this false';

COMMENT ON COLUMN ledger.migrated_readings.copied IS 'The event was first, and a cutback copied it into the legacy table';

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

CREATE TABLE ledger.refresh_marks (
    user_id uuid NOT NULL,
    version bigint NOT NULL
);

COMMENT ON TABLE ledger.refresh_marks IS 'The version of each user (ledger.heads) that the last scheduled refresh saw';

CREATE TABLE ledger.set_aside (
    set_aside_id bigint NOT NULL,
    user_id uuid,
    kind text NOT NULL,
    reason text NOT NULL,
    row_data jsonb NOT NULL,
    set_aside_at timestamp with time zone DEFAULT now() NOT NULL,
    reading_id uuid,
    event_id uuid,
    migrated_event jsonb,
    settled_at timestamp with time zone
);

COMMENT ON TABLE ledger.set_aside IS 'Rows that a rollback had to take out of the way, whole, with the reason';

COMMENT ON COLUMN ledger.set_aside.reading_id IS 'The legacy reading that it is about; a later data migration that migrates it applies it again';

COMMENT ON COLUMN ledger.set_aside.event_id IS 'The migrated event that stood for this reading, and gets this id again';

COMMENT ON COLUMN ledger.set_aside.migrated_event IS 'That event as it was, its day in the app''s zone, and the events that were merged into it';

COMMENT ON COLUMN ledger.set_aside.settled_at IS 'When it was applied again, or a person decided about it; null: it waits';

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

CREATE VIEW ledger.unsettled WITH (security_invoker='true') AS
 SELECT a.set_aside_id,
    a.user_id,
    a.reading_id,
    a.event_id,
    a.kind,
    a.reason,
    a.row_data,
    a.migrated_event,
    a.set_aside_at,
    ((m.reject_reason IS NULL) AND (m.event_type = (a.migrated_event ->> 'event_type'::text)) AND (m.kwh_amount = ((a.migrated_event ->> 'kwh_amount'::text))::numeric) AND (COALESCE(m.observed_kwh, ('-1'::integer)::numeric) = COALESCE(((a.migrated_event ->> 'observed_kwh'::text))::numeric, ('-1'::integer)::numeric)) AND ((m.event_date = ((a.migrated_event ->> 'event_date'::text))::timestamp with time zone) OR (m.local_day = ((a.migrated_event ->> 'local_day'::text))::date))) AS same_fact,
    ((NOT (EXISTS ( SELECT
           FROM ledger.migrated_readings l
          WHERE ((l.user_id = a.user_id) AND (l.reading_id = a.reading_id) AND (NOT l.superseded))))) AND (NOT (EXISTS ( SELECT
           FROM ledger.migration_rejects x
          WHERE (x.reading_id = a.reading_id))))) AS is_pending
   FROM (ledger.set_aside a
     JOIN ledger.mapped_readings m ON (((m.user_id = a.user_id) AND (m.reading_id = a.reading_id))))
  WHERE ((a.settled_at IS NULL) AND (a.reading_id IS NOT NULL));

COMMENT ON VIEW ledger.unsettled IS 'What a rollback set aside about readings and nothing has applied again: where the reading is pending, its migration will (same_fact) or will not; where it is not, a person decides';

CREATE TABLE ledger.work_settings (
    singleton boolean DEFAULT true NOT NULL,
    refresh boolean DEFAULT true NOT NULL,
    refresh_age interval DEFAULT '01:00:00'::interval NOT NULL,
    refresh_share numeric DEFAULT 0.2 NOT NULL,
    refresh_duty numeric DEFAULT 0.01 NOT NULL,
    audit_cycle interval DEFAULT '14 days'::interval NOT NULL,
    keep_log interval DEFAULT '90 days'::interval NOT NULL,
    keep_calls interval DEFAULT '30 days'::interval NOT NULL,
    keep_batches interval DEFAULT '365 days'::interval NOT NULL,
    CONSTRAINT work_settings_audit_cycle_check CHECK ((audit_cycle >= '01:00:00'::interval)),
    CONSTRAINT work_settings_keep_batches_check CHECK ((keep_batches >= '1 day'::interval)),
    CONSTRAINT work_settings_keep_calls_check CHECK ((keep_calls >= '1 day'::interval)),
    CONSTRAINT work_settings_keep_log_check CHECK ((keep_log >= '1 day'::interval)),
    CONSTRAINT work_settings_refresh_age_check CHECK ((refresh_age >= '00:00:00'::interval)),
    CONSTRAINT work_settings_refresh_duty_check CHECK (((refresh_duty > (0)::numeric) AND (refresh_duty <= (1)::numeric))),
    CONSTRAINT work_settings_refresh_share_check CHECK (((refresh_share >= (0)::numeric) AND (refresh_share <= (1)::numeric))),
    CONSTRAINT work_settings_singleton_check CHECK (singleton)
);

COMMENT ON TABLE ledger.work_settings IS 'One row: how the scheduled work is to be done';

COMMENT ON COLUMN ledger.work_settings.refresh IS 'False: nobody wants electricity_readings_mv; scheduled runs neither refresh nor compare it';

COMMENT ON COLUMN ledger.work_settings.refresh_age IS 'Users changed, and the last refresh is so long ago: refresh';

COMMENT ON COLUMN ledger.work_settings.refresh_share IS 'This share of the users changed, however young the last refresh is: refresh';

COMMENT ON COLUMN ledger.work_settings.refresh_duty IS 'Share of the time that refreshes may take: 0.01 lets 100 times a refresh''s duration pass first';

COMMENT ON COLUMN ledger.work_settings.audit_cycle IS 'Everybody is audited once in this time, also whom nothing changed';

COMMENT ON COLUMN ledger.work_settings.keep_log IS 'How long refreshes and audits stay on record';

COMMENT ON COLUMN ledger.work_settings.keep_calls IS 'How long the first answer to a client''s key is kept for its repeats';

COMMENT ON COLUMN ledger.work_settings.keep_batches IS 'How long a recalculation is kept after its window for second thoughts has closed';

CREATE TABLE ledger.work_state (
    singleton boolean DEFAULT true NOT NULL,
    swept_to uuid,
    swept_at timestamp with time zone DEFAULT now() NOT NULL,
    pruned_at timestamp with time zone,
    installed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT work_state_singleton_check CHECK (singleton)
);

COMMENT ON TABLE ledger.work_state IS 'One row: how far the search for users whom ledger.heads does not know has come, the last pruning';

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

ALTER TABLE ONLY ledger.audit_differences
    ADD CONSTRAINT audit_differences_pkey PRIMARY KEY (user_id, audit_id, row_id, found_in);

ALTER TABLE ONLY ledger.audit_marks
    ADD CONSTRAINT audit_marks_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY ledger.audits
    ADD CONSTRAINT audits_pkey PRIMARY KEY (audit_id);

ALTER TABLE ONLY ledger.cutback_marks
    ADD CONSTRAINT cutback_marks_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY ledger.cutovers
    ADD CONSTRAINT cutovers_pkey PRIMARY KEY (cutover_id);

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

ALTER TABLE ONLY ledger.refresh_marks
    ADD CONSTRAINT refresh_marks_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY ledger.reviewed_matches
    ADD CONSTRAINT reviewed_matches_pkey PRIMARY KEY (user_id, event_id, reading_id);

ALTER TABLE ONLY ledger.set_aside
    ADD CONSTRAINT set_aside_pkey PRIMARY KEY (set_aside_id);

ALTER TABLE ONLY ledger.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY ledger.work_settings
    ADD CONSTRAINT work_settings_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY ledger.work_state
    ADD CONSTRAINT work_state_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.electricity_readings
    ADD CONSTRAINT electricity_readings_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.recalculation_batches
    ADD CONSTRAINT recalculation_batches_tenant_pkey PRIMARY KEY (user_id, id);

ALTER TABLE ONLY public.token_events
    ADD CONSTRAINT token_events_tenant_pkey PRIMARY KEY (user_id, id);

ALTER TABLE ONLY public.user_profiles
    ADD CONSTRAINT user_profiles_pkey PRIMARY KEY (id);

CREATE INDEX readings_newest ON ledger.readings USING btree (user_id, date DESC, created_at DESC, id DESC);

CREATE INDEX set_aside_unsettled ON ledger.set_aside USING btree (user_id, reading_id) WHERE ((settled_at IS NULL) AND (reading_id IS NOT NULL));

CREATE UNIQUE INDEX electricity_readings_mv_key ON public.electricity_readings_mv USING btree (user_id, id);

CREATE INDEX electricity_readings_user_date ON public.electricity_readings USING btree (user_id, date DESC);

CREATE UNIQUE INDEX token_events_idempotency_key ON public.token_events USING btree (user_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE UNIQUE INDEX token_events_one_void_a_target ON public.token_events USING btree (user_id, void_of_event) WHERE ((event_type = 'VOID'::text) AND (NOT is_voided) AND (void_of_event IS NOT NULL));

CREATE INDEX token_events_order ON public.token_events USING btree (user_id, event_date, created_at, id) INCLUDE (event_type, kwh_amount, observed_kwh) WHERE ((NOT is_voided) AND (event_type <> 'VOID'::text));

CREATE INDEX token_events_reading_id ON public.token_events USING btree (user_id, reading_id) WHERE (reading_id IS NOT NULL);

CREATE UNIQUE INDEX token_events_visible_id ON public.token_events USING btree (user_id, COALESCE(reading_id, id)) WHERE ((NOT is_voided) AND (event_type <> 'VOID'::text));

CREATE INDEX token_events_void_of_event ON public.token_events USING btree (user_id, void_of_event) WHERE (void_of_event IS NOT NULL);

CREATE TRIGGER guard_settings BEFORE INSERT OR UPDATE ON ledger.settings FOR EACH ROW EXECUTE FUNCTION ledger.guard_settings();

CREATE TRIGGER settings_apply_time_zone AFTER UPDATE OF time_zone ON ledger.settings FOR EACH ROW WHEN ((old.time_zone IS DISTINCT FROM new.time_zone)) EXECUTE FUNCTION ledger.apply_time_zone();

CREATE TRIGGER settings_keep_time_zone BEFORE UPDATE OF time_zone ON ledger.settings FOR EACH ROW WHEN ((old.time_zone IS DISTINCT FROM new.time_zone)) EXECUTE FUNCTION ledger.keep_time_zone();

CREATE TRIGGER electricity_readings_refuse_truncate BEFORE TRUNCATE ON public.electricity_readings FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_truncate();

CREATE TRIGGER electricity_readings_sync_copied AFTER UPDATE ON public.electricity_readings REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.sync_copied();

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

CREATE TRIGGER token_events_rename_second_half BEFORE INSERT ON public.token_events FOR EACH ROW WHEN (((new.idempotency_key IS NULL) AND (new.event_type = ANY (ARRAY['TOPUP'::text, 'METER_READING'::text])) AND ((new.metadata IS NULL) OR (NOT (new.metadata ? 'migrated_from'::text))))) EXECUTE FUNCTION ledger.rename_second_half();

CREATE TRIGGER token_events_second_halves AFTER INSERT ON public.token_events REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION ledger.merge_second_halves();

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

ALTER TABLE ledger.audit_differences ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.audit_marks ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.audits ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.cutback_marks ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.cutovers ENABLE ROW LEVEL SECURITY;

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

ALTER TABLE ledger.refresh_marks ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.reviewed_matches ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.set_aside ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.settings ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.work_settings ENABLE ROW LEVEL SECURITY;

ALTER TABLE ledger.work_state ENABLE ROW LEVEL SECURITY;

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

REVOKE ALL ON FUNCTION ledger.apply_set_aside(p_run_id bigint, p_users uuid[], p_reading_ids uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.apply_time_zone() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.archive_obstacles(p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.begin_call(p_call text, p_key text, p_arguments jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.begin_call(p_call text, p_key text, p_arguments jsonb) TO authenticated;

GRANT SELECT ON TABLE ledger.readings TO authenticated;
GRANT SELECT ON TABLE ledger.readings TO service_role;

REVOKE ALL ON FUNCTION ledger.change_reading(p_old ledger.readings, p_new ledger.readings) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.check_owner(p_user_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.check_reading(p_row jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.check_reading_rights() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.check_unique_reading(p_row jsonb, p_self uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.contract() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.create_embeddings() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.create_readings_view() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.cut_back(p_set_aside bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.cut_over(p_acknowledged text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.cutover_findings() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.cutover_obstacles() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.delete_reading() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.dependent_views(p_relation regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.difference_cause(p_user_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.drop_embeddings() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.embeddings() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.erase_user() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.event_again(p_event public.token_events, p_link text) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.event_again(p_event public.token_events, p_link text) TO authenticated;

REVOKE ALL ON FUNCTION ledger.find_event(p_event_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.find_event(p_event_id uuid) TO authenticated;

REVOKE ALL ON FUNCTION ledger.finish_call(p_call text, p_key text, p_arguments jsonb, p_result jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.finish_call(p_call text, p_key text, p_arguments jsonb, p_result jsonb) TO authenticated;

REVOKE ALL ON FUNCTION ledger.finish_migration(p_run_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.give_grants(p_relation regclass, p_grants jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_batch_update() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_direct_insert() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_direct_void() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_event_delete() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_event_update() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.guard_settings() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.in_maintenance() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.insert_reading() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.is_back_dated(p_event public.token_events) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.is_back_dated(p_event public.token_events) TO authenticated;

REVOKE ALL ON FUNCTION ledger.is_cut_over() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.keep_time_zone() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.lost_rows(p_floor xid) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.mark_refreshed(p_users uuid[], p_versions bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.merge_into_archive(p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.merge_second_halves() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migrate_data(p_batch_rows integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migrate_readings(p_reading_ids uuid[], p_run_id bigint, p_just_written boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migrate_users(p_run_id bigint, p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migration_differences() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.migration_problems() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.mv_differences(p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.new_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.new_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) TO authenticated;

REVOKE ALL ON FUNCTION ledger.next_user(p_after uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.position_before(p_user_id uuid, p_event_date timestamp with time zone, p_created_at timestamp with time zone, p_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.position_changes(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.position_changes(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) TO authenticated;

REVOKE ALL ON FUNCTION ledger.positions_if(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.positions_if(p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[], p_new public.token_events) TO authenticated;

REVOKE ALL ON FUNCTION ledger.prepare_cutback(p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.project(p_spans ledger.span[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.project_deletes() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.project_everything(p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.project_inserts() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.project_updates() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.projection_differences(p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.projector_triggers_off(p_missing boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.reading_as_event(p_reading ledger.readings) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.reading_date(p_event_date timestamp with time zone, p_time_zone text) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.record_reading(p_event public.token_events, p_replaced_id uuid, p_reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.refresh_reason(p_deadline_ms integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.refuse_impossible(p_event public.token_events) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.refuse_impossible(p_event public.token_events) TO authenticated;
GRANT ALL ON FUNCTION ledger.refuse_impossible(p_event public.token_events) TO service_role;

REVOKE ALL ON FUNCTION ledger.refuse_reading(p_sqlstate text, p_message text, p_name text, p_detail text, p_detail_for_all text) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.refuse_taken_id(p_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.refuse_truncate() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.relation_grants(p_relation regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.remove_reading(p_user_id uuid, p_reading_id uuid, p_reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.rename_second_half() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.repair_user(p_user_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.repoint_views(p_views jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.require_columns(p_table regclass, p_columns jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.require_cutover(p_findings jsonb, p_acknowledged text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.start_migration() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.start_undo() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.switch_projector_on(p_triggers text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.sync_copied() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.sync_deletes() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.sync_inserts() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.sync_updates() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.take_grants(p_relation regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.take_own_turn() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.take_turns(p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.time_zone() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.told_event(p_event_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.told_event(p_event_id uuid) TO authenticated;

REVOKE ALL ON FUNCTION ledger.undo_data_migration() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.undo_users(p_run_id bigint, p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.unrefreshed_users() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.update_reading() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.users_after(p_after uuid, p_count bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.users_to_audit(p_mv boolean, OUT users uuid[], OUT changed bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.void_event_of(p_event_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.void_event_of(p_event_id uuid) TO authenticated;

REVOKE ALL ON FUNCTION ledger.void_readings(p_reading_ids uuid[], p_users uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.void_survivors() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.write_batch(p_batch_id uuid, p_trigger_type text, p_trigger_event_id uuid, p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.write_batch(p_batch_id uuid, p_trigger_type text, p_trigger_event_id uuid, p_from timestamp with time zone, p_until timestamp with time zone, p_without uuid[], p_with uuid[]) TO authenticated;

REVOKE ALL ON FUNCTION public.audit_readings(p_trigger text, p_budget_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.audit_readings(p_trigger text, p_budget_ms integer) TO service_role;

REVOKE ALL ON FUNCTION public.calculate_user_positions(p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.calculate_user_positions(p_user_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.calculate_user_positions(p_user_id uuid) TO service_role;

REVOKE ALL ON FUNCTION public.create_user_profile() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.ledger_health(p_stale_seconds integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.ledger_health(p_stale_seconds integer) TO service_role;

REVOKE ALL ON FUNCTION public.preview_backdate(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) FROM PUBLIC;
GRANT ALL ON FUNCTION public.preview_backdate(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_observed_kwh numeric) TO authenticated;

REVOKE ALL ON FUNCTION public.prune_ledger(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prune_ledger(p_limit integer) TO service_role;

REVOKE ALL ON FUNCTION public.recalculate(p_event_id uuid, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.recalculate(p_event_id uuid, p_idempotency_key text) TO authenticated;

REVOKE ALL ON FUNCTION public.record_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_token_cost numeric, p_notes text, p_meter_photo_url text, p_observed_kwh numeric, p_metadata jsonb, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_event(p_event_type text, p_kwh_amount numeric, p_event_date timestamp with time zone, p_token_cost numeric, p_notes text, p_meter_photo_url text, p_observed_kwh numeric, p_metadata jsonb, p_idempotency_key text) TO authenticated;

REVOKE ALL ON FUNCTION public.refresh_readings(p_trigger text, p_deadline_ms integer, p_force boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.refresh_readings(p_trigger text, p_deadline_ms integer, p_force boolean) TO service_role;

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
