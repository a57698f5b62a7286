"""The materialized view: who refreshes it, who reads it, and what is in it then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from tests.support.database import Connection, Database
from tests.support.events import (
    DENIED,
    MATERIALIZED_VIEW,
    PROJECTION,
    TOPUP,
    day,
    mark_voided,
    record,
    rows_of,
    shared_database,
    sign_up,
)
from tests.support.servers import MAJORS, Databases

REFRESH = "select refresh_readings_mv()"
CONCURRENTLY = "refresh materialized view concurrently electricity_readings_mv"
LEVEL = "select kwh_value from electricity_readings_mv where id = %s"


@pytest.fixture(scope="module", params=MAJORS, ids=lambda number: f"pg{number}")
def ledger(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from shared_database(databases(request.param))


@pytest.fixture(scope="module")
def owner(ledger: Database) -> Iterator[Connection]:
    with ledger.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def event(owner: Connection) -> UUID:
    """An event of a new user, which the materialized view does not know yet."""
    event = record(owner, sign_up(owner, 1)[0], TOPUP, 5, day(1))
    assert owner.execute(LEVEL, (event,)).fetchall() == []
    return event


def test_a_write_leaves_the_materialized_view_alone(owner: Connection, event: UUID) -> None:
    assert rows_of(owner, MATERIALIZED_VIEW) != rows_of(owner, PROJECTION)

    owner.execute(REFRESH)
    assert rows_of(owner, MATERIALIZED_VIEW) == rows_of(owner, PROJECTION)


def test_the_service_refreshes_it(ledger: Database, owner: Connection, event: UUID) -> None:
    with ledger.as_role("service_role") as service:
        service.execute(REFRESH)

    assert owner.execute(LEVEL, (event,)).fetchall() == [(5,)]


@pytest.mark.parametrize("statement", [REFRESH, CONCURRENTLY])
def test_the_owner_refreshes_it(owner: Connection, event: UUID, statement: str) -> None:
    owner.execute(statement.encode())

    assert owner.execute(LEVEL, (event,)).fetchall() == [(5,)]
    mark_voided(owner, event)
    owner.execute(statement.encode())
    assert owner.execute(LEVEL, (event,)).fetchall() == []


def test_a_refresh_sees_what_its_own_transaction_wrote(owner: Connection, event: UUID) -> None:
    with owner.transaction(force_rollback=True):
        mark_voided(owner, event)
        owner.execute(REFRESH)
        assert owner.execute(LEVEL, (event,)).fetchall() == []
    owner.execute(REFRESH)

    assert owner.execute(LEVEL, (event,)).fetchall() == [(5,)]


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_nobody_else_refreshes_it(
    ledger: Database, owner: Connection, event: UUID, role: str
) -> None:
    with pytest.raises(DENIED), ledger.as_role(role) as request:
        request.execute(REFRESH)

    assert owner.execute(LEVEL, (event,)).fetchall() == []


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
def test_no_api_role_refreshes_it_by_hand(
    ledger: Database, owner: Connection, event: UUID, role: str
) -> None:
    with pytest.raises(DENIED), ledger.as_role(role) as request:
        request.execute(CONCURRENTLY)

    assert owner.execute(LEVEL, (event,)).fetchall() == []


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_no_api_role_reads_it(ledger: Database, owner: Connection, role: str) -> None:
    assert owner.execute("select count(*) from electricity_readings_mv").fetchall()
    with pytest.raises(DENIED), ledger.as_role(role) as request:
        request.execute("select count(*) from electricity_readings_mv")
