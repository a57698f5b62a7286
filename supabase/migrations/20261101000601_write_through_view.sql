-- Purpose: what turns an old client's insert, update and delete of electricity_readings into events
--   once that name is a view (the cutover of the next file hangs these up). An old client must
--   notice nothing: same defaults, same errors, same rows back.
-- Objects: ledger.refuse_reading(), ledger.check_reading(), ledger.check_owner(),
--   ledger.check_unique_reading(), ledger.refuse_taken_id(), ledger.is_cut_over(),
--   ledger.reading_as_event(), ledger.record_reading(), ledger.remove_reading(),
--   ledger.check_reading_rights(), ledger.insert_reading(), ledger.change_reading(),
--   ledger.update_reading(), ledger.delete_reading()
-- Locks: none
-- Rollback: rollbacks/20261101000601_write_through_view.sql
set local lock_timeout = '5s';

-- Whom row level security binds sees no values in an error's detail, as with the table. `set role`
-- outlasts the owner's rights of the functions that call this one.
create or replace function ledger.refuse_reading(
  p_sqlstate text, p_message text, p_name text, p_detail text, p_detail_for_all text default null
)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
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
comment on function ledger.refuse_reading(text, text, text, text, text) is
  'Raises a violation of the archived table''s constraint, or of its column (23502), with the '
  'detail that the caller may see: p_detail only without row level security';

-- The archived table knows which rows it would take: its constraints are asked, by their own names.
create or replace function ledger.check_reading(p_row jsonb)
returns void
language plpgsql
stable
security definer -- reads the archived table's constraints
set search_path = ''
as $$
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
$$;
comment on function ledger.check_reading(jsonb) is
  'Raises what the archived table would raise for this row: not null and check, under its '
  'constraints'' own names';

create or replace function ledger.check_owner(p_user_id uuid)
returns void
language plpgsql
stable
security definer -- reads everybody's profiles and the archived table's constraints
set search_path = ''
as $$
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
comment on function ledger.check_owner(uuid) is
  'Raises what the archived table would raise for a user without a profile';

create or replace function ledger.check_unique_reading(p_row jsonb, p_self uuid)
returns void
language plpgsql
volatile -- sees what an earlier writer of the user has committed
security definer -- reads the archived table's indexes
set search_path = ''
as $$
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
$$;
comment on function ledger.check_unique_reading(jsonb, uuid) is
  'Raises what a unique index of the archived table would raise for this row of its user, the row '
  'p_self apart';

create or replace function ledger.refuse_taken_id(p_id uuid)
returns void
language plpgsql
stable
security definer -- reads the archived table's constraints
set search_path = ''
as $$
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
comment on function ledger.refuse_taken_id(uuid) is
  'Raises what the archived table raises for an id that is taken';

create or replace function ledger.is_cut_over()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select exists (
    select from pg_class as c
    where c.oid = to_regclass('public.electricity_readings') and c.relkind = 'v'
  );
$$;
comment on function ledger.is_cut_over() is
  'True while electricity_readings is a view over the projection';

create or replace function ledger.reading_as_event(p_reading ledger.readings)
returns public.token_events
language plpgsql
stable
security definer -- reads the settings
set search_path = ''
as $$
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
comment on function ledger.reading_as_event(ledger.readings) is
  'A reading as the event that it becomes, by the mapping of the data migration (ML220 where it '
  'cannot become one)';

create or replace function ledger.record_reading(
  p_event public.token_events, p_replaced_id uuid, p_reason text
)
returns void
language plpgsql
volatile
security definer -- writes columns and lists that no API role may
set search_path = ''
as $$
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
comment on function ledger.record_reading(public.token_events, uuid, text) is
  'Records an event for an old client''s reading, voiding the one that it replaces';

create or replace function ledger.remove_reading(p_user_id uuid, p_reading_id uuid, p_reason text)
returns uuid
language plpgsql
volatile
security definer -- writes lists that no API role may
set search_path = ''
as $$
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
comment on function ledger.remove_reading(uuid, uuid, text) is
  'Takes the event that stands for a reading off the list, and voids it where a reason is given; '
  'its id, null where there is none';

-- The caller's own rights, asked as the caller: the functions after it run as the owner.
create or replace function ledger.check_reading_rights()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if row_security_active('ledger.readings') and new.user_id is distinct from auth.uid() then
    raise exception 'new row violates row-level security policy for table "electricity_readings"'
      using errcode = 'insufficient_privilege';
  end if;
  return new;
end;
$$;
comment on function ledger.check_reading_rights() is
  'Before a write through the view: a user writes own rows only, as the table''s policies said';

create or replace function ledger.insert_reading()
returns trigger
language plpgsql
security definer -- writes events, lists and columns that no API role may
set search_path = ''
as $$
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
comment on function ledger.insert_reading() is
  'Instead of an insert into the view electricity_readings: records the event';

create or replace function ledger.change_reading(p_old ledger.readings, p_new ledger.readings)
returns ledger.readings
language plpgsql
volatile
security definer -- writes events, lists and columns that no API role may
set search_path = ''
as $$
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
comment on function ledger.change_reading(ledger.readings, ledger.readings) is
  'Voids the event that stands for a reading and records a new one under the same visible id, '
  'changing only what differs between the two rows; the reading as it is then, null where it is '
  'gone';

create or replace function ledger.update_reading()
returns trigger
language plpgsql
security definer -- writes events, lists and columns that no API role may
set search_path = ''
as $$
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
comment on function ledger.update_reading() is
  'Instead of an update of the view electricity_readings: changes the reading''s event';

create or replace function ledger.delete_reading()
returns trigger
language plpgsql
security definer -- writes events, lists and columns that no API role may
set search_path = ''
as $$
begin
  perform ledger.take_turns(array[old.user_id]);
  if ledger.remove_reading(old.user_id, old.id, 'reading deleted') is null then
    return null;
  end if;
  return old;
end;
$$;
comment on function ledger.delete_reading() is
  'Instead of a delete from the view electricity_readings: voids the event';

revoke all on function
ledger.refuse_reading(text, text, text, text, text), ledger.check_reading(jsonb),
ledger.check_owner(uuid),
ledger.check_unique_reading(jsonb, uuid), ledger.refuse_taken_id(uuid), ledger.is_cut_over(),
ledger.change_reading(ledger.readings, ledger.readings),
ledger.reading_as_event(ledger.readings),
ledger.record_reading(public.token_events, uuid, text),
ledger.remove_reading(uuid, uuid, text), ledger.check_reading_rights(), ledger.insert_reading(),
ledger.update_reading(), ledger.delete_reading()
from public, anon, authenticated, service_role;
