"""A deploy killed in the middle of a file, in each way there is: the next one continues it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.database import Connection, Database
from tests.support.deploying import PROGRAM, QUICK, Heard, deploys, recorded, refused
from tests.support.household import ZONE
from tests.support.processes import CHECKOUT, environment, kill, wait_until
from tests.support.rollout import DATA_PHASE, apply, before, history
from tests.support.servers import OwnDatabases, Template, binaries_of
from toolkit.bootstrap import StartingPoint
from toolkit.demo.generator import generate
from toolkit.demo.loading import load
from toolkit.demo.model import Spec
from toolkit.errors import OperationalError
from toolkit.local.temporary import temporary_server
from toolkit.operations.deploy import DeployReport, holder
from toolkit.rollout import phases, verify

PATIENT = replace(QUICK, lock_timeout=60, wait=60)
VERSIONS = [phase.version for phase in phases()]


@pytest.fixture(scope="module")
def own_databases() -> Iterator[OwnDatabases]:
    """A server that may be killed; what it says is committed survives the kill of its processes."""
    settings = {"synchronous_commit": "on"}
    with temporary_server(binaries=binaries_of(17), settings=settings) as server:
        yield OwnDatabases(server)


@pytest.fixture
def database(own_databases: OwnDatabases) -> Iterator[Database]:
    """A dual-write database, rolled out up to the data."""
    database = own_databases.make(Template(starting_point=StartingPoint.DUAL_WRITE))
    with database.admin() as connection:
        load(connection, generate(Spec(seed=3, rows=400, users=4, time_zone=ZONE)))
    apply(database, before(DATA_PHASE), time_zone=ZONE)
    yield database
    own_databases.drop(database)


@contextmanager
def blocker(database: Database) -> Iterator[Connection]:
    """While it holds its key, the migration stays in its middle.

    It sleeps there instead of waiting for a lock, for which the files would give way.
    """
    with database.connect(autocommit=True, name="blocker") as connection:
        connection.execute(
            "create function ledger.stay() returns trigger language plpgsql as $$ begin"
            " while exists (select from pg_locks where locktype = 'advisory' and objid = 4711)"
            " loop perform pg_sleep(0.02); end loop; return null; end $$;"
            "create trigger stay after insert on ledger.migrated_readings"
            " for each statement execute function ledger.stay()"
        )
        connection.execute("select pg_advisory_lock(4711)")
        yield connection
        if not connection.closed and not connection.broken:
            let_go(connection)


def let_go(connection: Connection) -> None:
    connection.execute("select pg_advisory_unlock_all()")


def halfway(database: Database) -> bool:
    count: int = database.value(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event = 'PgSleep' and query like '%migrate_data()%'"
    )
    return count == 1


def migrating(database: Database) -> list[int]:
    rows = database.rows(
        "select pid from pg_stat_activity where datname = current_database()"
        " and state = 'active' and query like '%migrate_data()%' and pid <> pg_backend_pid()"
    )
    return [int(row[0]) for row in rows]


@contextmanager
def deploying(database: Database, heard: Heard) -> Iterator[Future[DeployReport]]:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(deploys, database, PATIENT, heard)
        wait_until(lambda: halfway(database) or running.done())
        assert not running.done(), running.exception()
        yield running


@contextmanager
def command(database: Database, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs meterledger deploy, as a program of its own that has come to the middle of the data."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "deploy", "--yes", "--lock-timeout", "60"],
        cwd=folder,
        env=environment(
            {
                "METERLEDGER_DATABASE_URL": database.url,
                "METERLEDGER_SUPABASE_CLI": str(CHECKOUT / "node_modules/.bin/supabase"),
            }
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_until(lambda: halfway(database) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        yield process


def processes_of_the_cli(database: Database) -> list[int]:
    """Those that push to this very database: another worker's server has one of the same name."""
    where = f":{urlsplit(database.url).port}/{database.name}?"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "push" in words and any(where in word for word in words):
            found.append(int(entry.name))
    return found


