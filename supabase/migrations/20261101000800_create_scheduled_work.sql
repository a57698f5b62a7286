-- Purpose: what scheduled handlers call: refresh the materialized view when it is worth it, audit
--   the projection and repair it, prune what is past its time, say whether all is well.
-- Objects: public.refresh_readings(), public.audit_readings(), public.prune_ledger(),
--   public.ledger_health(); ledger.work_settings, ledger.work_state, ledger.refresh_marks,
--   ledger.audit_marks, ledger.audits, ledger.audit_differences, and what the calls share:
--   ledger.projection_differences(), ledger.mv_differences(), ledger.next_user(),
--   ledger.users_after(), ledger.projector_triggers_off(), ledger.lost_rows(),
--   ledger.unrefreshed_users(), ledger.mark_refreshed(), ledger.refresh_reason(),
--   ledger.switch_projector_on(), ledger.users_to_audit(), ledger.difference_cause(),
--   ledger.repair_user()
-- Locks: none on what was there
-- Rollback: rollbacks/20261101000800_create_scheduled_work.sql
set local lock_timeout = '5s';

create table if not exists ledger.work_settings (
  singleton boolean primary key default true check (singleton),
  refresh boolean not null default true,
  refresh_age interval not null default '1 hour' check (refresh_age >= '0'),
  refresh_share numeric not null default 0.2 check (refresh_share between 0 and 1),
  refresh_duty numeric not null default 0.01 check (refresh_duty > 0 and refresh_duty <= 1),
  audit_cycle interval not null default '14 days' check (audit_cycle >= '1 hour'),
  keep_log interval not null default '90 days' check (keep_log >= '1 day'),
  keep_calls interval not null default '30 days' check (keep_calls >= '1 day'),
  keep_batches interval not null default '365 days' check (keep_batches >= '1 day')
);
comment on table ledger.work_settings is 'One row: how the scheduled work is to be done';
comment on column ledger.work_settings.refresh is
  'False: nobody wants electricity_readings_mv; scheduled runs neither refresh nor compare it';
comment on column ledger.work_settings.refresh_age is
  'Users changed, and the last refresh is so long ago: refresh';
comment on column ledger.work_settings.refresh_share is
  'This share of the users changed, however young the last refresh is: refresh';
comment on column ledger.work_settings.refresh_duty is
  'Share of the time that refreshes may take: 0.01 lets 100 times a refresh''s duration pass first';
comment on column ledger.work_settings.audit_cycle is
  'Everybody is audited once in this time, also whom nothing changed';
comment on column ledger.work_settings.keep_log is 'How long refreshes and audits stay on record';
comment on column ledger.work_settings.keep_calls is
  'How long the first answer to a client''s key is kept for its repeats';
comment on column ledger.work_settings.keep_batches is
  'How long a recalculation is kept after its window for second thoughts has closed';

create table if not exists ledger.work_state (
  singleton boolean primary key default true check (singleton),
  swept_to uuid,
  swept_at timestamptz not null default now(),
  pruned_at timestamptz,
  installed_at timestamptz not null default now()
);
comment on table ledger.work_state is
  'One row: how far the search for users whom ledger.heads does not know has come, the last '
  'pruning';

create table if not exists ledger.refresh_marks (
  user_id uuid primary key,
  version bigint not null
);
comment on table ledger.refresh_marks is
  'The version of each user (ledger.heads) that the last scheduled refresh saw';

create table if not exists ledger.audit_marks (
  user_id uuid primary key,
  version bigint not null,
  mv_version bigint,
  audited_at timestamptz not null
);
comment on table ledger.audit_marks is
  'The version of each user that an audit found right, and the refreshed one that it compared';

create table if not exists ledger.audits (
  audit_id bigint generated always as identity primary key,
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  trigger_source text not null,
  users bigint not null default 0,
  changed bigint not null default 0,
  left_over bigint not null default 0,
  differences bigint not null default 0,
  unrepaired bigint not null default 0,
  details jsonb not null default '{}'
);
comment on table ledger.audits is
  'Each audit of the projection: whom it looked at, how many rows differed, what was not repaired';
comment on column ledger.audits.left_over is 'Changed users whom the budget did not reach';
comment on column ledger.audits.details is
  'triggers_off and triggers_missing: the projector''s; mv_emptied';

