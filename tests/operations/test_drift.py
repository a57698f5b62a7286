"""Drift: quiet on every edition, and each kind of change is exactly the difference it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.support.database import Database
from tests.support.editions import EDITIONS, Edition, edition_name
from tests.support.rollout import apply, before
from tests.support.servers import Databases, MakeDatabase, Template, binaries_of, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.errors import OperationalError
from toolkit.operations.drift import (
    Difference,
    DifferenceKind,
    Fingerprint,
    compare,
    drift_check,
    expected_fingerprint,
    fingerprint,
    replay,
    starting_shape,
)
from toolkit.operations.drift.scope import made_by, scope_of
from toolkit.rollout.phases import phases
from toolkit.validation.report import Verdict

MISSING, EXTRA, CHANGED = DifferenceKind.MISSING, DifferenceKind.EXTRA, DifferenceKind.CHANGED


def drift_of(database: Database) -> tuple[Difference, ...]:
    with database.connect(autocommit=True) as connection:
        return compare(fingerprint(connection), expected_fingerprint(starting_shape(connection)))


def named(differences: tuple[Difference, ...]) -> list[tuple[str, str]]:
    return [(difference.kind.value, difference.object) for difference in differences]


@pytest.fixture(params=EDITIONS, ids=edition_name)
def edition(request: pytest.FixtureRequest) -> Edition:
    return request.param  # type: ignore[no-any-return]


@contextmanager
def of_edition(databases: Callable[[int], Databases], edition: Edition) -> Iterator[Database]:
    major, point, regime = edition
    owner = databases(major)
    database = owner.make(Template(starting_point=point, regime=regime))
    apply(database)
    yield database
    owner.drop(database)


def test_quiet_on_every_edition(databases: Callable[[int], Databases], edition: Edition) -> None:
    with of_edition(databases, edition) as database:
        assert drift_of(database) == ()


def test_quiet_after_the_real_cli(db: Database) -> None:
    assert drift_of(db) == ()


@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_quiet_with_either_type_of_date(make_database: MakeDatabase, date_type: str) -> None:
    database = make_database(
        StartingPoint.LEGACY_ONLY,
        date_type="timestamptz" if date_type == "timestamptz" else "date",
        unique_days=True,
    )
    apply(database)
    assert drift_of(database) == ()


def test_quiet_halfway(make_database: MakeDatabase) -> None:
    for version in ("20261101000102", "20261101000300"):
        database = make_database(StartingPoint.DUAL_WRITE)
        apply(database, before(version))
        assert drift_of(database) == ()


def test_what_the_app_has_of_its_own_is_its_own(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    with database.connect() as connection:
        connection.execute(
            b"""
            create type mood as enum ('fine');
            alter table token_events add column mood mood, add tags text[] default '{}';
            alter table token_events drop column notes;
            alter table token_events add column notes varchar(900);
            alter table electricity_readings add column mood mood not null default 'fine';
            alter table electricity_readings
              alter kwh_value type numeric(12, 3), alter notes type varchar(10);
            create index app_own on token_events (mood);
            alter table token_events add constraint app_own check (kwh_amount < 1e9);
            create policy "the app's own" on user_profiles using (true);
            create function app_own() returns trigger language plpgsql
            as 'begin return null; end';
            create trigger app_own after insert on token_events
            for each row execute function app_own();
            create table own (a int);
            create view own_v as select 1 as one;
            """
        )
    apply(database)
    with database.connect() as connection:
        connection.execute(
            b"alter table electricity_readings add column later mood;"
            b"alter table token_events add column later mood;"
            b"grant select (later) on token_events to anon"
        )
    assert drift_of(database) == ()


def test_a_connection_of_other_habits_reads_the_same(db: Database) -> None:
    with db.connect(autocommit=True) as connection:
        usual = fingerprint(connection)
        connection.execute(
            "set timezone = 'Asia/Jakarta'; set datestyle = 'German'; set search_path = ledger;"
            "set intervalstyle = 'iso_8601'; set quote_all_identifiers = on"
        )
        assert fingerprint(connection) == usual
        assert connection.execute("show timezone").fetchone() == ("Asia/Jakarta",)


def test_data_and_statistics_are_no_part_of_it(db: Database) -> None:
    with db.connect(autocommit=True) as connection:
        before_, user = fingerprint(connection), db.add_user()
        connection.execute(
            "insert into public.electricity_readings (user_id, date, kwh_value)"
            " values (%s, '2026-01-01', 5)",
            (user,),
        )
        connection.execute("analyze; refresh materialized view public.electricity_readings_mv")
        assert fingerprint(connection).sha256 == before_.sha256


# What is planted as the superuser, the difference that it is, and what the next step says.
PLANTED: dict[str, tuple[str, list[tuple[str, str]], str]] = {
    "a column is gone": (
        "alter table ledger.receipts drop column made_by",
        [("missing", "column ledger.receipts.made_by")],
        "20261101000500_record_operations.sql",
    ),
    "a column too many": (
        "alter table ledger.heads add column stray int",
        [("extra", "column ledger.heads.stray")],
        "drop it",
    ),
    "a column's default": (
        "alter table public.token_events alter column is_voided drop default",
        [("changed", "column public.token_events.is_voided")],
        "run what supabase/migrations/",
    ),
    "a column may be null": (
        "alter table public.token_events alter column created_at drop not null",
        [("changed", "column public.token_events.created_at")],
        "run what supabase/migrations/",
    ),
    "an index is gone": (
        "drop index public.token_events_order",
        [("missing", "index public.token_events_order")],
        "CREATE INDEX CONCURRENTLY token_events_order",
    ),
    "an index of other columns": (
        "drop index ledger.readings_newest;"
        "create index readings_newest on ledger.readings (user_id, date)",
        [("changed", "index ledger.readings_newest")],
        "drop index concurrently ledger.readings_newest; CREATE INDEX CONCURRENTLY",
    ),
    "a policy too many": (
        "create policy leak on public.token_events for select to authenticated using (true)",
        [("extra", 'policy "leak" on public.token_events')],
        'drop policy "leak" on public.token_events;',
    ),
    "a policy that lets everybody through": (
        'alter policy "Users see their own readings" on ledger.readings using (true)',
        [("changed", 'policy "Users see their own readings" on ledger.readings')],
        "20261101000300_create_materialized_view.sql",
    ),
    "a grant too many": (
        "grant insert, delete on public.electricity_readings_v to anon",
        [("extra", "grants on public.electricity_readings_v to anon")],
        "revoke delete, insert on public.electricity_readings_v from anon;",
    ),
    "a grant of a column": (
        "grant insert (reading_id) on public.token_events to authenticated",
        [("extra", "grants on column public.token_events.reading_id to authenticated")],
        "revoke insert (reading_id) on public.token_events from authenticated;",
    ),
    "a lost grant": (
        "revoke select on ledger.readings from authenticated",
        [("missing", "grants on ledger.readings to authenticated")],
        "grant select on ledger.readings to authenticated;",
    ),
    "a function that everybody may call": (
        "grant execute on function ledger.project_everything(uuid[]) to public",
        [("extra", "grants on function ledger.project_everything(p_users uuid[]) to public")],
        "revoke execute on function ledger.project_everything(p_users uuid[]) from public;",
    ),
    "another owner": (
        "alter table ledger.heads owner to supabase_admin",
        [("changed", "owner of ledger.heads")],
        "alter table ledger.heads owner to",
    ),
    "a view that runs with its owner's rights": (
        "alter view public.electricity_readings_v set (security_invoker = false)",
        [("changed", "view public.electricity_readings_v")],
        "20261101000300_create_materialized_view.sql",
    ),
    "a table's options": (
        "alter table ledger.heads reset (fillfactor)",
        [("changed", "table ledger.heads")],
        "20261101000",
    ),
    "row level security": (
        "alter table public.token_events disable row level security",
        [("changed", "table public.token_events")],
        "20261101000",
    ),
    "a function's body": (
        "create or replace function ledger.time_zone() returns text language sql stable"
        " security definer set search_path = '' as 'select ''UTC''::text'",
        [("changed", "function ledger.time_zone()")],
        "20261101000",
    ),
    "a function of the same name": (
        "create function public.calculate_user_positions(text) returns int language sql"
        " as 'select 1'; revoke all on function public.calculate_user_positions(text)"
        " from public, anon, authenticated, service_role;"
        "alter function public.calculate_user_positions(text) owner to postgres",
        [
            ("extra", "function public.calculate_user_positions(text)"),
            ("extra", "owner of function public.calculate_user_positions(text)"),
        ],
        "drop it",
    ),
    "a trigger is gone": (
        "drop trigger token_events_guard_update on public.token_events",
        [("missing", "trigger token_events_guard_update on public.token_events")],
        "CREATE TRIGGER token_events_guard_update",
    ),
    "a trigger is switched off": (
        "alter table public.electricity_readings disable trigger electricity_readings_sync_inserts",
        [("changed", "trigger electricity_readings_sync_inserts on public.electricity_readings")],
        "enable trigger electricity_readings_sync_inserts;",
    ),
    "a rule that swallows": (
        "create rule swallow as on insert to ledger.refresh_log do instead nothing",
        [("extra", "rule swallow on ledger.refresh_log")],
        "drop rule swallow on ledger.refresh_log;",
    ),
    "a constraint is gone": (
        "alter table public.token_events drop constraint token_events_finite",
        [("missing", "constraint token_events_finite on public.token_events")],
        "alter table public.token_events add constraint token_events_finite CHECK",
    ),
    "a weaker constraint": (
        "alter table ledger.refresh_log drop constraint refresh_log_outcome_check,"
        " add constraint refresh_log_outcome_check check (true)",
        [("changed", "constraint refresh_log_outcome_check on ledger.refresh_log")],
        "drop constraint refresh_log_outcome_check;",
    ),
    "a table of a stranger": (
        "create table ledger.stray (); alter table ledger.stray owner to postgres",
        [("extra", "owner of ledger.stray"), ("extra", "table ledger.stray")],
        "",
    ),
}


@pytest.fixture(scope="module", params=[StartingPoint.EMPTY, StartingPoint.DUAL_WRITE])
def migrated(
    request: pytest.FixtureRequest, databases: Callable[[int], Databases]
) -> Iterator[Database]:
    owner = databases(default_major())
    database = owner.make(Template(starting_point=request.param))
    apply(database)
    yield database
    owner.drop(database)


@pytest.mark.parametrize("name", PLANTED)
def test_each_change_is_exactly_that_difference(migrated: Database, name: str) -> None:
    plant, wanted, step = PLANTED[name]
    with migrated.admin() as connection:
        connection.execute("set search_path = public")
        connection.execute(plant.encode())
        shape = starting_shape(connection)
        found = compare(fingerprint(connection), expected_fingerprint(shape))
        connection.rollback()

    assert named(found) == wanted
    assert step in found[0].next_step
    for difference in found:
        assert (difference.expected is None) is (difference.kind is EXTRA)
        assert (difference.actual is None) is (difference.kind is MISSING)


def test_a_changed_function_shows_the_lines_that_differ(migrated: Database) -> None:
    with migrated.connect() as connection:
        connection.execute(
            "create or replace function ledger.refuse_truncate() returns trigger language plpgsql"
            " security invoker set search_path = '' as 'begin return null; end'"
        )
        shape = starting_shape(connection)
        (found,) = compare(fingerprint(connection), expected_fingerprint(shape))
        connection.rollback()

    assert found.lines[0] == "changed: function ledger.refuse_truncate()"
    assert any(line.startswith("-   raise exception") for line in found.lines)
    assert any(line.startswith("+ ") and "return null" in line for line in found.lines)
    assert not any("LANGUAGE" in line for line in found.lines)


def test_a_replay_on_another_version_differs_in_nothing(
    databases: Callable[[int], Databases], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no programs of that version are to be had, the nearest will do."""
    other = binaries_of(17)
    monkeypatch.setattr(replay, "_programs", lambda _: other)
    edition = next(e for e in EDITIONS if e[0] == 15)
    with of_edition(databases, edition) as database:
        with database.connect(autocommit=True) as connection:
            # Not what the cache knows of this shape.
            shape = replace(starting_shape(connection), unique_days=True)
            actual, expected = fingerprint(connection), expected_fingerprint(shape)

        assert (actual.major, expected.major) == (15, 17)
        assert actual.objects != expected.objects
        assert compare(actual, expected) == ()
        assert actual.sha256 == expected.sha256