def test_only_the_processes_of_this_database_count(database: Database) -> None:
    port = urlsplit(database.url).port
    assert port is not None
    waits = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", "db", "push"]
    remote = f"postgresql://postgres@127.0.0.1:{{}}/{database.name}?sslmode=disable"

    def push_to(port: int) -> subprocess.Popen[bytes]:
        words = [*waits, remote.format(port)]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    with push_to(port) as ours, push_to(port + 1) as another:
        for process in (ours, another):
            assert process.stdout is not None
            process.stdout.readline()  # it runs
        assert processes_of_the_cli(database) == [ours.pid]


def unlocked(database: Database) -> bool:
    with database.connect() as connection:
        return holder(connection) is None


def completes(database: Database, heard: Heard | None = None) -> DeployReport:
    report = deploys(database, PATIENT, heard)
    assert history(database) == VERSIONS
    assert [row[:2] for row in recorded(database)] == [(version, False) for version in VERSIONS]
    with database.connect() as connection:
        verify(connection, phases())
    assert database.rows("select * from ledger.migration_differences()") == []
    assert database.value("select count(*) > 300 from ledger.migrated_readings")
    return report


def test_the_command_is_killed_and_its_cli_works_on(database: Database, tmp_path: Path) -> None:
    with blocker(database) as blocking:
        with command(database, tmp_path) as process:
            process.kill()
            process.communicate(timeout=60)
        wait_until(lambda: unlocked(database))
        [pid] = migrating(database)

        error = refused(database)

        assert f"process {pid} " in error.message
        assert f"pg_cancel_backend({pid})" in error.next_step
        let_go(blocking)
        heard = Heard()
        report = completes(database, heard)
    assert heard.has(f"was cut off at {DATA_PHASE}")
    assert report.continued == (DATA_PHASE,)


def test_the_command_and_its_cli_are_killed_and_the_work_is_cancelled(
    database: Database, tmp_path: Path
) -> None:
    with blocker(database):
        with command(database, tmp_path) as process:
            process.kill()
            for pid in processes_of_the_cli(database):
                kill(pid)
            process.communicate(timeout=60)
        wait_until(lambda: unlocked(database))
        [pid] = migrating(database)
        assert f"process {pid} " in refused(database).message
        database.rows("select pg_cancel_backend(%s)", (pid,))
        wait_until(lambda: not migrating(database))
    assert DATA_PHASE not in history(database)
    heard = Heard()
    report = completes(database, heard)
    assert heard.has("before it was applied; continuing")
    assert DATA_PHASE in [one.version for one in report.applied]


def test_the_cli_is_killed_and_the_deploy_waits_for_the_server(database: Database) -> None:
    heard = Heard()
    with blocker(database) as blocking, deploying(database, heard) as running:
        for pid in processes_of_the_cli(database):
            kill(pid)
        wait_until(lambda: heard.has("an earlier push still works in the server"))
        let_go(blocking)
        try:
            report = running.result(timeout=120)
        except OperationalError:  # the server noticed in time that its client was gone
            assert DATA_PHASE not in history(database)
        else:
            assert DATA_PHASE in [one.version for one in report.applied]
            assert heard.has("though the CLI was killed")
    completes(database)


def test_the_server_is_killed(own_databases: OwnDatabases, database: Database) -> None:
    with ThreadPoolExecutor(1) as pool, blocker(database) as blocking:
        running = pool.submit(deploys, database, PATIENT)
        wait_until(lambda: halfway(database) or running.done())
        pid = own_databases.server.status().pid
        assert pid is not None
        kill(pid)
        error = running.exception(timeout=120)
        blocking.close()
    own_databases.server.start()
    assert isinstance(error, OperationalError), error
    assert "deploy again" in error.next_step
    assert DATA_PHASE not in history(database)
    assert recorded(database)[-1] == (DATA_PHASE, True, False)
    assert completes(database).continued == (DATA_PHASE,)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_all_of_it_and_leaves_nothing(
    database: Database, tmp_path: Path, number: int
) -> None:
    with blocker(database):
        with command(database, tmp_path) as process:
            os.kill(process.pid, number)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said.splitlines()[-1] == "interrupted"
        assert migrating(database) == []
        assert processes_of_the_cli(database) == []
        assert unlocked(database)
    assert DATA_PHASE not in [row[0] for row in recorded(database)]
    assert completes(database).continued == ()