create table if not exists ledger.audit_differences (
  user_id uuid not null,
  audit_id bigint not null,
  row_id uuid not null,
  found_in text not null check (found_in in ('projection', 'materialized view')),
  finding text not null check (finding in ('missing', 'foreign', 'wrong')),
  cause text,
  repaired boolean not null default false,
  primary key (user_id, audit_id, row_id, found_in)
);
comment on table ledger.audit_differences is
  'Rows in which an audit found the projection or the view and the recomputation apart: defects';
comment on column ledger.audit_differences.cause is 'What is known of how it came about';

do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'work_settings', 'work_state', 'refresh_marks', 'audit_marks', 'audits', 'audit_differences'
  ] loop
    execute format('alter table ledger.%I enable row level security', v_table);
    execute format(
      'revoke all on table ledger.%I from public, anon, authenticated, service_role', v_table
    );
  end loop;
end;
$$;
revoke all on sequence ledger.audits_audit_id_seq from public, anon, authenticated, service_role;
insert into ledger.work_settings (singleton) values (true) on conflict (singleton) do nothing;
insert into ledger.work_state (singleton) values (true) on conflict (singleton) do nothing;

-- Held to index look-ups, as the projector is: what an audit costs follows from whom it looks at.
create or replace function ledger.projection_differences(p_users uuid[])
returns table (user_id uuid, row_id uuid, finding text)
language sql
stable
security invoker
set search_path = ''
set enable_seqscan = off
as $$
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
comment on function ledger.projection_differences(uuid[]) is
  'Where the projection of these users differs from the live computation: a defect, row by row';

create or replace function ledger.mv_differences(p_users uuid[])
returns table (user_id uuid, row_id uuid, finding text)
language sql
stable
security invoker
set search_path = ''
set enable_seqscan = off
as $$
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
comment on function ledger.mv_differences(uuid[]) is
  'Where the materialized view differs from the projection of users who did not change since';

-- Whom ledger.heads does not know: rows that came in behind the projector. Found by hopping from
-- user to user in the keys, a stretch at a time.
create or replace function ledger.next_user(p_after uuid)
returns uuid
language sql
stable
security invoker
set search_path = ''
set enable_seqscan = off
as $$
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
comment on function ledger.next_user(uuid) is
  'The next user who has events or readings, in the order of their ids; null: the first';

create or replace function ledger.users_after(p_after uuid, p_count bigint)
returns table (user_id uuid)
language sql
stable
security invoker
set search_path = ''
as $$
  with recursive hop as (
    select ledger.next_user(p_after) as user_id, 1 as hops
    union all
    select ledger.next_user(h.user_id), h.hops + 1
    from hop as h
    where h.user_id is not null and h.hops < p_count
  )
  select h.user_id from hop as h where h.user_id is not null;
$$;
comment on function ledger.users_after(uuid, bigint) is
  'The next users who have events or readings, in the order of their ids; null: from the first';

create or replace function ledger.projector_triggers_off(p_missing boolean)
returns text[]
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(array_agg(n.name order by n.name), '{}')
  from unnest(array[
    'token_events_project_deletes', 'token_events_project_inserts', 'token_events_project_updates'
  ]) as n (name)
  left join pg_catalog.pg_trigger as t
    on t.tgname = n.name and t.tgrelid = 'public.token_events'::regclass
  where case when p_missing then t.oid is null else t.tgenabled = 'D' end;
$$;
comment on function ledger.projector_triggers_off(boolean) is
  'Triggers that keep the projection current and are switched off, or are missing';

create or replace function ledger.lost_rows(p_floor xid)
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  -- Only what was there, and not touched, before the refresh began counts.
  select count(*)
  from public.token_events as e
  where not e.is_voided and e.event_type <> 'VOID' and age(e.xmin) > age(p_floor)
    and not exists (
      select from public.electricity_readings_mv as m
      where m.user_id = e.user_id and m.id = coalesce(e.reading_id, e.id)
    );
$$;
comment on function ledger.lost_rows(xid) is
  'Counted events, older than this transaction, that the materialized view does not show';

create or replace function ledger.unrefreshed_users()
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
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
comment on function ledger.unrefreshed_users() is
  'Users who changed since the last scheduled refresh';

