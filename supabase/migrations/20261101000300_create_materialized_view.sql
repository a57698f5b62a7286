-- Purpose: phase 3, the three computations of the readings: the projection that users read, kept
--   current in the writer's own transaction; the view over it; the materialized view for reports,
--   recomputed from scratch, which audits the projection.
-- Objects: public.electricity_readings_mv, public.electricity_readings_v,
--   public.refresh_readings_mv(); ledger.heads, ledger.readings, ledger.refresh_log, ledger.span,
--   ledger.time_zone(), ledger.reading_date(), ledger.take_turns(), ledger.take_own_turn(),
--   ledger.project(), ledger.project_inserts(), ledger.position_before(),
--   ledger.project_updates(), ledger.project_deletes(), ledger.project_everything(),
--   ledger.erase_user(), ledger.apply_time_zone(); their triggers, indexes and policy
-- Locks: the fills run beside readers and writers; then share row exclusive on token_events,
--   user_profiles and ledger.settings for the triggers and for catching up with what was written
--   meanwhile
-- Rollback: rollbacks/20261101000300_create_materialized_view.sql
set local lock_timeout = '5s';

create or replace function ledger.time_zone()
returns text
language sql
stable
security definer -- the settings are private, the day's border is not
set search_path = ''
as $$
  select coalesce((select s.time_zone from ledger.settings as s), 'UTC');
$$;
comment on function ledger.time_zone() is
  'The confirmed time zone of the app, UTC while none is confirmed';

-- The reading's date has the type that the legacy column has, since clients depend on it. No SET
-- clause here: it would keep Postgres from inlining these, and a body bound at creation needs no
-- search_path.
do $do$
begin
  if (
    select a.atttypid = 'date'::regtype from pg_attribute as a
    where a.attrelid = 'public.electricity_readings'::regclass and a.attname = 'date'
  ) then
    execute $sql$
      create or replace function ledger.reading_date(p_event_date timestamptz, p_time_zone text)
      returns date
      language sql
      immutable
      security invoker
      return (p_event_date at time zone p_time_zone)::date
    $sql$;
  else
    execute $sql$
      create or replace function ledger.reading_date(p_event_date timestamptz, p_time_zone text)
      returns timestamptz
      language sql
      immutable
      security invoker
      return p_event_date
    $sql$;
  end if;
end;
$do$;
comment on function ledger.reading_date(timestamptz, text) is
  'The date of a reading as the legacy column has it: the local day, or the instant';
revoke all on function ledger.time_zone() from public, anon, authenticated, service_role;
revoke all on function ledger.reading_date(timestamptz, text)
from public, anon, authenticated, service_role;

