"""Killed in the middle of the switch, in each way there is: a table or a view, never half of it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.support.backfill import Said
from tests.support.cutover import ALL_TOPICS, cut_over, is_view
from tests.support.database import Connection, Database
from tests.support.household import ZONE, plant
from tests.support.processes import kill, python, wait_until
from tests.support.rollout import apply
from tests.support.servers import Databases, Template, binaries_of
from toolkit.bootstrap import StartingPoint
from toolkit.errors import OperationalError
from toolkit.local.temporary import temporary_server
from toolkit.operations.cutover import plan_cutback, run_cutback
from toolkit.rollout.phases import phases, verify

_COMMAND = """
import sys
from toolkit.operations.cutover import run_cutback, run_cutover
class Observer:
    def step(self, name): print(name, flush=True)
    def note(self, text): pass
    def progress(self, done, total): pass
way, url, *topics = sys.argv[1:]
if way == "over":
    run_cutover(url, Observer(), environment="staging", acknowledged=topics)
else:
    run_cutback(url, Observer(), environment="staging", batch_users=1)
"""
# It stays there for as long as a test holds the key.
_STAY = """
create function ledger.stay() returns trigger language plpgsql as $$ begin
  while exists (select from pg_locks where locktype = 'advisory' and objid = 4711)
    and {condition}
  loop perform pg_sleep(0.02); end loop; return null; end $$;
create trigger stay after insert or update on {table} for each statement
execute function ledger.stay();
"""


@pytest.fixture(scope="module")
def own_databases() -> Iterator[Databases]:
    """A server whose processes may be killed; what it says is committed survives that."""
    settings = {"synchronous_commit": "on"}
    with temporary_server(binaries=binaries_of(17), settings=settings) as server:
        yield Databases(server)


@pytest.fixture
def database(own_databases: Databases) -> Iterator[Database]:
    database = own_databases.make(Template(starting_point=StartingPoint.LEGACY_ONLY))
    plant(database, StartingPoint.LEGACY_ONLY)
    apply(database, time_zone=ZONE)
    yield database
    own_databases.drop(database)


def backend(database: Database) -> int:
    """The server's process that stays, once it is there; between two naps it is not to be seen."""
    seen: list[int] = []

    def naps() -> bool:
        rows = database.rows(
            "select pid from pg_stat_activity where application_name in"
            " ('meterledger cutover', 'meterledger cutback') and wait_event = 'PgSleep'"
        )
        seen.extend(pid for (pid,) in rows)
        return seen != []

    wait_until(naps)
    return seen[0]


@contextmanager
def stopped(
    database: Database, way: str, table: str, condition: str = "true"
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A command of its own whose transaction stays in its middle; afterwards the key is free."""
    with database.connect(autocommit=True) as connection:
        connection.execute(_STAY.format(table=table, condition=condition).encode())
        connection.execute("select pg_advisory_lock(4711)")
        with python(_COMMAND, way, database.url, *ALL_TOPICS) as process:
            yield process, backend(database)
            process.wait(timeout=60)
        let_go(connection)
    with database.connect(autocommit=True) as connection:
        connection.execute("drop function ledger.stay() cascade")


def let_go(connection: Connection) -> None:
    if not connection.closed and not connection.broken:
        try:
            connection.execute("select pg_advisory_unlock_all()")
        except psycopg.Error:  # a killed server took the connection along
            connection.close()


def _kill_command(process: subprocess.Popen[str], _: int) -> None:
    kill(process.pid)


def _press_ctrl_c(process: subprocess.Popen[str], _: int) -> None:
    os.kill(process.pid, signal.SIGINT)


def _kill_backend(_: subprocess.Popen[str], pid: int) -> None:
    kill(pid)


@pytest.mark.parametrize("end", [_kill_command, _press_ctrl_c, _kill_backend])
@pytest.mark.parametrize("way", ["over", "back"])
def test_the_switch_is_made_or_not(
    database: Database, way: str, end: Callable[[subprocess.Popen[str], int], None]
) -> None:
    if way == "back":
        cut_over(database)
    rows = database.value("select count(*) from public.electricity_readings")
    with stopped(database, way, "ledger.cutovers") as (process, pid):
        end(process, pid)
        wait_until(lambda: _gone(database, pid))
        assert is_view(database) is (way == "back")
    assert process.returncode != 0

    with database.connect(autocommit=True) as connection:
        verify(connection, phases())
    if way == "over":
        assert not cut_over(database).already
    else:
        assert not run_cutback(database.url, Said(), environment="staging").already
    assert is_view(database) is (way == "over")
    assert database.value("select count(*) from public.electricity_readings") == rows


def test_a_killed_merge_is_continued(database: Database) -> None:
    cut_over(database)
    marks = "(select count(*) from ledger.cutback_marks) > 1"
    with stopped(database, "back", "ledger.cutback_marks", marks) as (process, pid):
        kill(process.pid)
        wait_until(lambda: _gone(database, pid))
    assert is_view(database)
    plan = plan_cutback(database.url)
    assert (plan.users, plan.unmerged) == (2, 1)
    report = run_cutback(database.url, Said(), environment="staging")
    assert (report.merged_before, report.merged_in_switch) == (1, 0)
    assert not is_view(database)


def _gone(database: Database, pid: int) -> bool:
    """Whether the server's process has ended; a server that recovers has nobody to ask yet."""
    try:
        return database.rows("select from pg_stat_activity where pid = %s", (pid,)) == []
    except (psycopg.Error, OperationalError):
        return False
