-- Purpose: phase 1, the event tables: made where they are missing, evolved in place where the
--   dual-write app has them already. Keys follow in the next files of this phase.
-- Objects: public.token_events, public.recalculation_batches, their constraints, policies, grants
--   and guards; indexes token_events_one_void_a_target, token_events_idempotency_key,
--   token_events_void_of_event, token_events_reading_id;
--   ledger.maintenance, ledger.in_maintenance(), ledger.guard_event_update(),
--   ledger.guard_event_delete(), ledger.guard_batch_update(), ledger.refuse_truncate()
-- Locks: access exclusive on token_events and recalculation_batches, for catalog changes and
--   some scans (no rewrite: a numeric loses its limits without one)
-- Rollback: rollbacks/20261101000100_create_event_sourcing_tables.sql
set local lock_timeout = '5s';

-- Before anything changes: is a found table one that we know, and can its rows become the ledger?
do $$
declare
  v_list text;
begin
  if to_regclass('public.token_events') is null then
    return;
  end if;

  perform ledger.require_columns('public.token_events', '{
    "id": "uuid", "user_id": "uuid", "event_type": "text|character varying",
    "event_date": "timestamp with time zone", "kwh_amount": "numeric", "token_cost": "numeric",
    "notes": "text|character varying", "meter_photo_url": "text|character varying",
    "is_voided": "boolean", "voided_at": "timestamp with time zone", "voided_by": "uuid",
    "voided_reason": "text|character varying", "void_of_event": "uuid",
    "recalc_batch_id": "uuid", "created_by": "uuid", "metadata": "jsonb",
    "created_at": "timestamp with time zone"
  }');

  -- Policies are replaced below, constraints and indexes follow their column.
  select string_agg(distinct pg_describe_object(d.classid, d.objid, 0), ', ')
  into v_list
  from pg_depend as d
  inner join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where d.refclassid = 'pg_class'::regclass and d.refobjid = 'public.token_events'::regclass
    and a.attname in ('kwh_amount', 'token_cost') and a.atttypmod <> -1
    and d.classid in (
      'pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_attrdef'::regclass, 'pg_proc'::regclass
    )
    and not (d.classid = 'pg_attrdef'::regclass and a.atthasdef and a.attgenerated = '');
  if v_list is not null then
    raise exception 'meterledger: other objects read columns of token_events whose limits must '
      'go: %',
      v_list
      using errcode = 'ML001',
        detail = 'Next: Drop them, push, and create them again; nothing has been changed.';
  end if;

  select string_agg(format('event %s of user %s', x.id, x.user_id), ', ')
  into v_list
  from (
    select e.id, e.user_id
    from public.token_events as e
    where e.void_of_event is not null
      and not exists (
        select from public.token_events as t
        where t.user_id = e.user_id and t.id = e.void_of_event
      )
    order by e.user_id, e.id
    limit 20
  ) as x;
  if v_list is not null then
    raise exception 'meterledger: void_of_event points at no event of the same user: %', v_list
      using errcode = 'ML003',
        detail = 'Next: Set void_of_event to null on these rows, or correct it, then push again.';
  end if;

  select string_agg(format('%s %s (%s)', x.event_type, x.id, x.problem), ', ')
    || case when count(*) = 20 then ' and more' else '' end
  into v_list
  from (
    select e.user_id, e.id, e.event_type, p.problem
    from public.token_events as e
    cross join lateral (
      select case
        when not abs(e.kwh_amount) < 1e12 then 'kwh_amount out of range'
        when not abs(e.token_cost) < 1e12 then 'token_cost out of range'
        when not e.event_date between '4713-01-03 00:00+00 BC' and '294276-12-29 00:00+00'
        then 'event_date out of range'
        when not isfinite(e.created_at) then 'created_at out of range'
        when e.event_type = 'TOPUP' and e.kwh_amount <= 0 then 'a top-up of nothing'
        when e.event_type = 'METER_READING' and e.kwh_amount < 0 then 'a meter below zero'
        when e.event_type = 'VOID' and e.kwh_amount <> 0 then 'a void that has an amount'
        when e.event_type not in ('TOPUP', 'METER_READING', 'ADJUSTMENT', 'VOID')
        then 'unknown event_type'
      end as problem
    ) as p
    where e.is_voided is not true and p.problem is not null
    order by e.user_id, e.id
    limit 20
  ) as x;
  if v_list is not null then
    raise exception 'meterledger: events that cannot be true: %', v_list
      using errcode = 'ML003',
        detail = 'Next: Correct them, or void them: update public.token_events set is_voided = '
          'true, voided_reason = ''cannot be true'' where id = …; then push again.';
  end if;
