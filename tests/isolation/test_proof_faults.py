"""The isolation proof is quiet on a sound database and loud about every fault planted in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.database import Connection
from tests.support.proven import proven
from tests.support.servers import Databases, default_major
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import Kind, Section
from toolkit.isolation.run import prove_inside

ACCESS = load_access()
EVENTS, PROJECTION = "public.token_events", "ledger.readings"
VIEW, MV = "public.electricity_readings_v", "public.electricity_readings_mv"
BATCHES, LEGACY = "public.recalculation_batches", "public.electricity_readings"
POSITIONS, REFRESH = "public.calculate_user_positions(uuid)", "public.refresh_readings_mv()"
BY_DOING = (Section.PROBES, Section.ATTACKS)
DEFINER = "language plpgsql security definer set search_path = ''"

VOID_EVENT = "public.void_event(uuid,text,text)"
PREVIEW = "public.preview_backdate(text,numeric,timestamp with time zone,numeric)"

# What is done to a sound database, and what by doing must show: whose finding, of which kind.
LEAKS = {
    "the view runs with its owner's rights": (
        "alter view public.electricity_readings_v set (security_invoker = false)",
        VIEW,
    ),
    "the view was made anew without its options": (
        "create or replace view public.electricity_readings_v as select * from ledger.readings",
        VIEW,
    ),
    "row level security is off on the projection": (
        "alter table ledger.readings disable row level security",
        PROJECTION,
    ),
    "row level security is off on the events": (
        "alter table public.token_events disable row level security",
        EVENTS,
    ),
    "a policy lets everybody read events": (
        "create policy leak on public.token_events for select to authenticated using (true)",
        POSITIONS,
    ),
    "a policy lets everybody read the projection": (
        "create policy leak on ledger.readings for select to authenticated using (true)",
        PROJECTION,
    ),
    "policies let everybody change events": (
        "create policy leak on public.token_events for select to authenticated using (true);"
        "create policy leak_too on public.token_events for update to authenticated using (true)"
        " with check (true)",
        EVENTS,
    ),
    "users of long standing see everybody, whom made-up users are not": (
        "create policy leak on public.token_events for select to authenticated using (exists"
        " (select from public.user_profiles as p where p.id = (select auth.uid())"
        " and p.created_at < now() - interval '1 hour'));"
        "update public.user_profiles set created_at = now() - interval '1 day'",
        EVENTS,
    ),
    "a policy lets everybody void without reading": (
        "create policy leak on public.token_events for update to authenticated using (true)"
        " with check (true)",
        EVENTS,
    ),
    "a policy lets everybody insert for others": (
        "create policy leak on public.token_events for insert to authenticated with check (true)",
        EVENTS,
    ),
    "a policy lets users write in another's name": (
        "create policy leak on public.token_events for insert to authenticated"
        " with check (user_id = (select auth.uid()))",
        EVENTS,
    ),
    "a call voids whatever event it is told": (
        "create or replace function public.void_event(p_event_id uuid, p_reason text default null,"
        " p_idempotency_key text default null) returns jsonb language sql security definer"
        " set search_path = '' as $$ update public.token_events as e set is_voided = true"
        " where e.id = p_event_id returning jsonb_build_object('void', to_jsonb(e)) $$",
        VOID_EVENT,
    ),
    "a preview is made of everybody's events": (
        "create or replace function public.preview_backdate(p_event_type text,"
        " p_kwh_amount numeric, p_event_date timestamptz default null, p_observed_kwh numeric"
        " default null) returns jsonb language sql stable security definer set search_path = ''"
        " as $$ select jsonb_build_object('later', jsonb_agg(jsonb_build_object('event_id', e.id)))"
        " from public.token_events as e $$",
        PREVIEW,
    ),
    "a policy lets everybody read recalculations": (
        "create policy leak on public.recalculation_batches for select to authenticated"
        " using (true)",
        BATCHES,
    ),
    "a policy lets everybody read legacy readings": (
        "create policy leak on public.electricity_readings for select to authenticated"
        " using (true)",
        LEGACY,
    ),
    "a policy lets everybody delete legacy readings": (
        "create policy leak on public.electricity_readings for delete to authenticated"
        " using (true)",
        LEGACY,
    ),
    "the position call runs with its owner's rights": (
        "alter function public.calculate_user_positions(uuid) security definer",
        POSITIONS,
    ),
    "signed-in users may read the materialized view": (
        "grant select on public.electricity_readings_mv to authenticated",
        MV,
    ),
    "signed-in users may read one column of it": (
        "grant select (kwh_value) on public.electricity_readings_mv to authenticated",
        MV,
    ),
    "everybody may read the materialized view": (
        "grant select on public.electricity_readings_mv to public",
        MV,
    ),
    "signed-in users may refresh": (
        "grant execute on function public.refresh_readings_mv() to authenticated",
        REFRESH,
    ),
    "anon may refresh": ("grant execute on function public.refresh_readings_mv() to anon", REFRESH),
    "clients may update reading_id": (
        "grant update (reading_id) on public.token_events to authenticated",
        EVENTS,
    ),
    "clients may insert reading_id": (
        "grant insert (reading_id) on public.token_events to authenticated",
        EVENTS,
    ),
    "clients may write the projection": (
        "grant update on ledger.readings to authenticated;"
        "create policy leak on ledger.readings for update to authenticated using (true)",
        PROJECTION,
    ),
    "clients may delete events": ("grant delete on public.token_events to authenticated", EVENTS),
    "clients may truncate events": (
        "grant truncate on public.token_events to authenticated",
        EVENTS,
    ),
    "anon may truncate events": ("grant truncate on public.token_events to anon", EVENTS),
    "the private list is open": (
        "grant select on ledger.migrated_readings to authenticated",
        "ledger.migrated_readings",
    ),
    "the rejects are open": (
        "grant select on ledger.migration_rejects to public",
        "ledger.migration_rejects",
    ),
    "a sequence is open": (
        "grant select on sequence ledger.refresh_log_refresh_id_seq to authenticated",
        "ledger.refresh_log_refresh_id_seq",
    ),
    "an internal function is open": (
        "grant execute on function ledger.project_everything(uuid[]) to authenticated",
        "ledger.project_everything(uuid[])",
    ),
    "users may create in public": ("grant create on schema public to authenticated", "public"),
    "anon may look into ledger": ("grant usage on schema ledger to anon", "ledger"),
    "what is made in ledger opens by itself": (
        "alter default privileges in schema ledger grant select on tables to authenticated",
        "ledger (later)",
    ),
    "anon reads events": (
        "grant select on public.token_events to anon;"
        "create policy leak on public.token_events for select to anon using (true)",
        EVENTS,
    ),
    "anon reads the readings view": (
        "alter view public.electricity_readings_v set (security_invoker = false);"
        "grant select on public.electricity_readings_v to anon",
        VIEW,
    ),
    "anon may delete events": ("grant select, delete on public.token_events to anon", EVENTS),
    "updates are guarded no more": (
        "drop trigger token_events_guard_update on public.token_events",
        EVENTS,
    ),
    "recalculations can change their author": (
        "drop trigger recalculation_batches_guard_update on public.recalculation_batches",
        BATCHES,
    ),
    "the guard lets everything pass": (
        "create or replace function ledger.guard_event_update() returns trigger "
        f"{DEFINER} as $$ begin return new; end $$",
        EVENTS,
    ),
    "deletes are guarded no more": (
        "alter table public.token_events disable trigger token_events_guard_delete",
        EVENTS,
    ),
    "truncating is guarded no more": (
        "create or replace function ledger.refuse_truncate() returns trigger language plpgsql "
        "set search_path = '' as $$ begin return null; end $$",
        "ledger.refuse_truncate()",
    ),
}
# Ways round that a reviewer found; each is seen by somebody, by doing or by reading.
EVERYBODYS = "select string_agg(notes, ',') from public.token_events"
DETOURS = {
    "a view in a platform schema": (
        "grant usage on schema extensions to anon;"
        "create view extensions.events as select * from public.token_events;"
        "grant select on extensions.events to anon",
        "extensions.events",
    ),
    "a definer in a platform schema": (
        "create function extensions.feed() returns setof ledger.readings language sql"
        " security definer set search_path = '' as 'select * from ledger.readings'",
        "extensions.feed()",
    ),
    "a parent table in a platform schema": (
        "create table extensions.parent (id uuid not null, user_id uuid not null, notes text);"
        "grant select on extensions.parent to anon;"
        "alter table public.token_events inherit extensions.parent",
        EVENTS,
    ),
    "a child of the events without row level security": (
        "create table public.more_events () inherits (public.token_events);"
        "grant select on public.more_events to authenticated",
        EVENTS,
    ),
    "a declared view that also reads from elsewhere": (
        "create function extensions.feed() returns setof ledger.readings language sql"
        " security definer set search_path = '' as"
        " 'select * from ledger.readings where notes like ''%shared%''';"
        "create or replace view public.electricity_readings_v with (security_invoker = true) as"
        " select * from ledger.readings union all select * from extensions.feed()",
        "electricity_readings_v",
    ),
    "a declared view over the materialized view": (
        "create or replace view public.electricity_readings_v with (security_invoker = true) as"
        " select * from ledger.readings where notes is distinct from 'x'"
        " union all select * from public.electricity_readings_mv where false",
        VIEW,
    ),
    "a default that calls a definer": (
        f"create function extensions.d() returns text {DEFINER} as $$ begin"
        f" return ({EVERYBODYS}); end $$;"
        "alter table public.token_events alter column meter_photo_url set default extensions.d()",
        "token_events",
    ),
    "a trigger that nobody declared": (
        f"create function extensions.t() returns trigger {DEFINER} as $$ begin"
        f" if new.notes like 'sum %' then new.notes := ({EVERYBODYS}); end if;"
        " return new; end $$; create trigger zz before insert on public.token_events"
        " for each row execute function extensions.t()",
        EVENTS,
    ),
    "a trigger that keeps what should be erased": (
        "create function public.keep() returns trigger language plpgsql set search_path = ''"
        " as $$ begin return null; end $$; create trigger keep before delete"
        " on public.recalculation_batches for each row execute function public.keep()",
        BATCHES,
    ),
    "nothing erases the private lists": (
        "drop trigger user_profiles_erase_user on public.user_profiles",
        PROJECTION,
    ),
    "a rule with its owner's rights": (
        "create rule r as on delete to public.electricity_readings where old.notes = 'steal'"
        " do also update public.user_profiles set display_name ="
        " (select string_agg(notes, ',') from public.token_events)"
        " where id = old.user_id",
        LEGACY,
    ),
    "a declared definer with another body": (
        "create or replace function ledger.sync_inserts() returns trigger language plpgsql"
        " security definer set search_path = '' as $$ begin"
        " perform ledger.migrate_readings((select array_agg(n.id) from new_rows as n), null, true);"
        " return null; end $$",
        "ledger.sync_inserts()",
    ),
    "a guard that lets adjustments pass": (
        "do $$ begin execute replace(pg_get_functiondef("
        "'ledger.guard_event_update()'::regprocedure), 'v_kept.is_voided := old.is_voided;',"
        " 'if old.event_type = ''ADJUSTMENT'' then return new; end if;"
        " v_kept.is_voided := old.is_voided;'); end $$",
        "ledger.guard_event_update()",
    ),
    "a setting switches row level security off": (
        "alter role authenticated set row_security = off",
        "authenticated",
    ),
    "an update of a found table that gives rows away": (
        "create policy gift on public.electricity_readings for update to authenticated"
        " using (auth.uid() = user_id)"
        " with check (auth.uid() = user_id or notes like '%gift%')",
        LEGACY,
    ),
    "adjustments may be in another's name": (
        'alter policy "Users record their own events, in their own name" on public.token_events'
        " with check (user_id = (select auth.uid()) and (created_by is null or"
        " created_by = (select auth.uid()) or event_type = 'ADJUSTMENT') and (metadata is null or"
        " not (metadata ? 'migrated_from')))",
        EVENTS,
    ),
    "corrections may be in another's name": (
        'alter policy "Users record their own recalculations" on public.recalculation_batches'
        " with check (user_id = (select auth.uid()) and (created_by is null or"
        " created_by = (select auth.uid()) or trigger_type = 'MANUAL_CORRECTION'))",
        BATCHES,
    ),
    "a unique index that only includes the user": (
        "create unique index u on public.recalculation_batches (rollback_reason)"
        " include (user_id) where rollback_reason like 'x%'",
        BATCHES,
    ),
    "an exclusion that knows no user": (
        "alter table public.recalculation_batches add exclude using btree"
        " (trigger_event_id with =)",
        BATCHES,
    ),
    "a unique index of the legacy table": (
        "create unique index u on public.electricity_readings (meter_photo_url)",
        LEGACY,
    ),
    "a right that can be passed on": (
        "grant select on public.token_events to authenticated with grant option",
        EVENTS,
    ),
    "a type of somebody else's": (
        "grant create on schema ledger to service_role;"
        "alter type ledger.span owner to service_role",
        "type ledger.span",
    ),
    "a private table in a publication": (
        "create publication p for table ledger.migrated_readings",
        "ledger.migrated_readings",
    ),
    "a right to write the view": (
        "grant delete on public.electricity_readings_v to authenticated",
        VIEW,
    ),
    "a guard that fires at the wrong moment": (
        "drop trigger token_events_guard_delete on public.token_events;"
        "create trigger token_events_guard_delete after update on public.token_events"
        " referencing old table as old_rows for each statement"
        " execute function ledger.guard_event_delete()",
        EVENTS,
    ),
    "the void of a target is held by another column": (
        "alter table public.token_events drop constraint token_events_void_of_event_tenant_fkey;"
        "alter table public.token_events add constraint token_events_void_of_event_tenant_fkey"
        " foreign key (user_id, recalc_batch_id) references public.token_events (user_id, id)"
        " not valid",
        EVENTS,
    ),
}
# Who somebody is, forged by whoever owns auth.uid(): needs the superuser.
FORGED = (
    "create or replace function auth.uid() returns uuid language sql stable as $$"
    " select coalesce(current_setting('request.jwt.claims', true)::jsonb"
    " -> 'user_metadata' ->> 'acting_as',"
    " current_setting('request.jwt.claims', true)::jsonb ->> 'sub')::uuid $$"
)
# Users lose what is theirs: then the denials beside it prove nothing either.
LOSSES = {
    "a user sees nothing of the projection": (
        'drop policy "Users see their own readings" on ledger.readings',
        PROJECTION,
    ),
    "a user sees no events of their own": (
        'drop policy "Users see their own events" on public.token_events',
        EVENTS,
    ),
    "a user may not read the view": (
        "revoke select on public.electricity_readings_v from authenticated",
        VIEW,
    ),
    "a user may not call for positions": (
        "revoke execute on function public.calculate_user_positions(uuid) from authenticated",
        POSITIONS,
    ),
    "a user may not insert": (
        "revoke insert on public.token_events from authenticated;"
        "revoke insert (id, user_id) on public.token_events from authenticated",
        EVENTS,
    ),
    "a user may not void": (
        'drop policy "Users void their own events" on public.token_events',
        EVENTS,
    ),
    "an id is unique for all users together": (
        "create unique index too_narrow on public.token_events (idempotency_key)",
        EVENTS,
    ),
}
# Nobody gains anything yet: only who reads the catalog sees it. The words of the finding.
WEAKNESSES = {
    "a new private table is open": (
        'create table ledger."new one" (a int); grant select on ledger."new one" to authenticated',
        Section.COVERAGE,
        'table ledger."new one" is not declared|ledger.new one is not declared',
    ),
    "a new view over the materialized view": (
        "create view public.mine with (security_barrier) as"
        " select * from public.electricity_readings_mv where user_id = (select auth.uid());"
        "grant select on public.mine to authenticated",
        Section.LINTS,
        "view public.mine runs with its owner's rights, over public.electricity_readings_mv",
    ),
    "a new view over the projection": (
        "create view public.mine as select * from ledger.readings",
        Section.LINTS,
        "view public.mine runs with its owner's rights, over ledger.readings",
    ),
    "a definer looks names up where its caller says": (
        "alter function ledger.time_zone() reset search_path",
        Section.LINTS,
        "looks names up wherever its caller says",
    ),
    "a function runs what it is handed": (
        "create function public.run(q text) returns void language plpgsql set search_path = ''"
        " as $$ begin execute q; end $$;"
        "grant execute on function public.run(text) to authenticated",
        Section.LINTS,
        "runs statements that it puts together",
    ),
    "a function makes somebody else of its caller": (
        "create function public.be(who text) returns text language sql set search_path = ''"
        " as $$ select set_config('request.jwt.claims', who, true) $$;"
        "grant execute on function public.be(text) to authenticated",
        Section.LINTS,
        "a caller could become somebody else",
    ),
    "a policy calls for each row": (
        'alter policy "Users see their own events" on public.token_events'
        " using (user_id = auth.uid())",
        Section.LINTS,
        "lets through more than the caller's own rows",
    ),
    "a policy's column has lost its index": (
        "alter table public.recalculation_batches drop constraint"
        " recalculation_batches_tenant_pkey; drop index if exists"
        " public.recalculation_batches_user_id_created_at_idx",
        Section.LINTS,
        "no valid index of public.recalculation_batches begins with user_id",
    ),
    "a role passes row level security by": (
        "alter role anon bypassrls",
        Section.LINTS,
        "role anon passes row level security by",
    ),
    "a role is a member of another": (
        "grant service_role to authenticated",
        Section.LINTS,
        "role authenticated is a member of service_role",
    ),
    "another role holds a right": (
        "grant select on public.token_events to pg_monitor",
        Section.LINTS,
        "pg_monitor holds select on public.token_events",
    ),
    "what is made in public opens to PUBLIC": (
        "alter default privileges in schema public grant select on tables to public",
        Section.LINTS,
        "opens to public by itself",
    ),
    "a foreign key tells of others' rows": (
        "alter table public.token_events add column batch uuid unique;"
        "alter table public.token_events add foreign key (batch)"
        " references public.token_events (batch)",
        Section.LINTS,
        "foreign key token_events_batch_fkey|foreign key public.token_events_batch_fkey",
    ),
}


@pytest.fixture(scope="module")
def owner(databases: Callable[[int], Databases]) -> Iterator[Connection]:
    """On a proven database with many users, which stays as it is."""
    with proven(databases(default_major())).connect(autocommit=True) as connection:
        yield connection


def test_quiet_first(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        parts = prove_inside(owner, ACCESS)

    assert [finding for part in parts for finding in part.findings] == []
    assert sum(part.tally.denials for part in parts) > 2000
    assert sum(part.tally.allowed for part in parts) > 300
    assert sum(part.tally.vacuous + part.tally.failed for part in parts) == 0


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found_by_doing(owner: Connection, name: str) -> None:
    statements, subject = LEAKS[name]
    with owner.transaction(force_rollback=True):
        owner.execute(statements.encode())
        parts = prove_inside(owner, ACCESS)

    leaks = [
        finding
        for part in parts
        for finding in part.findings
        if part.section in BY_DOING and finding.kind is Kind.LEAK
    ]
    assert subject in {finding.subject for finding in leaks}
    assert all("rollback;" in finding.reproduce and finding.next_step for finding in leaks)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_found_and_leaves_no_denial_standing_alone(owner: Connection, name: str) -> None:
    statements, subject = LOSSES[name]
    with owner.transaction(force_rollback=True):
        owner.execute(statements.encode())
        parts = prove_inside(owner, ACCESS)

    kinds = {(f.subject, f.kind) for part in parts for f in part.findings}
    assert (subject, Kind.LOST) in kinds


@pytest.mark.parametrize("name", WEAKNESSES)
def test_a_weakness_is_found_in_the_catalog(owner: Connection, name: str) -> None:
    statements, section, words = WEAKNESSES[name]
    with owner.transaction(force_rollback=True):
        owner.execute(statements.encode())
        parts = prove_inside(owner, ACCESS)

    texts = [f.text for part in parts if part.section is section for f in part.findings]
    assert [text for text in texts if any(word in text for word in words.split("|"))], texts


@pytest.mark.parametrize("name", DETOURS)
def test_a_way_round_is_found(owner: Connection, name: str) -> None:
    statements, subject = DETOURS[name]
    with owner.transaction(force_rollback=True):
        owner.execute(statements.encode())
        parts = prove_inside(owner, ACCESS)

    assert subject in {finding.subject for part in parts for finding in part.findings}


def test_a_forged_identity_is_found(databases: Callable[[int], Databases]) -> None:
    database = proven(databases(default_major()))
    with (
        database.admin(autocommit=True) as admin,
        database.connect(autocommit=True) as owner,
    ):
        sound = admin.execute("select pg_get_functiondef('auth.uid()'::regprocedure)").fetchall()
        admin.execute(FORGED.encode())
        try:
            with owner.transaction(force_rollback=True):
                parts = prove_inside(owner, ACCESS)
        finally:
            admin.execute(sound[0][0].encode())

    sections = {part.section for part in parts for f in part.findings if f.subject == "auth.uid()"}
    assert sections == {Section.ATTACKS, Section.LINTS}


def test_shadowed_names_are_found(owner: Connection) -> None:
    """A function that looks names up where its caller says takes the caller's tables."""
    with owner.transaction(force_rollback=True):
        owner.execute(
            b"create or replace function public.calculate_user_positions(p_user_id uuid)"
            b" returns table (event_id uuid, user_id uuid, event_type text, event_date timestamptz,"
            b" kwh_amount numeric, token_cost numeric, notes text, meter_photo_url text,"
            b" calculated_position numeric, daily_consumption numeric, is_topup boolean,"
            b" created_at timestamptz) language plpgsql stable as $$ begin return query"
            b" select e.id, e.user_id, null::text, null::timestamptz, 0.0, 0.0, null::text,"
            b" null::text, 0.0, 0.0, true, null::timestamptz from token_events as e"
            b" where e.user_id = p_user_id; end $$"
        )
        parts = prove_inside(owner, ACCESS)

    found = [f for part in parts for f in part.findings]
    assert [f for f in found if f.operation.startswith("temporary tables")]


def test_real_users_are_not_named(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        users = [str(user) for (user,) in owner.execute("select user_id from ledger.heads")]
        owner.execute(b"alter table ledger.readings disable row level security")
        parts = prove_inside(owner, ACCESS)

    shown = " ".join(f"{f.text} {f.reproduce}" for part in parts for f in part.findings)
    assert ":'existing_user_1'" in shown
    assert not [user for user in users if user in shown]


def test_a_denial_without_its_twin_is_vacuous(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute(b'drop policy "Users see their own readings" on ledger.readings')
        parts = prove_inside(owner, ACCESS)

    vacuous = [f for part in parts for f in part.findings if f.kind is Kind.VACUOUS]
    assert {finding.subject for finding in vacuous} >= {PROJECTION, VIEW}
    assert sum(part.tally.vacuous for part in parts) == len(vacuous)
