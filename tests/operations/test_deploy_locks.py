"""Deploys beside others: a second deployer, long readers, an earlier push that still works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.database import Connection, Database
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
from tests.support.processes import wait_until
from tests.support.rollout import history
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.connection import connect
from toolkit.errors import OperationalError
from toolkit.operations.deploy import DeployReport, holder
from toolkit.operations.deploy.guard import CLI_NAMES
from toolkit.operations.deploy.lock import at, operator

VERSION = PLANTED.partition("_")[0]
ALTER = "set local lock_timeout = '5s';\nalter table public.token_events add column planted int;"
SLEEP = "create table public.planted (); select pg_sleep(600), 'of the planted file';"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return own_folder(tmp_path, monkeypatch)


@pytest.fixture
def database(make_database: MakeDatabase, folder: Folder) -> Database:
    """Rolled out and recorded; what a test plants is all that is pending."""
    database = make_database(StartingPoint.DUAL_WRITE, migrated=True)
    deploys(database)
    return database


@pytest.fixture
def reader(database: Database) -> Iterator[Connection]:
    """Somebody who has read the events in a transaction that goes on."""
    with database.admin(name="long report") as connection:
        connection.execute("select count(*) from public.token_events")
        yield connection
        connection.rollback()


@contextmanager
def deploying(database: Database, heard: Heard) -> Iterator[Future[DeployReport]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(deploys, database, QUICK, heard)


def sleeping(database: Database) -> list[int]:
    rows = database.rows(
        "select pid from pg_stat_activity where datname = current_database() and state = 'active'"
        " and query like '%of the planted file%' and pid <> pg_backend_pid()"
    )
    return [int(row[0]) for row in rows]


def cancel(database: Database, pids: list[int]) -> None:
    database.rows("select pg_cancel_backend(pid) from unnest(%s::int[]) as pid", (pids,))


def test_a_second_deployer_is_told_who_and_since_when(database: Database, folder: Folder) -> None:
    folder.plant(SLEEP)
    with deploying(database, Heard()) as first:
        wait_until(lambda: bool(sleeping(database)))
        with database.connect() as connection:
            found = holder(connection)
        assert found is not None

        error = refused(database)

        assert isinstance(error, OperationalError)
        assert error.exit_code == 3
        assert f"{operator()[:34]} {os.getpid()}" in error.message
        assert f"since {at(found.since)}" in error.message
        assert f"pg_terminate_backend({found.pid})" in error.next_step
        cancel(database, sleeping(database))
        with pytest.raises(OperationalError, match="57014"):
            first.result(timeout=60)
    with database.connect() as connection:
        assert holder(connection) is None
    folder.plant("select 1;")
    assert [one.version for one in deploys(database).applied] == [VERSION]


def test_the_lock_of_a_holder_that_died_is_gone_and_its_deploy_says_so(
    database: Database, folder: Folder
) -> None:
    folder.plant("select pg_sleep(2), 'of the planted file';")
    with deploying(database, Heard()) as first:
        wait_until(lambda: bool(sleeping(database)))
        with database.connect() as connection:
            found = holder(connection)
            assert found is not None
            connection.execute("select pg_terminate_backend(%s)", (found.pid,))
        with pytest.raises(OperationalError, match="another deploy may begin"):
            first.result(timeout=60)
    assert VERSION in history(database)
    assert recorded(database)[-1] == (VERSION, True, False)

    heard = Heard()
    report = deploys(database, heard=heard)

    assert (report.applied, report.adopted) == ((), (VERSION,))
    assert heard.has(f"was cut off at {VERSION}")
    assert recorded(database)[-1] == (VERSION, False, True)


def test_a_reader_for_a_while_makes_it_give_way_and_try_again(
    database: Database, folder: Folder, reader: Connection
) -> None:
    folder.plant(ALTER)

    def let_go(note: str) -> None:
        if note.startswith("gave way") and "attempt 3" in note:
            reader.rollback()

    heard = Heard(on_note=let_go)
    report = deploys(database, heard=heard)

    assert [one.attempts for one in report.applied] == [3]
    gave_way = [note for note in heard.notes if note.startswith("gave way")]
    assert all("long report" in note and "held" in note for note in gave_way)
    assert [note.rpartition("in ")[2] for note in gave_way] == ["0.05 s", "0.1 s"]


def test_while_it_pauses_nobody_queues_behind_it(
    database: Database, folder: Folder, reader: Connection
) -> None:
    folder.plant(ALTER)
    seen: list[int] = []

    def read(note: str) -> None:
        if note.startswith("gave way"):
            with database.connect() as connection:
                connection.execute("set local lock_timeout = '50ms'")
                connection.execute("select count(*) from public.token_events")
                seen.append(1)

    refused(database, replace(QUICK, retries=3), Heard(on_note=read))

    assert len(seen) == 2


def test_a_reader_forever_is_named(database: Database, folder: Folder, reader: Connection) -> None:
    folder.plant(ALTER)

    error = refused(database, replace(QUICK, retries=2))

    assert isinstance(error, OperationalError)
    assert "failed after 2 attempts" in error.message
    name = f"waited for process {reader.info.backend_pid} (long report, role supabase_admin"
    assert any(line.startswith(name) for line in error.details), error.details
    assert "pg_terminate_backend" in error.next_step
    assert VERSION not in [row[0] for row in recorded(database)]


def test_the_files_own_lock_timeout_is_tried_again_too(
    database: Database, folder: Folder, reader: Connection
) -> None:
    folder.plant(ALTER.replace("'5s'", "'20ms'"))
    heard = Heard(on_note=lambda note: reader.rollback() if "gave way" in note else None)

    report = deploys(database, replace(QUICK, lock_timeout=5), heard)

    assert [one.attempts for one in report.applied] == [2]


def test_a_long_wait_of_a_concurrent_build_is_told_and_not_ended(
    database: Database, folder: Folder, reader: Connection
) -> None:
    reader.execute("lock table public.token_events in row exclusive mode")
    folder.plant("create index concurrently if not exists planted on public.token_events (notes);")
    heard = Heard(on_note=lambda note: reader.rollback() if "long report" in note else None)

    report = deploys(database, heard=heard)

    assert [one.attempts for one in report.applied] == [1]
    assert heard.has("waits for a lock: process")


def test_what_a_cut_off_concurrent_build_left_is_built_anew(
    database: Database, folder: Folder, reader: Connection
) -> None:
    build = "create index concurrently if not exists planted on public.token_events (notes);"
    with database.connect(autocommit=True) as connection:
        reader.execute("lock table public.token_events in row exclusive mode")
        connection.execute("set statement_timeout = 300")
        with pytest.raises(Exception, match="statement timeout"):
            connection.execute(build.encode())
    reader.rollback()
    valid = "select indisvalid from pg_index where indexrelid = 'public.planted'::regclass"
    assert database.value(valid) is False
    folder.plant(build)
    heard = Heard()

    deploys(database, heard=heard)

    assert database.value(valid) is True
    assert heard.has("dropped public.planted, which a cut-off build had left invalid")


@contextmanager
def earlier_push(database: Database, text: str, *, name: str = CLI_NAMES[0]) -> Iterator[int]:
    """The backend of a CLI that was killed: its statement works on. Its process id."""
    with connect(database.url, application_name=name) as connection:
        pid = connection.info.backend_pid
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(connection.execute, text.encode())
            try:
                wait_until(lambda: pid in sleeping(database))
                yield pid
            finally:
                cancel(database, [pid])
                running.exception(timeout=60)
        connection.rollback()


@pytest.mark.parametrize("name", ["psql", CLI_NAMES[0]])
def test_an_earlier_push_that_still_works_is_refused_by_its_process(
    database: Database, folder: Folder, name: str
) -> None:
    text = SLEEP.partition("; ")[2]
    folder.plant(SLEEP)
    with earlier_push(database, f"-- of the CLI\n{text.rstrip(';')}", name=name) as pid:
        error = refused(database)

    assert isinstance(error, OperationalError)
    assert f"process {pid} ({name}), connected since " in error.message
    assert "its statement since " in error.message
    assert "select pg_sleep(600)" in error.message
    assert f"select pg_cancel_backend({pid})" in error.next_step
    assert VERSION not in history(database)


def test_a_cli_that_changes_our_tables_by_another_file_is_seen_too(
    database: Database, folder: Folder
) -> None:
    text = "lock table public.token_events; select pg_sleep(600), 'of the planted file'"
    with earlier_push(database, text) as pid:
        assert f"process {pid} " in refused(database).message
    with earlier_push(database, text, name="an app"):
        assert deploys(database).applied == ()


def test_an_app_that_calls_itself_as_the_cli_does_is_left_alone(database: Database) -> None:
    with earlier_push(database, "select pg_sleep(600), 'of the planted file'"):
        assert deploys(database).applied == ()


def test_it_waits_for_an_earlier_push(database: Database, folder: Folder) -> None:
    folder.plant(SLEEP)
    with earlier_push(database, SLEEP.partition("; ")[2].rstrip(";")) as pid:
        heard = Heard(
            on_note=lambda note: cancel(database, [pid]) if "still works" in note else None
        )
        folder_now = folder.path / "migrations" / f"{PLANTED}.sql"
        options = replace(QUICK, wait=60, through=history(database)[-1])
        deploys(database, options, heard)
    assert folder_now.exists()
    assert heard.has(f"waiting: process {pid}")


def test_another_push_of_the_same_file_meanwhile_is_recognised(
    database: Database, folder: Folder
) -> None:
    folder.plant("create table public.planted ();")

    def push_it(step: str) -> None:
        if step == PLANTED:
            with database.connect() as connection:
                connection.execute("create table public.planted ()")
                connection.execute(
                    "insert into supabase_migrations.schema_migrations values (%s, %s, %s)",
                    (VERSION, ["create table public.planted ()"], "planted"),
                )

    heard = Heard(on_step=push_it)
    deploys(database, heard=heard)

    assert history(database)[-1] == VERSION
    assert recorded(database)[-1][:2] == (VERSION, False)


def test_words_of_a_refusal_hold_no_password(database: Database, folder: Folder) -> None:
    folder.plant("do $$ begin raise 'at postgresql://me:hidden-word@h/x'; end $$;")

    assert "hidden-word" not in words_of(refused(database))