end;
$$;

create table if not exists public.token_events (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null references public.user_profiles (id) on delete cascade,
  event_type text not null,
  event_date timestamptz not null,
  kwh_amount numeric not null,
  token_cost numeric,
  notes text,
  meter_photo_url text,
  is_voided boolean not null default false,
  voided_at timestamptz,
  voided_by uuid,
  voided_reason text,
  void_of_event uuid,
  recalc_batch_id uuid,
  created_by uuid,
  metadata jsonb,
  created_at timestamptz not null default now()
);
comment on table public.token_events is
  'The ledger: what each household bought, read and corrected; append-only, the source of truth';
alter table public.token_events enable row level security;

alter table public.token_events
  add column if not exists observed_kwh numeric,
  add column if not exists reading_id uuid,
  add column if not exists idempotency_key text,
  add column if not exists legacy_token_amount numeric;
comment on column public.token_events.kwh_amount is
  'kWh: bought (TOPUP), shown by the meter (METER_READING), corrected by (ADJUSTMENT), 0 (VOID)';
comment on column public.token_events.observed_kwh is
  'kWh that the meter showed right after a TOPUP or ADJUSTMENT; makes the event an anchor';
comment on column public.token_events.reading_id is
  'The id under which clients of electricity_readings know this event, where it is not its own';
comment on column public.token_events.idempotency_key is
  'Chosen by the client, unique per user: a repeated write is recognised by it';
comment on column public.token_events.legacy_token_amount is
  'token_amount of a migrated reading that was no top-up (zero or negative), kept to be shown '
  'again';

create table if not exists public.recalculation_batches (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null references public.user_profiles (id) on delete cascade,
  trigger_type text not null check (
    trigger_type in ('BACKDATE_TOPUP', 'EDIT_TOPUP', 'DELETE_TOPUP', 'MANUAL_CORRECTION')
  ),
  trigger_event_id uuid,
  affected_events jsonb not null,
  -- squawk-ignore prefer-bigint-over-int -- the type that the deployed app gave it
  events_count int not null,
  can_rollback_until timestamptz default (now() + interval '24 hours'),
  rolled_back_at timestamptz,
  rollback_reason text,
  created_by uuid,
  created_at timestamptz default now()
);
comment on table public.recalculation_batches is
  'What a back-dated or corrected event changed in later positions, for 24 hours of second '
  'thoughts';
comment on column public.recalculation_batches.affected_events is
  'Array of {event_id, event_type, event_date, old_kwh, new_kwh}, kWh';
alter table public.recalculation_batches enable row level security;
select ledger.require_columns('public.recalculation_batches', '{
  "id": "uuid", "user_id": "uuid", "trigger_type": "text|character varying",
  "trigger_event_id": "uuid", "affected_events": "jsonb", "events_count": "integer",
  "can_rollback_until": "timestamp with time zone", "rolled_back_at": "timestamp with time zone",
  "rollback_reason": "text|character varying", "created_by": "uuid",
  "created_at": "timestamp with time zone"
}');
alter table public.recalculation_batches
  alter column can_rollback_until set default (now() + interval '24 hours');

-- Policies and grants of found tables are noted for the rollback, then replaced: one policy an
-- operation, nothing for anon, no delete for anybody.
do $$
declare
  v_table text;
  v_policy record;
begin
  foreach v_table in array array['token_events', 'recalculation_batches'] loop
    update ledger.found_objects
    set definition = jsonb_build_object(
      'policies', (
        select coalesce(jsonb_agg(to_jsonb(p)), '[]')
        from pg_policies as p
        where p.schemaname = 'public' and p.tablename = v_table
      ),
      'grants', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'grantee', case when g.grantee = 0 then 'public' else g.grantee::regrole::text end,
          'privilege', g.privilege_type
        )), '[]')
        from pg_class as c, aclexplode(c.relacl) as g
        where c.oid = ('public.' || v_table)::regclass and g.grantee <> c.relowner
      )
    )
    where object_name = 'public.' || v_table and definition = '{}';

    for v_policy in
      select p.policyname from pg_policies as p
      where p.schemaname = 'public' and p.tablename = v_table
    loop
      execute format('drop policy %I on public.%I', v_policy.policyname, v_table);
    end loop;
  end loop;
