"""Writers and readers while everything is refreshed and audited: nothing lost, nobody held up."""

from __future__ import annotations

import threading
from uuid import UUID

import psycopg
import pytest

from functions.refresh_readings.main import entry as refresh
from functions.verify_readings.main import entry as verify
from tests.functions.conftest import Place
from tests.support.database import Connection
from tests.support.events import MATERIALIZED_VIEW, PROJECTION, TOPUP, day, record, rows_of, sign_up

pytestmark = pytest.mark.slow

WRITERS, WRITES = 16, 40
READS = (
    "select count(*) from public.electricity_readings_v",
    "select count(*) from public.electricity_readings_mv",
)


def test_writers_during_refreshes_and_audits(place: Place, owner: Connection) -> None:
    users = sign_up(owner, WRITERS)
    failures: list[str] = []

    def write(user: UUID) -> None:
        try:
            with place.database.connect(autocommit=True) as connection:
                # What a client of the API waits for a lock at the most.
                connection.execute("set lock_timeout = '2s'")
                for number in range(WRITES):
                    record(connection, user, TOPUP, 1, day(number))
        except psycopg.Error as error:
            failures.append(str(error))

    def read(query: str) -> None:
        try:
            with place.database.connect(autocommit=True) as connection:
                # A reader waits for nobody.
                connection.execute("set lock_timeout = '10ms'")
                while not done.is_set():
                    connection.execute(query.encode())
        except psycopg.Error as error:
            failures.append(f"{query}: {error}")

    done = threading.Event()
    place.run(refresh)  # before its first one the view is empty, and says so
    writers = [threading.Thread(target=write, args=(user,)) for user in users]
    readers = [threading.Thread(target=read, args=(query,)) for query in READS]
    for thread in (*writers, *readers):
        thread.start()
    outcomes = set()
    while any(writer.is_alive() for writer in writers):
        owner.execute(
            "update ledger.readings set kwh_value = kwh_value + 1000"
            " where user_id in (select user_id from ledger.audit_marks limit 1)"
        )
        owner.execute("update ledger.audit_marks set version = -1")
        owner.execute("delete from ledger.refresh_log")
        outcomes.add(place.run(refresh)[1]["outcome"])
        outcomes.add(place.run(verify)[1]["outcome"])
    done.set()
    for thread in (*writers, *readers):
        thread.join()
    place.run(verify)
    owner.execute("delete from ledger.refresh_log")
    place.run(refresh)

    assert failures == []
    assert "refreshed" in outcomes
    assert "failed" not in outcomes
    assert owner.execute(
        "select count(*) from ledger.readings where user_id = any (%s)", (users,)
    ).fetchone() == (WRITERS * WRITES,)
    assert owner.execute(
        "select count(*) from ledger.projection_differences("
        " (select array_agg(user_id) from ledger.heads))"
    ).fetchone() == (0,)
    assert rows_of(owner, MATERIALIZED_VIEW) == rows_of(owner, PROJECTION)


def test_two_schedulers_at_once(place: Place) -> None:
    answers: list[tuple[int, str]] = []

    def run() -> None:
        for entry in (refresh, verify):
            status, result = place.run(entry)
            answers.append((status, result["outcome"]))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {status for status, _ in answers} == {200}
    assert [outcome for _, outcome in answers].count("refreshed") == 1
    assert "differences" not in {outcome for _, outcome in answers}