def test_every_public_object_that_the_phases_make_is_known(db: Database) -> None:
    """The files are read; what reading them overlooks would never be compared."""
    made = scope_of(phases())
    rows = db.rows(
        "select 'public.' || c.relname from pg_class as c"
        " where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm', 'S', 'p')"
    )
    assert {name for (name,) in rows if not made.relation(name)} == set()
    functions = db.rows(
        "select 'public.' || p.proname from pg_proc as p"
        " where p.pronamespace = 'public'::regnamespace"
    )
    assert {name for (name,) in functions if not made.has("function", name)} == set()
    columns = db.rows(
        "select 'public.' || c.relname, a.attname from pg_attribute as a"
        " inner join pg_class as c on c.oid = a.attrelid"
        " where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0"
    )
    assert {(t, c) for t, c in columns if c not in made.columns[t]} == set()
    triggers = db.rows(
        "select t.tgname from pg_trigger as t where not t.tgisinternal and t.tgfoid in (select oid"
        " from pg_proc where pronamespace in ('ledger'::regnamespace, 'public'::regnamespace))"
    )
    names = {one.name for phase in phases() for one in made_by(phase) if one.kind == "trigger"}
    assert {name for (name,) in triggers} == names


def test_the_slow_part_is_done_once(db: Database) -> None:
    told: list[str] = []
    with db.connect(autocommit=True) as connection:
        shape = replace(starting_shape(connection), date_type="timestamptz")
        first = expected_fingerprint(shape, told.append)
        assert expected_fingerprint(shape, told.append) is first
    assert len(told) == 1
    assert "replaying" in told[0]