end;
$$;

-- Fill what a dual-write table left null, then hold it: one scan, under the lock that lifting the
-- limits of the amounts needs anyway.
-- squawk-ignore-file adding-not-nullable-field
update public.token_events set is_voided = false where is_voided is null;
update public.token_events set created_at = event_date where created_at is null;
alter table public.token_events
  alter column id set default gen_random_uuid(),
  alter column is_voided set default false,
  alter column is_voided set not null,
  alter column created_at set default now(),
  alter column created_at set not null;

-- Only where there are limits to lift: on a rerun the views of phase 3 read these columns.
do $$
declare
  v_column text;
begin
  for v_column in
    select a.attname from pg_attribute as a
    where a.attrelid = 'public.token_events'::regclass
      and a.attname in ('kwh_amount', 'token_cost') and a.atttypmod <> -1
  loop
    execute format('alter table public.token_events alter column %I type numeric', v_column);
  end loop;
end;
$$;

-- A voided event may hold anything: it no longer counts. Old rows are checked where they pass. What
-- is dropped here, on a rerun, is added again below.
-- squawk-ignore-file ban-drop-constraint
alter table public.token_events
  drop constraint if exists token_events_known_type,
  drop constraint if exists token_events_finite,
  drop constraint if exists token_events_amount_by_type,
  drop constraint if exists token_events_observed_kwh,
  drop constraint if exists token_events_idempotency_key_length;
alter table public.token_events
  add constraint token_events_known_type
  check (event_type in ('TOPUP', 'METER_READING', 'ADJUSTMENT', 'VOID')) not valid,
  add constraint token_events_finite
  check (
    is_voided
    or (abs(kwh_amount) < 1e12
      and event_date between '4713-01-03 00:00+00 BC' and '294276-12-29 00:00+00'
      and isfinite(created_at)
      and (token_cost is null or abs(token_cost) < 1e12)
      and (legacy_token_amount is null or abs(legacy_token_amount) < 1e12))
  ) not valid,
  add constraint token_events_amount_by_type
  check (
    is_voided
    or case event_type
      when 'TOPUP' then kwh_amount > 0
      when 'METER_READING' then kwh_amount >= 0
      when 'VOID' then kwh_amount = 0
      else true
    end
  ) not valid,
  add constraint token_events_observed_kwh
  check (
    observed_kwh is null
    or (event_type in ('TOPUP', 'ADJUSTMENT') and observed_kwh >= 0 and observed_kwh < 1e12)
  ) not valid,
  add constraint token_events_idempotency_key_length
  check (length(idempotency_key) between 1 and 200) not valid;

-- One VOID event a target. A dual-write app may have written several: the later ones, which never
-- counted, are marked as void and named, so that the rule can be an index.
with ranked as (
  select
    v.user_id,
    v.id,
    first_value(v.id) over earlier as first_id
  from public.token_events as v
  where v.event_type = 'VOID' and not v.is_voided and v.void_of_event is not null
  window earlier as (
    partition by v.user_id, v.void_of_event order by v.event_date, v.created_at, v.id
  )
)

update public.token_events as v
set is_voided = true, voided_at = now(), voided_reason = 'repeats void ' || ranked.first_id
from ranked
where v.user_id = ranked.user_id and v.id = ranked.id and ranked.id <> ranked.first_id;

create unique index if not exists token_events_one_void_a_target
on public.token_events (user_id, void_of_event)
where event_type = 'VOID' and not is_voided and void_of_event is not null;
create unique index if not exists token_events_idempotency_key
on public.token_events (user_id, idempotency_key)
where idempotency_key is not null;
create index if not exists token_events_void_of_event
on public.token_events (user_id, void_of_event)
where void_of_event is not null;
-- For whoever row level security binds: token_events_visible_id is of an expression, which it keeps
-- out of the index.
create index if not exists token_events_reading_id
on public.token_events (user_id, reading_id)
where reading_id is not null;

