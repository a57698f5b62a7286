-- Purpose: phase 4, first file: what moves legacy readings into events, and the forward sync that
--   turns every legacy write into events from now on. The data itself moves in the next file, so
--   that these triggers' lock is held for a moment only.
-- Objects: ledger.migration_runs, ledger.migrated_readings, ledger.migration_rejects,
--   ledger.merges, ledger.amended_events, ledger.mapped_readings, ledger.pending_readings,
--   ledger.near_matches, ledger.unsettled, ledger.amend_namesakes(), ledger.apply_set_aside(),
--   ledger.migrate_readings(), ledger.migrate_users(), ledger.migration_problems(),
--   ledger.migration_differences(), ledger.start_migration(), ledger.finish_migration(),
--   ledger.migrate_data(), ledger.start_undo(), ledger.undo_users(),
--   ledger.undo_data_migration(), ledger.sync_inserts(), ledger.sync_deletes(),
--   ledger.void_readings(), ledger.sync_updates(), ledger.void_survivors(),
--   ledger.keep_time_zone(); their triggers
-- Locks: share row exclusive on electricity_readings, token_events and ledger.settings, to create
--   triggers
-- Rollback: rollbacks/20261101000400_install_data_migration.sql
set local lock_timeout = '5s';

create table if not exists ledger.migration_runs (
  run_id bigint generated always as identity primary key,
  kind text not null check (kind in ('migrate', 'undo')),
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  started_by text not null default session_user,
  legacy_rows bigint,
  migrated bigint not null default 0,
  completed bigint not null default 0,
  merged bigint not null default 0,
  rejected bigint not null default 0,
  seconds jsonb not null default '{}',
  settings jsonb not null default '{}'
);
comment on table ledger.migration_runs is
  'Each run of the data migration or its undoing: who, when, what it moved, how long it took';
comment on column ledger.migration_runs.seconds is 'Duration of each step, in seconds';

-- The private list: what the migration made. Undoing goes by it, never by metadata, which clients
-- can write.
create table if not exists ledger.migrated_readings (
  user_id uuid not null,
  reading_id uuid not null,
  event_id uuid not null,
  run_id bigint,
  completed boolean not null default false,
  superseded boolean not null default false,
  sync_voided boolean not null default false,
  copied boolean not null default false,
  primary key (user_id, reading_id, event_id)
);
comment on table ledger.migrated_readings is
  'Which event stands for which legacy reading; run_id is null where a live write was synced';
comment on column ledger.migrated_readings.completed is
  'The event was there already under the reading''s id and was completed, not made';
comment on column ledger.migrated_readings.superseded is
  'The legacy row changed or went since; a later entry or none stands for it';
comment on column ledger.migrated_readings.sync_voided is
  'The forward sync voided the event then; a client''s void leaves this false';
comment on column ledger.migrated_readings.copied is
  'The event was first, and a cutback copied it into the legacy table';

create table if not exists ledger.migration_rejects (
  reading_id uuid primary key,
  user_id uuid,
  reason text not null,
  row_data jsonb not null,
  run_id bigint,
  rejected_at timestamptz not null default now()
);
comment on table ledger.migration_rejects is
  'Legacy rows that cannot become a valid event, whole, with the reason';

create table if not exists ledger."merges" (
  user_id uuid not null,
  event_id uuid not null,
  reading_id uuid not null,
  survivor_id uuid not null,
  run_id bigint,
  merged_at timestamptz not null default now(),
  primary key (user_id, event_id)
);
comment on table ledger."merges" is
  'Dual-written events that were voided because the migrated reading states the same fact';

create table if not exists ledger.amended_events (
  user_id uuid not null,
  event_id uuid not null,
  reason text not null check (reason in ('completed', 'displaced')),
  before jsonb not null,
  run_id bigint,
  primary key (user_id, event_id)
);
comment on table ledger.amended_events is
  'Events under a reading''s id as they were: completed (same fact), or displaced (another fact, '
  'now shown under an id of its own)';

alter table ledger.migration_runs enable row level security;
alter table ledger.migrated_readings enable row level security;
alter table ledger.migration_rejects enable row level security;
alter table ledger."merges" enable row level security;
alter table ledger.amended_events enable row level security;
revoke all on table
ledger.migration_runs, ledger.migrated_readings, ledger.migration_rejects, ledger."merges",
ledger.amended_events
from public, anon, authenticated, service_role;
revoke all on sequence ledger.migration_runs_run_id_seq
from public, anon, authenticated, service_role;

-- The mapping, once, for the batches and for the sync: each legacy row as the event that it
-- becomes, or the reason why it cannot. A day begins at midnight in the app's zone, whatever the
-- connection's.
do $do$
declare
  v_instant text := 'r.date';
  v_sound text := 'r.date between ''4713-01-05 00:00+00 BC'' and ''294276-12-27 00:00+00''';