def test_as_a_check_of_the_validation(db: Database) -> None:
    with db.connect(autocommit=True) as connection:
        quiet = drift_check()(connection)
        connection.execute("drop index public.token_events_void_of_event")
        connection.execute("alter table ledger.heads add column stray int")
        loud = drift_check(keep=1)(connection)

    assert (quiet.verdict, quiet.count) == (Verdict.OK, 0)
    assert quiet.figures["sha256"] == quiet.figures["expected_sha256"]
    assert (loud.verdict, loud.count, len(loud.findings)) == (Verdict.FAIL, 2, 1)
    assert "next: " in loud.findings[0].text
    assert loud.next_step


def test_what_cannot_be_replayed_is_not_in_order(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object, **__: object) -> Fingerprint:
        raise OperationalError("no PostgreSQL here", next_step="--no-drift")

    monkeypatch.setattr("toolkit.operations.drift.check.expected_fingerprint", nothing)
    with db.connect(autocommit=True) as connection:
        result = drift_check()(connection)

    assert (result.verdict, result.next_step) == (Verdict.FAIL, "--no-drift")


def test_a_database_without_the_phases(make_database: MakeDatabase) -> None:
    with (
        make_database(StartingPoint.DUAL_WRITE).connect() as connection,
        pytest.raises(OperationalError, match="has not had the phases"),
    ):
        fingerprint(connection)
