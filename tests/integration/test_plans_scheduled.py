"""Scheduled work that finds nothing to do reads next to nothing, however large the ledger is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.database import Connection, Database
from tests.support.events import READING, record
from tests.support.grown import CROWD, SMALL, SPARE, Grown, counted, hours
from tests.support.plans import Work, undone, work_of

USERS = CROWD + 1
READINGS = ("public.token_events", "ledger.readings", "public.electricity_readings_mv")
NAMES = frozenset(
    {
        *("ledger.heads", "ledger.refresh_marks", "ledger.refresh_log", "ledger.work_settings"),
        *("ledger.audits", "ledger.audit_differences", "ledger.work_state"),
        "ledger.migration_rejects",
    }
)


@pytest.fixture(scope="module")
def done(grown: Grown) -> Database:
    """Everybody is refreshed and audited: nothing is left to do."""
    with grown.after.connect(autocommit=True) as connection:
        connection.execute("select public.refresh_readings()")
        assert run(connection, "select public.audit_readings('manual', 60000)")["users"] == USERS
    return grown.after


@pytest.fixture
def owner(done: Database) -> Iterator[Connection]:
    with done.connect(autocommit=True) as connection:
        # What other tests wrote and took back would be read too.
        connection.execute("vacuum public.token_events, ledger.readings")
    with done.connect() as connection, undone(connection):
        yield connection


def run(connection: Connection, statement: str) -> dict[str, object]:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    result: dict[str, object] = row[0]
    return result


def read(work: Work) -> int:
    """Rows and entries of the tables that hold a row for each event."""
    return sum(work.of(table).read for table in READINGS)


def test_a_refresh_that_is_not_needed_reads_no_readings(owner: Connection) -> None:
    with work_of(owner) as work:
        assert run(owner, "select public.refresh_readings()")["outcome"] == "not needed"
    assert set(work.costs) <= NAMES
    assert work.total.read <= 5 * USERS + 20
    assert work.total.written == 1  # its line in the log


def test_an_audit_of_nothing_looks_at_heads_and_at_one_user(owner: Connection) -> None:
    with work_of(owner) as work:
        result = run(owner, "select public.audit_readings()")
    assert (result["outcome"], result["changed"], result["users"]) == ("clean", 0, 1)
    # Positions read the events, each is joined to its event and to its reading, and ten users ahead
    # are looked up in the keys.
    assert read(work) <= 5 * counted(SMALL) + 100
    assert [table for table in READINGS if work.of(table).whole_scans] == []
    # So few profiles are read whole, to hold those of whom a mark is kept.
    assert work.total.read <= read(work) + 15 * USERS + work.of("public.user_profiles").read
    assert work.total.written <= 6


def test_an_audit_looks_at_those_who_changed(owner: Connection) -> None:
    for user in (SMALL, SPARE):
        record(owner, user, READING, 7, hours(24))
    with work_of(owner) as work:
        result = run(owner, "select public.audit_readings('manual', 60000)")
    assert (result["outcome"], result["changed"], result["users"]) == ("clean", 2, 3)
    assert read(work) <= 3 * 5 * counted(SMALL) + 100
    assert [table for table in READINGS if work.of(table).whole_scans] == []


def test_the_health_question_reads_no_readings(owner: Connection) -> None:
    with work_of(owner) as work:
        run(owner, "select public.ledger_health()")
    assert set(work.costs) <= NAMES
    assert work.total.read <= 5 * USERS + 20


def test_an_audit_that_scans_everything_is_noticed(owner: Connection) -> None:
    owner.execute("alter function ledger.projection_differences(uuid[]) reset enable_seqscan")
    owner.execute("set local enable_indexscan = off")
    owner.execute("set local enable_indexonlyscan = off")
    owner.execute("set local enable_bitmapscan = off")
    with work_of(owner) as work:
        run(owner, "select public.audit_readings('manual', 60000)")
    assert work.of("public.token_events").whole_scans > 0
    assert read(work) > 40_000