begin
  if (
    select a.atttypid = 'date'::regtype from pg_attribute as a
    where a.attrelid = 'public.electricity_readings'::regclass and a.attname = 'date'
  ) then
    v_instant := 'r.date::timestamp at time zone (select ledger.time_zone())';
    v_sound := 'r.date between date ''4713-01-05 BC'' and date ''294276-12-27''';
  end if;
  if to_regclass('ledger.mapped_readings') is null then
    execute format(
      $view$
        create view ledger.mapped_readings with (security_invoker = true) as
        select
          r.id as reading_id,
          r.user_id,
          m.event_type,
          m.event_date,
          case m.event_type when 'TOPUP' then r.token_amount else r.kwh_value end as kwh_amount,
          case m.event_type when 'TOPUP' then r.kwh_value end as observed_kwh,
          case m.event_type when 'METER_READING' then r.token_amount end as legacy_token_amount,
          r.token_cost,
          r.notes,
          r.meter_photo_url,
          coalesce(r.created_at, m.event_date) as created_at,
          (m.event_date at time zone (select ledger.time_zone()))::date as local_day,
          case
            when r.user_id is null then 'no user'
            when p.id is null then 'no profile owns it'
            when r.date is null then 'no date'
            when m.event_date is null then 'date out of range'
            when ledger.reading_date(m.event_date, (select ledger.time_zone())) <> r.date
            then 'the day does not exist in the time zone'
            when r.kwh_value is null then 'no kwh_value'
            when not abs(r.kwh_value) < 1e12 or r.kwh_value < 0 then 'kwh_value out of range'
            when not abs(r.token_amount) < 1e12 then 'token_amount out of range'
            when not abs(r.token_cost) < 1e12 then 'token_cost out of range'
            when not isfinite(r.created_at) then 'created_at out of range'
          end as reject_reason
        from public.electricity_readings as r
        left join public.user_profiles as p on p.id = r.user_id
        cross join lateral (
          select
            case when r.token_amount > 0 then 'TOPUP' else 'METER_READING' end as event_type,
            case when %2$s then %1$s end as event_date
        ) as m
      $view$,
      v_instant, v_sound
    );
  end if;
end;
$do$;
comment on view ledger.mapped_readings is
  'Each legacy reading as the event that it becomes, or the reason why it cannot become one';

-- With whatever columns the found table has.
create or replace view ledger.pending_readings with (security_invoker = true) as
select r.* -- noqa: AM04
from public.electricity_readings as r
where not exists (
    select from ledger.migrated_readings as l
    where l.user_id = r.user_id and l.reading_id = r.id and not l.superseded
  )
  and not exists (select from ledger.migration_rejects as x where x.reading_id = r.id);
comment on view ledger.pending_readings is 'Legacy rows that are neither migrated nor rejected yet';

-- Left for a person: an event that no reading absorbed, beside a reading that says almost the same.
create or replace view ledger.near_matches with (security_invoker = true) as
with
-- Each such event at its own day and at its neighbours', so that the join is one of equal days.
-- A lateral subquery cannot be a CTE.
leftover as materialized (
  select
    e.user_id, e.id, e.event_type, e.kwh_amount, c.local_day, d.days,
    c.local_day + d.days as wanted_day
  from public.token_events as e
  cross join lateral ( -- noqa: ST05
    select (e.event_date at time zone (select ledger.time_zone()))::date as local_day
  ) as c
  cross join (values (-1), (0), (1)) as d (days)
  where not e.is_voided and e.event_type in ('TOPUP', 'METER_READING')
    and not exists (
      select from ledger.migrated_readings as l
      where l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id)
        and l.event_id = e.id
    )
)
select
  e.user_id,
  e.id as event_id,
  m.reading_id,
  e.event_type,
  e.local_day as event_day,
  m.local_day as reading_day,
  e.kwh_amount as event_kwh,
  m.kwh_amount as reading_kwh
from leftover as e
inner join ledger.mapped_readings as m
  on m.user_id = e.user_id and m.event_type = e.event_type and m.local_day = e.wanted_day
where m.reject_reason is null
  and case e.days
    when 0 then abs(m.kwh_amount - e.kwh_amount) <= greatest(1, e.kwh_amount * 0.1)
    else m.kwh_amount = e.kwh_amount
  end;
comment on view ledger.near_matches is
  'Events that may state a reading''s fact but not exactly: the same day within 10% or 1 kWh, or '
  'the same kWh on a neighbouring day; both stay, a person decides';

