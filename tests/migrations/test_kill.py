"""Killed in the middle of phase 4: nothing or everything, and the next push completes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import sql

from tests.support.database import Connection, Database
from tests.support.household import ZONE
from tests.support.processes import kill, wait_until
from tests.support.rollout import DATA_PHASE, apply, before, history, table_texts
from tests.support.servers import OwnDatabases, Template, binaries_of
from toolkit.bootstrap import StartingPoint
from toolkit.connection import connect
from toolkit.demo.generator import generate
from toolkit.demo.loading import load
from toolkit.demo.model import Spec
from toolkit.errors import OperationalError
from toolkit.local.temporary import temporary_server
from toolkit.rollout import PushReport, phases, push, verify

ROWS = 20_000
HALFWAY = 10_000


@pytest.fixture(scope="module")
def own_databases() -> Iterator[OwnDatabases]:
    """A server that may be killed; what it says is committed survives the kill of its processes."""
    settings = {"synchronous_commit": "on"}
    with temporary_server(binaries=binaries_of(17), settings=settings) as server:
        yield OwnDatabases(server)


@pytest.fixture(scope="module")
def prepared(own_databases: OwnDatabases) -> Database:
    """A dual-write database of many rows, rolled out up to the data; to be copied."""
    database = own_databases.make(Template(starting_point=StartingPoint.DUAL_WRITE))
    with database.admin() as connection:
        load(connection, generate(Spec(seed=3, rows=ROWS, users=60, time_zone=ZONE)))
    apply(database, before(DATA_PHASE), time_zone=ZONE)
    return database


@pytest.fixture
def waiting_for_data(
    own_databases: OwnDatabases, prepared: Database, request: pytest.FixtureRequest
) -> Database:
    server, name = own_databases.server, request.node.name[:40]
    with connect(server.admin_url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} owner postgres").format(
                sql.Identifier(name), sql.Identifier(prepared.name)
            )
        )
    return Database(
        name=name,
        url=server.url(name),
        admin_url=server.admin_url(name),
        authenticator_url=server.url(name, "authenticator"),
        major=server.binaries.major,
    )


def test_the_server_is_killed_while_it_migrates(
    own_databases: OwnDatabases, waiting_for_data: Database
) -> None:
    database = waiting_for_data
    found = fingerprint(database)
    with halfway(database) as pushing:
        pid = own_databases.server.status().pid
        assert pid is not None
        kill(pid)
        with pytest.raises(OperationalError):
            pushing.result(timeout=120)
        own_databases.server.start()
    assert nothing_happened(database, found)
    completes(database)


def test_the_cli_is_killed_while_the_server_migrates(waiting_for_data: Database) -> None:
    database = waiting_for_data
    found = fingerprint(database)
    with halfway(database) as pushing:
        for pid in processes_that_name(database.name):
            kill(pid)
        with pytest.raises(OperationalError):
            pushing.result(timeout=120)
        assert migrating(database), "the server works on, nobody told it"
    wait_until(lambda: not others(database))
    if DATA_PHASE in history(database):
        assert database.value("select count(*) from ledger.pending_readings") == 0
    else:
        assert nothing_happened(database, found)
    completes(database)


@contextmanager
def halfway(database: Database) -> Iterator[Future[PushReport]]:
    """A push that has come to about the middle of its inserts and waits there.

    Somebody has written an event under the id that the migration is going to use, and has not
    committed yet: so the migration waits for them. At the end they take it back.
    """
    with ThreadPoolExecutor(1) as pool:
        blocker = database.admin(name="blocker")
        try:
            occupy(blocker)
            pushing = pool.submit(push, database.url)
            wait_until(lambda: migrating(database) or pushing.done())
            assert not pushing.done(), pushing.exception()
            yield pushing
        finally:
            blocker.close()


def occupy(connection: Connection) -> None:
    # No triggers: they would take the user's turn, and the migration would wait at its beginning.
    connection.execute("set session_replication_role = replica")
    connection.execute(
        "insert into public.token_events (id, user_id, event_type, event_date, kwh_amount)"
        " select r.id, r.user_id, 'METER_READING', now(), 1"
        " from public.electricity_readings as r"
        " where r.kwh_value >= 0 and not exists (select from public.token_events as e"
        " where e.user_id = r.user_id and e.id = r.id)"
        " order by r.user_id, r.date offset %s limit 1",
        (HALFWAY,),
    )


def migrating(database: Database) -> bool:
    """Whether a backend waits for the blocker inside the data migration."""
    count: int = database.value(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock' and wait_event = 'transactionid'"
        " and query like '%migrate_data()%'"
    )
    return count == 1


def others(database: Database) -> bool:
    count: int = database.value(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and pid <> pg_backend_pid()"
    )
    return count > 0


def processes_that_name(database: str) -> list[int]:
    """The CLI's processes that work on a database: its URL is among their arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "push" in words and any(f"/{database}" in word for word in words):
            found.append(int(folder.name))
    assert found
    return found


def fingerprint(database: Database) -> str:
    """Of everything that the data migration writes, but for locks and counters."""
    tables = [("public", "token_events"), ("ledger", "readings"), ("ledger", "migrated_readings")]
    tables += [("ledger", "merges"), ("ledger", "migration_rejects"), ("ledger", "migration_runs")]
    digest = hashlib.sha256()
    with database.connect() as connection:
        for schema, table in tables:
            digest.update("\n".join(table_texts(connection, schema, table)).encode())
    return digest.hexdigest()


def nothing_happened(database: Database, found: str) -> bool:
    return DATA_PHASE not in history(database) and fingerprint(database) == found


def completes(database: Database) -> None:
    push(database.url)
    assert history(database) == [phase.version for phase in phases()]
    with database.connect() as connection:
        verify(connection, phases())
    assert database.rows("select * from ledger.migration_differences()") == []
    counted = database.value(
        "select count(*) from token_events where not is_voided and event_type <> 'VOID'"
    )
    assert database.value("select count(*) from electricity_readings_v") == counted >= ROWS - 100
