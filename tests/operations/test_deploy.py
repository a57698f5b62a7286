"""A deploy: what it refuses, what it applies, verifies, records and adopts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.deploying import (
    PLANTED,
    QUICK,
    Folder,
    Heard,
    deploys,
    own_folder,
    recorded,
    refused,
    words_of,
)
from tests.support.pgbouncer import transaction_pooler
from tests.support.rollout import history
from tests.support.servers import Databases, MakeDatabase, Template, binaries_of
from tests.support.session_pooler import session_pooler
from toolkit.bootstrap import StartingPoint
from toolkit.connection import parse
from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.local.temporary import temporary_server
from toolkit.operations.deploy import Status, plan_deploy, run_deploy
from toolkit.rollout import checksums, phases, roll_back
from toolkit.rollout.inspect import inspect_folder

PLANTED_VERSION = PLANTED.partition("_")[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return own_folder(tmp_path, monkeypatch)


@pytest.fixture
def pushed(make_database: MakeDatabase) -> Database:
    """Rolled out by plain `supabase db push`: no deploy has recorded anything."""
    return make_database(StartingPoint.DUAL_WRITE, migrated=True)


@pytest.fixture
def app(make_database: MakeDatabase) -> Database:
    """A deployed app before the rollout."""
    return make_database(StartingPoint.DUAL_WRITE)


def nothing_happened(database: Database) -> bool:
    return bool(database.value("select to_regclass('ledger.settings') is null"))


def test_each_file_is_applied_verified_and_recorded(app: Database) -> None:
    first, second = phases()[:2]
    heard = Heard()

    report = deploys(app, replace(QUICK, through=second.version), heard)

    assert [one.version for one in report.applied] == [first.version, second.version]
    assert report.left == tuple(phase.version for phase in phases()[2:])
    assert heard.steps == ["guard", first.migration.stem, second.migration.stem]
    assert heard.has("applied in ")
    assert heard.has(f"recorded as {checksums.short(checksums.checksum(second))}")
    rows = app.rows(
        "select name, checksum, deployed_by, details->>'cli', (details->>'seconds')::float > 0"
        " from ledger.deployments order by version"
    )
    assert [(row[0], row[1]) for row in rows] == [
        (phase.name, checksums.checksum(phase)) for phase in (first, second)
    ]
    assert all("@" in row[2] and row[3] == "3.1.0" and row[4] for row in rows)
    again = deploys(app, replace(QUICK, through=second.version))
    assert (again.applied, again.adopted) == ((), ())


def test_a_plain_push_is_adopted_and_said(pushed: Database) -> None:
    heard = Heard()

    report = deploys(pushed, heard=heard)

    versions = [phase.version for phase in phases()]
    assert list(report.adopted) == versions
    assert recorded(pushed) == [(version, False, True) for version in versions]
    assert heard.has("recorded by nobody yet")
    assert pushed.value("select bool_and((details->>'compared')::boolean) from ledger.deployments")
    assert deploys(pushed).adopted == ()


def test_our_statements_are_counted_as_the_cli_counts_them(pushed: Database) -> None:
    rows = pushed.rows(
        "select version, cardinality(statements) from supabase_migrations.schema_migrations"
        " order by version"
    )

    assert rows == [(file.version, len(file.statements)) for file in inspect_folder()]


def test_what_does_not_hold_is_not_adopted(pushed: Database) -> None:
    pushed.rows("drop view ledger.open_matches")

    error = refused(pushed)

    assert isinstance(error, FindingsError)
    assert "record_operations does not hold" in error.message
    assert phases()[-1].version not in [row[0] for row in recorded(pushed)]


def test_a_file_that_was_pushed_and_changed_since_is_not_adopted(
    pushed: Database, folder: Folder
) -> None:
    file = folder.path / "migrations" / phases()[7].migration.name
    file.write_text(file.read_text() + "\nselect 1;\n")

    error = refused(pushed)

    assert isinstance(error, FindingsError)
    assert file.name in words_of(error)
    assert recorded(pushed) == []


def test_a_recorded_file_that_was_edited_is_refused_with_both_checksums(
    pushed: Database, folder: Folder
) -> None:
    deploys(pushed)
    file = folder.path / "migrations" / phases()[3].migration.name
    before = checksums.short(checksums.checksum(phases()[3]))
    file.write_text(file.read_text() + "-- a remark\n")
    folder.plant("create table public.planted ();")
    after = checksums.short(checksums.checksum(phases()[3]))

    error = refused(pushed)

    assert isinstance(error, FindingsError)
    assert error.details == (
        f"{file.name} was edited after it was applied: applied as {before}, now {after}",
    )
    assert before != after
    assert "put an edited file back" in error.next_step
    assert pushed.value("select to_regclass('public.planted') is null")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (PLANTED, "create index concurrently i on public.token_events (id); select 1;", "CONCURR"),
        (PLANTED, "begin; create table public.planted (); commit;", "BEGIN breaks"),
        (PLANTED, "\\set x 1\nselect 1;", "psql"),
        (PLANTED, "copy public.token_events from stdin;\n", "STDIN"),
        (f"{PLANTED}.down", "drop table public.token_events;", "down-file"),
        ("planted", "select 1;", "skip it silently"),
    ],
)
def test_a_file_that_must_not_be_pushed_is_refused_before_anything_changes(
    app: Database, folder: Folder, name: str, text: str, words: str
) -> None:
    folder.plant(text, name)

    error = refused(app)

    assert isinstance(error, FindingsError)
    assert f"{name}.sql: " in words_of(error)
    assert words in words_of(error)
    assert nothing_happened(app)


def test_another_environments_database_is_refused(pushed: Database) -> None:
    deploys(pushed, replace(QUICK, environment="staging"))
    assert pushed.value("select environment from ledger.settings") == "staging"

    error = refused(pushed, replace(QUICK, environment="production"))

    assert isinstance(error, UsageError)
    assert "'staging'" in error.message
    with pytest.raises(UsageError):
        plan_deploy(pushed.url, environment="production")


def test_a_transaction_pooler_is_refused_with_the_reason(app: Database) -> None:
    with transaction_pooler(app) as url, pytest.raises(OperationalError) as error:
        run_deploy(url, QUICK, Heard())

    assert "transaction pooler" in error.value.message
    assert "session pooler" in error.value.next_step
    assert parse(app.url)["password"] not in words_of(error.value)
    assert nothing_happened(app)


def test_behind_a_session_pooler_the_settings_row_says_what_options_would(app: Database) -> None:
    user = app.add_user()
    app.rows(
        "insert into public.electricity_readings (id, user_id, date, kwh_value)"
        " values (gen_random_uuid(), %s, '2026-01-01', 5)",
        (user,),
    )

    with session_pooler(app, 4) as url:
        options = replace(QUICK, time_zone="Asia/Jakarta", defer_backfill=True)
        report = run_deploy(url, options, Heard())

    assert len(report.applied) == len(phases())
    assert app.rows("select time_zone, defer_backfill from ledger.settings") == [
        ("Asia/Jakarta", False)
    ]
    assert app.value("select count(*) from ledger.pending_readings") == 1


def test_a_plan_through_a_transaction_pooler_is_fine(pushed: Database) -> None:
    with transaction_pooler(pushed) as url:
        assert plan_deploy(url).pending == ()


def test_a_read_only_database_is_refused(app: Database) -> None:
    with app.admin(autocommit=True) as connection:
        connection.execute(
            f"alter database {app.name} set default_transaction_read_only = on".encode()
        )

    error = refused(app)

    assert isinstance(error, OperationalError)
    assert "read-only" in error.message
    assert nothing_happened(app)


def test_a_replica_is_refused() -> None:
    with temporary_server(
        binaries=binaries_of(17), settings={"wal_level": "replica", "max_wal_senders": "1"}
    ) as server:
        databases = Databases(server)
        app = databases.make(Template(starting_point=StartingPoint.DUAL_WRITE))
        server.stop()
        signal = server.status().data / "standby.signal"
        signal.touch()
        signal.chmod(0o644)
        server.start()
        error = refused(app)

    assert isinstance(error, OperationalError)
    assert "read-only replica" in error.message


def test_a_phase_that_was_rolled_back_may_be_edited_and_deployed_again(
    pushed: Database, folder: Folder
) -> None:
    deploys(pushed)
    last = phases()[-1]
    with pushed.connect(autocommit=True) as connection:
        roll_back(connection, last)
    last.migration.write_text(last.migration.read_text() + "select 1;\n")

    report = deploys(pushed)

    assert [one.version for one in report.applied] == [last.version]
    with pushed.connect() as connection:
        assert checksums.recorded(connection)[last.version] == checksums.checksum(last)
    assert deploys(pushed).applied == ()


def test_a_version_that_no_file_has(app: Database) -> None:
    error = refused(app, replace(QUICK, through="7"))

    assert isinstance(error, UsageError)
    assert nothing_happened(app)


def test_the_plan_reads_and_changes_nothing(app: Database, pushed: Database) -> None:
    assert {one.status for one in plan_deploy(app.url).files} == {Status.PENDING}
    assert {one.status for one in plan_deploy(None).files} == {Status.UNKNOWN}
    assert {one.status for one in plan_deploy(pushed.url).files} == {Status.ADOPTABLE}
    deploys(pushed)
    assert {one.status for one in plan_deploy(pushed.url).files} == {Status.APPLIED}
    assert nothing_happened(app)


@pytest.mark.parametrize(
    ("text", "message", "detail", "step"),
    [
        (
            "select 1;\ncreate table\npublic.token_events ();",
            '"token_events" already exists (42P07)',
            "statement 2 of 2, line 2: create table",
            "doctor",
        ),
        (
            "create table auth.x ();",
            "permission denied for schema auth (42501)",
            "statement 1 of 1, line 1: create table auth.x ()",
            "owner",
        ),
        (
            "do $$ begin raise exception 'not yet' using errcode = 'ML002',"
            " detail = 'Next: feed the cat'; end $$;",
            "not yet (ML002)",
            "cause: the data cannot move yet",
            "feed the cat",
        ),
        (
            "set local statement_timeout = 50; select pg_sleep(5);",
            "statement timeout (57014)",
            "cause: it was cancelled",
            "statement_timeout",
        ),
        (
            "insert into supabase_migrations.schema_migrations values ('20270101000000');",
            "duplicate key value violates unique constraint",
            "cause: another push recorded the same file",
            "take",
        ),
        (
            "do $$ begin raise disk_full; end $$;",
            "(53100)",
            "cause: the server's disk is full",
            "make room",
        ),
        (
            "do $$ begin perform pg_terminate_backend(pg_backend_pid()); end $$;",
            "terminating connection due to administrator command (57P01)",
            "cause: the server ended the connection",
            "it continues with this file",
        ),
    ],
)
def test_a_failing_statement_is_one_clear_error(
    pushed: Database, folder: Folder, text: str, message: str, detail: str, step: str
) -> None:
    folder.plant(text)

    error = refused(pushed)

    assert isinstance(error, OperationalError)
    assert error.message.startswith(f"{PLANTED}.sql failed: ")
    assert message in error.message
    assert any(line.startswith(detail) for line in error.details), error.details
    assert step in error.next_step
    assert "nothing of this file was kept; the files before it stay applied" in error.details
    assert PLANTED_VERSION not in history(pushed)
    assert PLANTED_VERSION not in [row[0] for row in recorded(pushed)]


def test_a_phase_that_does_not_hold_stops_and_stays_open(pushed: Database, folder: Folder) -> None:
    holds = (
        "do $$ begin if to_regclass('public.more') is null then raise 'no more'; end if; end $$;"
    )
    folder.plant("create table public.planted ();", verification=holds)
    folder.plant("select 1;", "20270101000001_later")

    error = refused(pushed)

    assert isinstance(error, FindingsError)
    assert "no more" in error.message
    assert recorded(pushed)[-1] == (PLANTED_VERSION, True, False)
    assert "no more" in refused(pushed).message
    pushed.rows("create table public.more ()")
    report = deploys(pushed)
    assert report.adopted == (PLANTED_VERSION,)
    assert report.continued == (PLANTED_VERSION,)
    assert [one.name for one in report.applied] == ["later"]
    assert not [row for row in recorded(pushed) if row[1]]