-- The time zone may have been corrected between the rollback and the next migration, so either the
-- instant is the same or each day in the zone of its time.
create or replace view ledger.unsettled with (security_invoker = true) as
select
  a.set_aside_id, a.user_id, a.reading_id, a.event_id, a.kind, a.reason, a.row_data,
  a.migrated_event, a.set_aside_at,
  m.reject_reason is null
  and m.event_type = a.migrated_event ->> 'event_type'
  and m.kwh_amount = (a.migrated_event ->> 'kwh_amount')::numeric
  and coalesce(m.observed_kwh, -1) = coalesce((a.migrated_event ->> 'observed_kwh')::numeric, -1)
  and (
    m.event_date = (a.migrated_event ->> 'event_date')::timestamptz
    or m.local_day = (a.migrated_event ->> 'local_day')::date
  ) as same_fact,
  not exists (
    select from ledger.migrated_readings as l
    where l.user_id = a.user_id and l.reading_id = a.reading_id and not l.superseded
  )
  and not exists (
    select from ledger.migration_rejects as x where x.reading_id = a.reading_id
  ) as is_pending
from ledger.set_aside as a
inner join ledger.mapped_readings as m on m.user_id = a.user_id and m.reading_id = a.reading_id
where a.settled_at is null and a.reading_id is not null;
comment on view ledger.unsettled is
  'What a rollback set aside about readings and nothing has applied again: where the reading is '
  'pending, its migration will (same_fact) or will not; where it is not, a person decides';

revoke all on table
ledger.mapped_readings, ledger.pending_readings, ledger.near_matches, ledger.unsettled
from public, anon, authenticated, service_role;

-- An event under a reading's id: the same fact is completed with the reading's fields; another fact
-- steps aside to an id of its own in the views. Both are kept as they were, for the undoing.
create or replace function ledger.amend_namesakes(p_reading_ids uuid[], p_run_id bigint)
returns void
language plpgsql
volatile
security definer -- called by ledger.migrate_readings()
set search_path = ''
as $$
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
comment on function ledger.amend_namesakes(uuid[], bigint) is
  'Completes or displaces events that stand under a reading''s own id, and notes how they were';

-- What clients had said about migrated events before a rollback, said again: only where the reading
-- states the same fact and its event has its old id. The rest stays in ledger.unsettled.
create or replace function ledger.apply_set_aside(
  p_run_id bigint, p_users uuid[], p_reading_ids uuid[]
)
returns bigint
language plpgsql
volatile
security definer -- called by ledger.migrate_readings()
set search_path = ''
set plan_cache_mode = force_custom_plan
as $$
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
$$;
comment on function ledger.apply_set_aside(bigint, uuid[], uuid[]) is
  'Applies what a rollback set aside about readings that were just migrated again, and notes it; '
  'how many entries';

create or replace function ledger.migrate_readings(
  p_reading_ids uuid[], p_run_id bigint, p_just_written boolean
)
returns jsonb
language plpgsql
volatile
security definer -- clients' legacy writes reach it through the sync triggers
set search_path = ''
set plan_cache_mode = auto -- and what is set below ends with the call
as $$
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
comment on function ledger.migrate_readings(uuid[], bigint, boolean) is
  'Turns the given legacy rows into events: lists, merges, rejects, inserts; counts as jsonb. '
  'With a run it applies what a rollback had set aside about them. Without one it serves a live '
  'write and replaces what an earlier version of a row became; what was just written absorbs only '
  'events of the last hour';

create or replace function ledger.migrate_users(p_run_id bigint, p_users uuid[])
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
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
comment on function ledger.migrate_users(bigint, uuid[]) is
  'Moves the pending legacy rows of the given users, as part of a run; may be its own transaction';

create or replace function ledger.migration_problems()
returns table (problem text, next_step text)
language sql
stable
security invoker
set search_path = ''
as $$
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
comment on function ledger.migration_problems() is
  'What stands in the way of the data migration, and what to do about it; empty when nothing does';

create or replace function ledger.migration_differences()
returns table (user_id uuid, reading_id uuid, problem text)
language sql
stable
security invoker
set search_path = ''
as $$
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
comment on function ledger.migration_differences() is
  'Every legacy row whose books do not balance or whose fields the view does not give back';

create or replace function ledger.start_migration()
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
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
comment on function ledger.start_migration() is
  'Takes over the custom setting ledger.time_zone, checks that the data may move (else ML002 with '
  'the list), opens a run';

create or replace function ledger.finish_migration(p_run_id bigint)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
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
comment on function ledger.finish_migration(bigint) is
  'Proves that the books balance and that the view gives every row back (else ML004), closes the '
  'run';

create or replace function ledger.migrate_data(p_batch_rows int default 50000)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
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
comment on function ledger.migrate_data(int) is
  'Moves all pending legacy rows, in batches of whole users, in one transaction; a rerun moves '
  'none';

