"""PostgREST or the database goes away and comes back: tried again, done once, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Literal

import httpx
import pytest

from functions.entry import Entry
from functions.refresh_readings.main import entry as refresh
from functions.runtime import TRIES, Result, Run
from functions.verify_readings.main import entry as verify
from tests.functions.conftest import Place
from tests.support.database import Connection, Database
from tests.support.events import MATERIALIZED_VIEW, PROJECTION, rows_of, shared_database
from tests.support.postgrest import Rest
from tests.support.processes import wait_until
from tests.support.servers import Databases, binaries_of, default_major
from toolkit.local.process import free_port
from toolkit.local.server import Server
from toolkit.local.temporary import temporary_server

Via = Literal["rpc", "database"]
WAYS = pytest.mark.parametrize("via", ["rpc", "database"])
HANDLERS = (
    "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    " and (usename = 'authenticator' or application_name like 'meterledger %')"
)
BLOCKED = "wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One of our own, which keeps what it said it had committed."""
    settings = {"synchronous_commit": "on"}
    with temporary_server(binaries=binaries_of(default_major()), settings=settings) as started:
        yield started


@pytest.fixture(scope="module")
def ledger(server: Server) -> Iterator[Database]:
    yield from shared_database(Databases(server))


def crash(server: Server) -> None:
    """What `pg_ctl stop -m immediate` does: everybody is thrown out at once."""
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)
    wait_until(lambda: server.status().pid is None)


def come_back(server: Server, rest: Rest) -> None:
    server.start()
    wait_until(lambda: httpx.get(f"{rest.url}/rest/v1/").status_code == 200)


def run(place: Place, entry: Entry, via: Via, between: Callable[[], object]) -> tuple[int, Result]:
    """A run that has to try again; `between` happens while it waits for the first time."""

    def sleep(seconds: float) -> None:
        place.waits.append(seconds)
        if len(place.waits) == 1:
            between()

    place.waits.clear()
    config = replace(place.config, via=via)
    return entry.run(Run(entry.name, config, write=place.lines.append, sleep=sleep))


@contextmanager
def once_it_waits(place: Place, act: Callable[[], object]) -> Iterator[Connection]:
    """Stop a refresh at its last step, which notes it; when it has come so far, act."""
    with closing(place.database.connect()) as blocker:
        blocker.execute("lock table ledger.refresh_log in share mode")

        def wait_and_act() -> None:
            blocked = f"select count(*) > 0 {HANDLERS} and {BLOCKED}"
            wait_until(lambda: bool(place.database.value(blocked)))
            act()

        thread = threading.Thread(target=wait_and_act)
        thread.start()
        yield blocker
        thread.join()


def is_done_once(place: Place, status: int, result: Result) -> None:
    """It succeeded at the second try, is on record once, and nothing was lost."""
    outcomes = place.database.rows("select outcome from ledger.refresh_log")
    again = [line for line in map(json.loads, place.lines) if line["message"] == "tried again"]
    with place.database.connect() as connection:
        shown, projected = rows_of(connection, MATERIALIZED_VIEW), rows_of(connection, PROJECTION)

    assert (status, result["outcome"]) == (200, "refreshed")
    assert outcomes == [("refreshed",)]
    assert len(again) == 1
    assert place.database.value("select count(*) from public.token_events") == 12
    assert shown == projected
    assert len(shown) == 12
    assert place.webhook.alerts == []


def test_postgrest_is_away_between_calls(place: Place, rest: Rest) -> None:
    rest.stop()
    is_done_once(place, *run(place, refresh, "rpc", rest.start))


def test_postgrest_dies_while_a_handler_runs(place: Place, rest: Rest) -> None:
    def restart() -> None:
        blocker.rollback()
        wait_until(lambda: place.database.value(f"select count(*) {HANDLERS}") == 0)
        rest.start()

    with once_it_waits(place, rest.stop) as blocker:
        status, result = run(place, refresh, "rpc", restart)
    is_done_once(place, status, result)


@WAYS
def test_the_database_is_away_between_calls(
    place: Place, rest: Rest, server: Server, via: Via
) -> None:
    crash(server)
    is_done_once(place, *run(place, refresh, via, lambda: come_back(server, rest)))


@WAYS
def test_the_database_restarts_while_a_handler_runs(
    place: Place, rest: Rest, server: Server, via: Via
) -> None:
    with once_it_waits(place, lambda: crash(server)):
        status, result = run(place, refresh, via, lambda: come_back(server, rest))
    is_done_once(place, status, result)


@WAYS
def test_the_session_is_ended_in_the_middle(place: Place, via: Via) -> None:
    def end() -> None:
        place.database.rows(f"select pg_terminate_backend(pid) {HANDLERS} and {BLOCKED}")

    with once_it_waits(place, end) as blocker:
        status, result = run(place, refresh, via, blocker.rollback)
    is_done_once(place, status, result)


def test_an_audit_whose_database_restarts_leaves_no_half_of_it(
    place: Place, rest: Rest, server: Server, owner: Connection
) -> None:
    place.run(verify)
    owner.execute("update ledger.readings set kwh_value = kwh_value + 1 where kwh_value = 10")
    owner.execute("update ledger.audit_marks set version = -1")
    crash(server)
    status, result = run(place, verify, "database", lambda: come_back(server, rest))

    assert (status, result["outcome"]) == (200, "differences"), result
    assert (result["differences"], result["unrepaired"]) == (3, 0)
    assert place.database.value("select count(*) from ledger.audits where differences = 3") == 1
    assert place.database.value("select count(*) from ledger.audits") == 2


@WAYS
def test_a_paused_project_is_one_clear_error_and_one_alert(place: Place, via: Via) -> None:
    port = free_port()
    place.config = replace(
        place.config,
        api_url=f"http://127.0.0.1:{port}",
        database_url=f"postgresql://postgres:planted@127.0.0.1:{port}/postgres",
    )
    cold = Entry(refresh.name, refresh.work)  # remembers no success
    status, result = place.run(cold, via=via)
    (done,) = [line for line in map(json.loads, place.lines) if line["message"] == "done"]

    assert (status, result["outcome"]) == (500, "failed")
    assert "is not reached" in result["reason"]
    assert (done["severity"], done["reason"]) == ("ERROR", result["reason"])
    assert len(place.waits) == TRIES - 1
    assert [alert["kind"] for alert in place.webhook.alerts] == ["dead man"]
    assert "planted" not in "".join(place.lines)


@pytest.mark.parametrize("wrong", ["password", "role", "database"])
def test_a_wrong_log_in_is_not_tried_again(place: Place, wrong: str) -> None:
    url = httpx.URL(place.database.url)
    planted = {
        "password": url.copy_with(password="planted-password"),
        "role": url.copy_with(username="nobody", password="planted-password"),
        "database": url.copy_with(path="/planted-database"),
    }[wrong]
    status, result = place.run(
        Entry(refresh.name, refresh.work), via="database", database_url=str(planted)
    )

    assert (status, result["outcome"]) == (500, "failed")
    assert "password authentication failed" in result["reason"] or wrong == "database"
    assert place.waits == []
    assert [alert["kind"] for alert in place.webhook.alerts] == ["dead man"]
    told = "".join(place.lines) + json.dumps(place.webhook.alerts) + json.dumps(result)
    assert "planted-password" not in told
    assert str(url.password) not in told