create or replace function ledger.mark_refreshed(p_users uuid[], p_versions bigint[])
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
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
comment on function ledger.mark_refreshed(uuid[], bigint[]) is
  'Notes which versions a refresh saw; how many users have a mark then';

create or replace function ledger.refresh_reason(p_deadline_ms integer)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
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
comment on function ledger.refresh_reason(integer) is
  'Whether a refresh is due within so many milliseconds, and why or why not';

create or replace function public.refresh_readings(
  p_trigger text default 'manual', p_deadline_ms integer default null, p_force boolean default false
)
returns jsonb
language plpgsql
volatile
security definer -- only an owner can refresh
set search_path = ''
set statement_timeout = '10min'
set lock_timeout = '2s'
-- Where row level security would filter the owner's query, it fails instead of emptying the view.
set row_security = off
as $$
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
comment on function public.refresh_readings(text, integer, boolean) is
  'Refreshes electricity_readings_mv beside its readers where users changed and it is worth it; '
  'answers refreshed, not needed, skipped or failed, and logs it';

create or replace function ledger.switch_projector_on(p_triggers text[])
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
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
comment on function ledger.switch_projector_on(text[]) is
  'Switches triggers of the projector on again and has everybody audited; false: the table is busy';

create or replace function ledger.users_to_audit(p_mv boolean, out users uuid[], out changed bigint)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
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
comment on function ledger.users_to_audit(boolean) is
  'Whom an audit is to look at now: the changed ones first, then a share of the rest by the time '
  'that passed, so that everybody comes up within a cycle';

create or replace function ledger.difference_cause(p_user_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
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
comment on function ledger.difference_cause(uuid) is
  'What is known of how a user''s readings came to differ; null: nothing';

create or replace function ledger.repair_user(p_user_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
set lock_timeout = '500ms' -- the next audit tries again
as $$
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
comment on function ledger.repair_user(uuid) is
  'Recomputes one user''s projection in the user''s turn; whether it equals the events then';

create or replace function public.audit_readings(
  p_trigger text default 'manual', p_budget_ms integer default 2000
)
returns jsonb
language plpgsql
volatile
security definer -- reads everybody's events and writes the projection
set search_path = ''
set statement_timeout = '10min'
set lock_timeout = '2s'
set row_security = off
as $$
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
comment on function public.audit_readings(text, integer) is
  'Compares the projection of changed users and of a rotating share of the rest with the events, '
  'and with the view where that is up to date; repairs and records what differs. more: call again; '
  'refresh: the view needs a forced refresh';

create or replace function public.prune_ledger(p_limit integer default 10000)
returns jsonb
language plpgsql
volatile
security definer -- deletes from private tables
set search_path = ''
set statement_timeout = '10min'
set lock_timeout = '2s'
as $$
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
$$;
comment on function public.prune_ledger(integer) is
  'Removes what is past its time from the logs, the answers to clients'' keys and the '
  'recalculations, so many rows of each; never an event. more: call again';

create or replace function public.ledger_health(p_stale_seconds integer default 86400)
returns jsonb
language plpgsql
stable
security definer -- reads private tables
set search_path = ''
set lock_timeout = '2s'
as $$
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
$$;
comment on function public.ledger_health(integer) is
  'Whether the scheduled work is done and found nothing amiss, with figures for a monitor';

do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select p.oid::regprocedure from pg_proc as p
    where (p.pronamespace = 'ledger'::regnamespace and p.proname in (
        'projection_differences', 'mv_differences', 'next_user', 'users_after',
        'projector_triggers_off', 'lost_rows', 'unrefreshed_users', 'mark_refreshed',
        'refresh_reason', 'switch_projector_on',
        'users_to_audit', 'difference_cause', 'repair_user'
      ))
      or (p.pronamespace = 'public'::regnamespace and p.proname in (
        'refresh_readings', 'audit_readings', 'prune_ledger', 'ledger_health'
      ))
  loop
    execute format(
      'revoke all on function %s from public, anon, authenticated, service_role', v_function
    );
  end loop;
end;
$$;
grant execute on function public.refresh_readings(text, integer, boolean) to service_role;
grant execute on function public.audit_readings(text, integer) to service_role;
grant execute on function public.prune_ledger(integer) to service_role;
grant execute on function public.ledger_health(integer) to service_role;