-- One that was killed between two batches is continued.
create or replace function ledger.start_undo()
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
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
comment on function ledger.start_undo() is
  'Opens a run that undoes the data migration, or gives the one that was begun and not finished';

create or replace function ledger.undo_users(p_run_id bigint, p_users uuid[])
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set plan_cache_mode = force_custom_plan -- one user or a hundred thousand: the plans differ
as $$
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
comment on function ledger.undo_users(bigint, uuid[]) is
  'Undoes the data migration of the given users, as part of a run; may be its own transaction';

create or replace function ledger.undo_data_migration()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
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
comment on function ledger.undo_data_migration() is
  'Removes exactly what was migrated, un-voids exactly what was merged, sets aside what points at '
  'either, keeps everything written since; goes on where batches stopped; counts as jsonb';

-- Forward sync. A legacy write and its event are one transaction; where the time zone is not
-- confirmed yet the row waits in the legacy table for the data migration.
create or replace function ledger.sync_inserts()
returns trigger
language plpgsql
security definer -- writes columns and tables that no API role may
set search_path = ''
as $$
begin
  if (select s.time_zone is not null from ledger.settings as s) then
    perform ledger.migrate_readings(array_agg(n.id), null, true)
    from new_rows as n
    having count(*) > 0;
  end if;
  return null;
end;
$$;
comment on function ledger.sync_inserts() is
  'After an insert into electricity_readings: records it';

create or replace function ledger.sync_deletes()
returns trigger
language plpgsql
security definer -- writes columns and tables that no API role may
set search_path = ''
as $$
begin
  perform ledger.void_readings(array_agg(o.id), array_agg(o.user_id))
  from old_rows as o
  having count(*) > 0;
  return null;
end;
$$;
comment on function ledger.sync_deletes() is
  'After a delete from electricity_readings: voids its events';

create or replace function ledger.void_readings(p_reading_ids uuid[], p_users uuid[])
returns void
language plpgsql
volatile
security definer -- called by the sync triggers
set search_path = ''
as $$
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
comment on function ledger.void_readings(uuid[], uuid[]) is
  'Voids the events that stand for deleted legacy readings';

create or replace function ledger.sync_updates()
returns trigger
language plpgsql
security definer -- writes columns and tables that no API role may
set search_path = ''
as $$
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
comment on function ledger.sync_updates() is
  'After an update of electricity_readings: voids what changed and records the new version';

create or replace function ledger.void_survivors()
returns trigger
language plpgsql
security definer -- reads ledger.merges
set search_path = ''
set enable_seqscan = off -- as in the projector: the plan for one row must serve a hundred thousand
set enable_hashjoin = off
set enable_mergejoin = off
as $$
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
comment on function ledger.void_survivors() is
  'After a client voids a merged event: voids the migrated event that stands for the same fact';

create or replace function ledger.keep_time_zone()
returns trigger
language plpgsql
security definer -- reads ledger.migrated_readings
set search_path = ''
as $$
begin
  if exists (select from ledger.migrated_readings) then
    raise exception 'meterledger: readings were migrated by the days of %, so it cannot become %',
      old.time_zone, coalesce(new.time_zone, 'unset')
      using errcode = 'ML002', detail = 'Next: Undo the data migration first: select ledger.undo_data_migration();';
  end if;
  return new;
end;
$$;
comment on function ledger.keep_time_zone() is
  'Refuses (ML002) to change the time zone while migrated events exist';

do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select p.oid::regprocedure from pg_proc as p
    where p.pronamespace = 'ledger'::regnamespace
  loop
    execute format(
      'revoke all on function %s from public, anon, authenticated, service_role', v_function
    );
  end loop;
end;
$$;

create or replace trigger token_events_void_survivors
after update on public.token_events
referencing old table as old_rows new table as new_rows
for each statement execute function ledger.void_survivors();
create or replace trigger settings_keep_time_zone
before update of time_zone on ledger.settings
for each row when (old.time_zone is distinct from new.time_zone)
execute function ledger.keep_time_zone();
create or replace trigger electricity_readings_sync_inserts
after insert on public.electricity_readings
referencing new table as new_rows
for each statement execute function ledger.sync_inserts();
create or replace trigger electricity_readings_sync_updates
after update on public.electricity_readings
referencing old table as old_rows new table as new_rows
for each statement execute function ledger.sync_updates();
create or replace trigger electricity_readings_refuse_truncate
before truncate on public.electricity_readings
for each statement execute function ledger.refuse_truncate();
create or replace trigger electricity_readings_sync_deletes
after delete on public.electricity_readings
referencing old table as old_rows
for each statement execute function ledger.sync_deletes();