create policy "Users see their own events" on public.token_events
for select to authenticated using (user_id = (select auth.uid()));
create policy "Users record their own events, in their own name" on public.token_events
for insert to authenticated with check (
  user_id = (select auth.uid())
  and (created_by is null or created_by = (select auth.uid()))
  and (metadata is null or not metadata ? 'migrated_from')
);
create policy "Users void their own events" on public.token_events
for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "Users see their own recalculations" on public.recalculation_batches
for select to authenticated using (user_id = (select auth.uid()));
create policy "Users record their own recalculations" on public.recalculation_batches
for insert to authenticated with check (
  user_id = (select auth.uid()) and (created_by is null or created_by = (select auth.uid()))
);
create policy "Users change their own recalculations" on public.recalculation_batches
for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

-- Inserts by column: never the void columns, never what only the migration may say. Columns that
-- an app added of its own stay insertable.
do $$
declare
  v_columns text;
begin
  select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
  into v_columns
  from pg_attribute as a
  where a.attrelid = 'public.token_events'::regclass and a.attnum > 0 and not a.attisdropped
    and a.attgenerated = ''
    and a.attname not in (
      'is_voided', 'voided_at', 'voided_by', 'voided_reason', 'reading_id', 'legacy_token_amount'
    );
  revoke all on table public.token_events from public, anon, authenticated, service_role;
  grant select on table public.token_events to authenticated, service_role;
  execute format(
    'grant insert (%s) on table public.token_events to authenticated, service_role', v_columns
  );
  grant update (is_voided, voided_at, voided_by, voided_reason, recalc_batch_id)
  on table public.token_events to authenticated, service_role;

  revoke all on table public.recalculation_batches
  from public, anon, authenticated, service_role;
  grant select, insert, update on table public.recalculation_batches
  to authenticated, service_role;
end;
$$;

-- The migration completes and removes events of its own, which nobody else may. It says so in a
-- row that only the owner can write and that lives no longer than its transaction.
create table if not exists ledger.maintenance (
  xact_id xid8 primary key default pg_current_xact_id(),
  purpose text not null
);
comment on table ledger.maintenance is
  'Transactions that may amend or delete events; empty but inside such a transaction';
alter table ledger.maintenance enable row level security;
revoke all on table ledger.maintenance from public, anon, authenticated, service_role;

create or replace function ledger.in_maintenance()
returns boolean
language sql
stable
security definer -- reads a table that no API role may see
set search_path = ''
as $$
  select exists (
    select from ledger.maintenance as m where m.xact_id = pg_current_xact_id_if_assigned()
  );
$$;
comment on function ledger.in_maintenance() is
  'True inside a transaction of the migration that may amend or delete events';
revoke all on function ledger.in_maintenance() from public, anon, authenticated, service_role;

create or replace function ledger.guard_event_update()
returns trigger
language plpgsql
security definer -- calls ledger.in_maintenance()
set search_path = ''
as $$
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
comment on function ledger.guard_event_update() is
  'Events are append-only: refuses every change but voiding and the recalculation link (ML101)';

create or replace function ledger.guard_event_delete()
returns trigger
language plpgsql
security definer -- must see every profile and ledger.maintenance
set search_path = ''
as $$
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
comment on function ledger.guard_event_delete() is
  'Refuses deletion (ML101) unless the user''s whole profile goes';

create or replace function ledger.refuse_truncate()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  raise exception '%.% is never truncated', tg_table_schema, tg_table_name
    using errcode = 'ML101', hint = 'To remove a user''s data, delete the user''s profile.';
end;
$$;
comment on function ledger.refuse_truncate() is 'Refuses TRUNCATE of the ledger (ML101)';

create or replace function ledger.guard_batch_update()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
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
comment on function ledger.guard_batch_update() is
  'Refuses to change who recorded a recalculation (ML101)';
revoke all on function ledger.guard_batch_update() from public, anon, authenticated, service_role;
revoke all on function ledger.guard_event_update() from public, anon, authenticated, service_role;
revoke all on function ledger.guard_event_delete() from public, anon, authenticated, service_role;
revoke all on function ledger.refuse_truncate() from public, anon, authenticated, service_role;

create or replace trigger token_events_guard_update
before update on public.token_events
for each row execute function ledger.guard_event_update();
create or replace trigger token_events_guard_delete
after delete on public.token_events
referencing old table as old_rows
for each statement execute function ledger.guard_event_delete();
create or replace trigger token_events_guard_truncate
before truncate on public.token_events
for each statement execute function ledger.refuse_truncate();
create or replace trigger recalculation_batches_guard_update
before update on public.recalculation_batches
for each row execute function ledger.guard_batch_update();