create table if not exists ledger.heads (
  user_id uuid primary key,
  version bigint not null default 1,
  changed_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table ledger.heads is
  'One row a user: writers of a user take turns on it, and its version tells what changed';
alter table ledger.heads enable row level security;
revoke all on table ledger.heads from public, anon, authenticated, service_role;

create table if not exists ledger.refresh_log (
  refresh_id bigint generated always as identity primary key,
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  trigger_source text not null default 'manual',
  outcome text not null check (outcome in ('refreshed', 'skipped', 'not needed', 'failed')),
  mv_rows bigint,
  users bigint,
  details jsonb not null default '{}'
);
comment on table ledger.refresh_log is 'Each refresh of electricity_readings_mv and how it ended';
alter table ledger.refresh_log enable row level security;
revoke all on table ledger.refresh_log from public, anon, authenticated, service_role;
revoke all on sequence ledger.refresh_log_refresh_id_seq
from public, anon, authenticated, service_role;

-- The whole ledger, recomputed from the events by window functions.
create materialized view if not exists public.electricity_readings_mv as
with
-- Each counted event as an anchor (what the meter showed) or a step (kWh added).
counted as (
  select
    e.*,
    case e.event_type when 'METER_READING' then e.kwh_amount else e.observed_kwh end as anchor_kwh,
    case e.event_type when 'METER_READING' then 0 else e.kwh_amount end as step_kwh
  from public.token_events as e
  where not e.is_voided and e.event_type <> 'VOID'
),
-- Island n of a user holds the n-th anchor and the steps up to the next one.
islands as (
  select
    c.*,
    count(c.anchor_kwh) over (
      partition by c.user_id
      order by c.event_date, c.created_at, c.id rows unbounded preceding
    ) as island
  from counted as c
)
select
  coalesce(i.reading_id, i.id) as id,
  i.user_id,
  ledger.reading_date(i.event_date, (select ledger.time_zone())) as date,
  sum(coalesce(i.anchor_kwh, i.step_kwh)) over (
    partition by i.user_id, i.island
    order by i.event_date, i.created_at, i.id rows unbounded preceding
  ) as kwh_value,
  i.token_cost,
  case i.event_type when 'TOPUP' then i.kwh_amount else i.legacy_token_amount end as token_amount,
  i.notes,
  i.meter_photo_url,
  i.created_at
from islands as i
with no data;
-- The view is new: nobody writes or reads it yet.
-- squawk-ignore require-concurrent-index-creation
create unique index if not exists electricity_readings_mv_key
on public.electricity_readings_mv (user_id, id);
comment on materialized view public.electricity_readings_mv is
  'All users'' readings as of the last refresh, for reports and audits; no API role can read it';
revoke all on table public.electricity_readings_mv
from public, anon, authenticated, service_role;

create table if not exists ledger.readings as
table public.electricity_readings_mv
with no data;
-- The table is new and empty: there is nothing to scan.
-- squawk-ignore-file adding-not-nullable-field
alter table ledger.readings
  alter column id set not null,
  alter column user_id set not null,
  alter column date set not null,
  alter column kwh_value set not null,
  alter column created_at set not null;
do $$
begin
  if not exists (
    select from pg_constraint
    where conrelid = 'ledger.readings'::regclass and conname = 'readings_pkey'
  ) then
    alter table ledger.readings add constraint readings_pkey primary key (user_id, id);
  end if;
end;
$$;
create index if not exists readings_newest
on ledger.readings (user_id, date desc, created_at desc, id desc);
comment on table ledger.readings is
  'The projection that users read: one row a counted event, current in the very transaction';
comment on column ledger.readings.kwh_value is 'kWh left after the event';
comment on column ledger.readings.token_amount is 'kWh bought, on a top-up';
comment on column ledger.readings.token_cost is 'what it cost, in the currency of the profile';
alter table ledger.readings enable row level security;
revoke all on table ledger.readings from public, anon, authenticated, service_role;
grant select on table ledger.readings to authenticated, service_role;
drop policy if exists "Users see their own readings" on ledger.readings;
create policy "Users see their own readings" on ledger.readings
for select to authenticated using (user_id = (select auth.uid()));

create or replace view public.electricity_readings_v with (security_invoker = true) as
select
  r.id,
  r.user_id,
  r.date,
  r.kwh_value,
  r.token_cost,
  r.token_amount,
  r.notes,
  r.meter_photo_url,
  r.created_at
from ledger.readings as r;
comment on view public.electricity_readings_v is
  'The readings as clients of electricity_readings know them, one row a counted event, never '
  'behind';
revoke all on table public.electricity_readings_v from public, anon, authenticated, service_role;
grant select on table public.electricity_readings_v to authenticated, service_role;

-- What a statement changed for one user. Days, not places in the order: a few ties more are
-- recomputed, and a span is one min and one max.
do $$
begin
  if to_regtype('ledger.span') is null then
    create type ledger.span as (user_id uuid, first_date timestamptz, last_date timestamptz);
    comment on type ledger.span is
      'The stretch of one user''s events that a statement changed, by event_date, both ends in it';
  end if;
end;
$$;

create or replace function ledger.take_turns(p_users uuid[])
returns void
language plpgsql -- keeps its plan; a function of SQL alone would plan at every call
volatile
security definer -- writes ledger.heads for every writer
set search_path = ''
as $$
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
comment on function ledger.take_turns(uuid[]) is
  'Makes writers of the same users wait for each other, in user order; statements after it see '
  'what the earlier writer did (READ COMMITTED) or fail with 40001 (stricter levels)';

-- Plans are cached: one that was made while the tables were small must not meet them grown, nor one
-- that was made for one row meet a hundred thousand. So the projector's functions are held to index
-- look-ups.
create or replace function ledger.project(p_spans ledger.span[])
returns void
language plpgsql
volatile
security definer -- the only writer of ledger.readings; computes from the events alone
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
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
comment on function ledger.project(ledger.span[]) is
  'Recomputes the projection over the given stretches, up to the anchors that end their effect';

create or replace function ledger.project_inserts()
returns trigger
language plpgsql
security definer -- writes ledger.heads and ledger.readings
set search_path = ''
set enable_seqscan = off
as $$
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
comment on function ledger.project_inserts() is
  'After an insert into token_events: brings the projection up to date';

create or replace function ledger.position_before(
  p_user_id uuid, p_event_date timestamptz, p_created_at timestamptz, p_id uuid
)
returns numeric
language sql
stable
security definer -- called by the projector only
set search_path = ''
set enable_seqscan = off
as $$
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
comment on function ledger.position_before(uuid, timestamptz, timestamptz, uuid) is
  'kWh left just before a place in a user''s order: the last anchor plus the steps since';

create or replace function ledger.project_updates()
returns trigger
language plpgsql
security definer -- writes ledger.heads and ledger.readings
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
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
comment on function ledger.project_updates() is
  'After an update of token_events (a void): brings the projection up to date';

-- A client's update locks event rows before it could take its turn; a legacy write of the same user
-- takes its turn first. So the client's turn comes before its rows.
create or replace function ledger.take_own_turn()
returns trigger
language plpgsql
security definer -- writes ledger.heads
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
begin
  if v_user_id is not null then
    perform ledger.take_turns(array[v_user_id]);
  end if;
  return null;
end;
$$;
comment on function ledger.take_own_turn() is
  'Before a signed-in user''s update of token_events: takes the user''s turn, so that no ring '
  'forms';

create or replace function ledger.project_deletes()
returns trigger
language plpgsql
security definer -- writes ledger.heads and ledger.readings
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
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
comment on function ledger.project_deletes() is
  'After a deletion by the migration: brings the projection up to date';

create or replace function ledger.project_everything(p_users uuid[] default null)
returns void
language plpgsql
volatile
security definer -- writes ledger.heads and ledger.readings
set search_path = ''
as $$
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
comment on function ledger.project_everything(uuid[]) is
  'Recomputes the projection of the given users, or of everybody, from the events';

-- The right to erasure: whatever ledger keeps of a user goes with the profile, in tables of later
-- phases too, so the tables are found in the catalog.
create or replace function ledger.erase_user()
returns trigger
language plpgsql
security definer -- deletes from private tables
set search_path = ''
as $$
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
comment on function ledger.erase_user() is
  'After a profile is deleted: removes everything that ledger keeps of that user';

create or replace function ledger.apply_time_zone()
returns trigger
language plpgsql
security definer -- rewrites the projection's dates
set search_path = ''
as $$
begin
  perform ledger.project_everything();
  return null;
end;
$$;
comment on function ledger.apply_time_zone() is
  'After the time zone is set: recomputes the local days of the projection';

create or replace function public.refresh_readings_mv()
returns jsonb
language plpgsql
volatile
security definer -- only an owner can refresh
set search_path = ''
as $$
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
comment on function public.refresh_readings_mv() is
  'Refreshes electricity_readings_mv beside its readers; answers skipped while another refresh '
  'runs';

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
revoke all on function public.refresh_readings_mv()
from public, anon, authenticated, service_role;
grant execute on function public.refresh_readings_mv() to service_role;

-- Fill both beside running writers, then take the lock, hang up the triggers, and catch up with
-- whoever wrote since the fill began: their rows are younger than its snapshot.
do $$
declare
  v_floor xid;
  v_users uuid[];
begin
  v_floor := pg_snapshot_xmin(pg_current_snapshot())::xid;
  if not exists (select from pg_matviews as m
    where m.schemaname = 'public' and m.matviewname = 'electricity_readings_mv' and m.ispopulated)
  then
    refresh materialized view public.electricity_readings_mv;
    insert into ledger.readings
    select m.* from public.electricity_readings_mv as m
    on conflict (user_id, id) do nothing;
  end if;

  lock table public.token_events in share row exclusive mode;
  create or replace trigger token_events_take_own_turn
  before update on public.token_events
  for each statement execute function ledger.take_own_turn();
  create or replace trigger token_events_project_inserts
  after insert on public.token_events
  referencing new table as new_rows
  for each statement execute function ledger.project_inserts();
  create or replace trigger token_events_project_updates
  after update on public.token_events
  referencing old table as old_rows new table as new_rows
  for each statement execute function ledger.project_updates();
  create or replace trigger token_events_project_deletes
  after delete on public.token_events
  referencing old table as old_rows
  for each statement execute function ledger.project_deletes();
  create or replace trigger user_profiles_erase_user
  after delete on public.user_profiles
  referencing old table as old_profiles
  for each statement execute function ledger.erase_user();
  create or replace trigger settings_apply_time_zone
  after update of time_zone on ledger.settings
  for each row when (old.time_zone is distinct from new.time_zone)
  execute function ledger.apply_time_zone();

  insert into ledger.heads (user_id)
  select distinct e.user_id from public.token_events as e
  on conflict (user_id) do nothing;
  select array_agg(distinct e.user_id) into v_users
  from public.token_events as e
  where age(e.xmin) <= age(v_floor);
  if v_users is not null then
    perform ledger.project_everything(v_users);
  end if;
  delete from ledger.readings as r
  where not exists (select from public.user_profiles as p where p.id = r.user_id);
end;
$$;
