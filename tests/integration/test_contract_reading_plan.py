"""A page of readings comes off an index, in its order: its cost does not grow with the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.support.database import Connection, Database
from tests.support.events import day, shared_database, sign_up, signed_in
from tests.support.servers import MAJORS, Databases

PER_USER = 3000
NEWEST = "select * from electricity_readings_v"


@pytest.fixture(scope="module", params=MAJORS, ids=lambda number: f"pg{number}")
def ledger(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from shared_database(databases(request.param))


@pytest.fixture(scope="module")
def owner(ledger: Database) -> Iterator[Connection]:
    with ledger.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def user(owner: Connection) -> UUID:
    """One of five users of some years each; nobody else's rows may cost anything."""
    users = sign_up(owner, 5)
    owner.execute(
        "insert into token_events (user_id, event_type, event_date, kwh_amount)"
        " select owner, 'METER_READING', %s::timestamptz + n * interval '7 hours', n %% 300"
        " from unnest(%s::uuid[]) as owner, generate_series(1, %s) as n",
        (day(0), users, PER_USER),
    )
    owner.execute("analyze")
    return users[2]


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


@pytest.mark.parametrize(
    "asked",
    [
        f"{NEWEST} order by date desc, created_at desc, id desc limit 100",
        f"{NEWEST} order by date desc limit 100",
        f"{NEWEST} where user_id = '{{user}}' order by date desc limit 100",
        f"{NEWEST} where date >= '2026-01-03T00:00:00.000Z' and date <= '2027-01-24T23:59:59Z'"
        " order by date desc limit 100 offset 100",
    ],
    ids=["in the whole order", "by date", "of a named user", "a page of a year"],
)
def test_the_newest_hundred_come_from_an_index_without_a_sort(
    owner: Connection, user: UUID, asked: str
) -> None:
    with signed_in(owner, user):
        question = asked.format(user=user).encode()
        rows = owner.execute(question).fetchall()
        [[[answer]]] = owner.execute(b"explain (analyze, format json) " + question).fetchall()
    found = nodes(answer["Plan"])

    assert len(rows) == 100
    assert {row[1] for row in rows} == {user}
    scans = [node for node in found if node.get("Relation Name") == "readings"]
    assert [node["Node Type"] for node in scans] == ["Index Scan"]
    assert not [node for node in found if "Sort" in node["Node Type"]]
    # What it touched is what it showed, whoever else has rows.
    assert scans[0]["Actual Rows"] <= 200
    assert scans[0].get("Rows Removed by Filter", 0) == 0
