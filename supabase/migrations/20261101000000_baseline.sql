-- Purpose: phase 0, the ground that the other phases stand on: the legacy app's tables where they
--   are missing, a check of their shape where they are there, and the private schema ledger.
-- Objects: public.user_profiles, public.create_user_profile(), public.electricity_readings,
--   their policies, grants and triggers, index electricity_readings_user_date; schema ledger;
--   ledger.require_columns(), ledger.found_objects, ledger.set_aside, ledger.settings,
--   ledger.guard_settings(), ledger.deployments
-- Locks: access share on found tables; none that a running app would notice
-- Rollback: rollbacks/20261101000000_baseline.sql (rolled back last, if ever)
set local lock_timeout = '5s';

create schema if not exists ledger;
comment on schema ledger is
  'meterledger''s private rooms; never exposed through the REST API';
revoke all on schema ledger from public, anon, authenticated, service_role;
grant usage on schema ledger to authenticated, service_role;

create or replace function ledger.require_columns(p_table regclass, p_columns jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
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
comment on function ledger.require_columns(regclass, jsonb) is
  'Raises ML001 with a list unless the table has each named column in one of the types given as '
  'a|b';
revoke all on function ledger.require_columns(regclass, jsonb)
from public, anon, authenticated, service_role;

-- What was there before meterledger came, so that a rollback can tell found from made.
create table if not exists ledger.found_objects (
  object_name text primary key,
  origin text not null check (origin in ('found', 'created')),
  definition jsonb not null default '{}',
  noted_at timestamptz not null default now()
);
comment on table ledger.found_objects is
  'Which public objects the rollout found and which it made, with the found ones'' definitions';

-- What a rollback may not drop, since it exists nowhere else.
create table if not exists ledger.set_aside (
  set_aside_id bigint generated always as identity primary key,
  user_id uuid,
  kind text not null,
  reason text not null,
  row_data jsonb not null,
  set_aside_at timestamptz not null default now(),
  reading_id uuid,
  event_id uuid,
  migrated_event jsonb,
  settled_at timestamptz
);
create index if not exists set_aside_unsettled
on ledger.set_aside (user_id, reading_id)
where settled_at is null and reading_id is not null;
comment on table ledger.set_aside is
  'Rows that a rollback had to take out of the way, whole, with the reason';
comment on column ledger.set_aside.reading_id is
  'The legacy reading that it is about; a later data migration that migrates it applies it again';
comment on column ledger.set_aside.event_id is
  'The migrated event that stood for this reading, and gets this id again';
comment on column ledger.set_aside.migrated_event is
  'That event as it was, its day in the app''s zone, and the events that were merged into it';
comment on column ledger.set_aside.settled_at is
  'When it was applied again, or a person decided about it; null: it waits';

do $$
declare
  v_name text;
begin
  foreach v_name in array array[
    'public.user_profiles', 'public.electricity_readings', 'public.token_events',
    'public.recalculation_batches'
  ] loop
    insert into ledger.found_objects (object_name, origin)
    values (v_name, case when to_regclass(v_name) is null then 'created' else 'found' end)
    on conflict (object_name) do nothing;
  end loop;
end;
$$;

create table if not exists public.user_profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  display_name text,
  role text default 'user' check (role in ('user', 'admin')),
  status text default 'active' check (status in ('active', 'disabled')),
  last_login timestamptz,
  tariff_settings jsonb default '{"rate": 1444.70, "currency": "IDR"}',
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table if not exists public.electricity_readings (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.user_profiles (id) on delete cascade,
  date date not null,
  kwh_value numeric(10, 2) not null check (kwh_value >= 0),
  token_amount numeric,
  token_cost numeric,
  notes text,
  meter_photo_url text,
  created_at timestamptz default now()
);

select ledger.require_columns('public.user_profiles', '{"id": "uuid"}');
select ledger.require_columns('public.electricity_readings', '{
  "id": "uuid", "user_id": "uuid", "date": "date|timestamp with time zone",
  "kwh_value": "numeric", "token_amount": "numeric", "token_cost": "numeric",
  "notes": "text|character varying", "meter_photo_url": "text|character varying",
  "created_at": "timestamp with time zone"
}');

-- Found tables keep their policies and grants, but for the rights that pass row level security by
-- and that no client of the REST API can use. They are noted, for the rollback. (MAINTAIN came with
-- PostgreSQL 17.)
do $$
declare
  v_right record;
begin
  for v_right in
    select
      f.object_name,
      g.privilege_type as privilege,
      case when g.grantee = 0 then 'public' else g.grantee::regrole::text end as grantee
    from ledger.found_objects as f
    inner join pg_class as c on c.oid = to_regclass(f.object_name)
    cross join aclexplode(c.relacl) as g
    where f.object_name in ('public.user_profiles', 'public.electricity_readings')
      and f.origin = 'found'
      and g.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')
      and (
        g.grantee = 0
        or g.grantee in ('anon'::regrole, 'authenticated'::regrole, 'service_role'::regrole)
      )
  loop
    update ledger.found_objects as f
    set definition = jsonb_set(
      f.definition, '{grants}',
      coalesce(f.definition -> 'grants', '[]') || jsonb_build_array(jsonb_build_object(
        'grantee', v_right.grantee, 'privilege', v_right.privilege
      ))
    )
    where f.object_name = v_right.object_name;
    execute format(
      'revoke %s on table %s from %s', v_right.privilege, v_right.object_name, v_right.grantee
    );
  end loop;
end;
$$;

-- The policies, grants and the profile trigger of tables that this phase made.
do $$
begin
  if (select origin from ledger.found_objects where object_name = 'public.user_profiles')
    = 'created'
  then
    comment on table public.user_profiles is 'One row a user, made when the user signs up';
    alter table public.user_profiles enable row level security;
    revoke all on table public.user_profiles from public, anon, authenticated, service_role;
    grant select, insert, update on table public.user_profiles to authenticated;
    grant select, insert, update, delete on table public.user_profiles to service_role;

    drop policy if exists "Users see their own profile" on public.user_profiles;
    create policy "Users see their own profile" on public.user_profiles
      for select to authenticated using (id = (select auth.uid()));
    drop policy if exists "Users add their own profile" on public.user_profiles;
    create policy "Users add their own profile" on public.user_profiles
      for insert to authenticated with check (id = (select auth.uid()));
    drop policy if exists "Users change their own profile" on public.user_profiles;
    create policy "Users change their own profile" on public.user_profiles
      for update to authenticated
      using (id = (select auth.uid())) with check (id = (select auth.uid()));

    -- Security definer: the sign-up role of the Auth server owns no right on public tables.
    create or replace function public.create_user_profile()
    returns trigger
    language plpgsql
    security definer
    set search_path = ''
    as $function$
    begin
      insert into public.user_profiles (id) values (new.id) on conflict (id) do nothing;
      return new;
    end;
    $function$;
    comment on function public.create_user_profile() is 'Gives each new user a profile';
    revoke all on function public.create_user_profile()
    from public, anon, authenticated, service_role;
    if not exists (
      select from pg_trigger
      where tgrelid = 'auth.users'::regclass and tgname = 'create_user_profile'
    ) then
      create trigger create_user_profile
        after insert on auth.users
        for each row execute function public.create_user_profile();
    end if;
    insert into public.user_profiles (id) select id from auth.users on conflict (id) do nothing;
  end if;

  if (select origin from ledger.found_objects where object_name = 'public.electricity_readings')
    = 'created'
    and (select relkind from pg_class where oid = 'public.electricity_readings'::regclass) = 'r'
  then
    comment on table public.electricity_readings is
      'What households typed from their meters: the legacy record, kWh left after each entry';
    alter table public.electricity_readings enable row level security;
    revoke all on table public.electricity_readings from public, anon, authenticated, service_role;
    grant select, insert, update, delete on table public.electricity_readings
    to authenticated, service_role;
    create index if not exists electricity_readings_user_date
      on public.electricity_readings (user_id, date desc);

    drop policy if exists "Users see their own readings" on public.electricity_readings;
    create policy "Users see their own readings" on public.electricity_readings
      for select to authenticated using (user_id = (select auth.uid()));
    drop policy if exists "Users add their own readings" on public.electricity_readings;
    create policy "Users add their own readings" on public.electricity_readings
      for insert to authenticated with check (user_id = (select auth.uid()));
    drop policy if exists "Users change their own readings" on public.electricity_readings;
    create policy "Users change their own readings" on public.electricity_readings
      for update to authenticated
      using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
    drop policy if exists "Users delete their own readings" on public.electricity_readings;
    create policy "Users delete their own readings" on public.electricity_readings
      for delete to authenticated using (user_id = (select auth.uid()));
  end if;
end;
$$;

create table if not exists ledger.settings (
  singleton boolean primary key default true check (singleton),
  time_zone text,
  defer_backfill boolean not null default false,
  changed_at timestamptz not null default now()
);
alter table ledger.settings
  add column if not exists environment text;
comment on table ledger.settings is 'One row: what an operator decided for this database';
comment on column ledger.settings.time_zone is
  'The app''s time zone, which says where a day begins; null until an operator confirms one';
comment on column ledger.settings.environment is
  'The name under which operators know this database; a command aimed at another one stops';
comment on column ledger.settings.defer_backfill is
  'True: pushing phase 4 installs its functions and leaves the data to batches';

create or replace function ledger.guard_settings()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
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
comment on function ledger.guard_settings() is 'Refuses a time zone that Postgres does not know';
create or replace trigger guard_settings
before insert or update on ledger.settings
for each row execute function ledger.guard_settings();

create table if not exists ledger.deployments (
  deployment_id bigint generated always as identity primary key,
  version text not null,
  name text not null,
  checksum text not null,
  deployed_by text not null default current_user,
  deployed_at timestamptz not null default now(),
  details jsonb not null default '{}'
);
comment on table ledger.deployments is
  'Which phase file was applied, with its checksum, by whom and when';

insert into ledger.settings (time_zone)
values (nullif(current_setting('ledger.time_zone', true), ''))
on conflict (singleton) do nothing;

alter table ledger.found_objects enable row level security;
alter table ledger.set_aside enable row level security;
alter table ledger.settings enable row level security;
alter table ledger.deployments enable row level security;
revoke all on table
  ledger.found_objects, ledger.set_aside, ledger.settings, ledger.deployments
from public, anon, authenticated, service_role;
revoke all on all sequences in schema ledger from public, anon, authenticated, service_role;
revoke all on function ledger.guard_settings() from public, anon, authenticated, service_role;
