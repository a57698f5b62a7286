"""Calls of one user at once take turns: one key has one result, each recalculation is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import psycopg
import pytest
from psycopg import IsolationLevel

from tests.support.calls import Client, moves, refused
from tests.support.database import Connection, Database
from tests.support.events import TOPUP, day, differences, record, shared_database, sign_up
from tests.support.servers import MAJORS, Databases
from tests.support.waiting import blocked


@pytest.fixture(scope="module", params=MAJORS, ids=lambda number: f"pg{number}")
def ledger(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from shared_database(databases(request.param))


@pytest.fixture
def postgres(ledger: Database) -> Iterator[Connection]:
    with ledger.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def home(postgres: Connection) -> Client:
    """With 10 kWh on the first day and a top-up of 5 on the fifth."""
    client = Client(postgres, sign_up(postgres, 1)[0])
    client.reading(10, 1)
    client.topup(5, 5)
    return client


@pytest.fixture
def pair(ledger: Database, home: Client) -> Iterator[tuple[Client, Client]]:
    """The same user in two requests, whose transactions have begun."""
    with ledger.connect() as first, ledger.connect() as second:
        for connection in (first, second):
            connection.execute("select 1")
        yield Client(first, home.user), Client(second, home.user)


def test_two_calls_with_one_key_at_once_have_one_result(
    home: Client, pair: tuple[Client, Client]
) -> None:
    first, second = pair
    act = partial(second.topup, 7, 2, idempotency_key="one")
    done = first.topup(7, 2, idempotency_key="one")
    with blocked(home.connection, second.connection, act) as late:
        first.connection.commit()
        assert late.result() == done
    second.connection.commit()

    assert home.written() == (3, 0, 1)
    assert home.kwh() == [10, 17, 22]


def test_a_key_is_free_again_when_its_call_was_rolled_back(
    home: Client, pair: tuple[Client, Client]
) -> None:
    first, second = pair
    act = partial(second.topup, 7, 2, idempotency_key="one")
    gone = first.topup(7, 2, idempotency_key="one")
    with blocked(home.connection, second.connection, act) as late:
        first.connection.rollback()
        assert late.result()["event"]["id"] != gone["event"]["id"]
    second.connection.commit()

    assert home.kwh() == [10, 17, 22]


def test_two_back_dated_calls_at_once_see_each_other(
    home: Client, pair: tuple[Client, Client]
) -> None:
    first, second = pair
    last = home.positions()[-1][0]
    early = first.topup(7, 2)
    with blocked(home.connection, second.connection, lambda: second.topup(1, 2)) as late:
        first.connection.commit()
        result = late.result()
    second.connection.commit()

    assert moves(early["batch"]) == [(last, 15, 22)]
    assert moves(result["batch"]) == [(last, 22, 23)]
    assert differences(home.connection, [home.user]) == {}


def test_a_call_waits_for_a_direct_write_and_counts_it(
    home: Client, pair: tuple[Client, Client]
) -> None:
    first, second = pair
    last = home.positions()[-1][0]
    record(first.connection, home.user, TOPUP, 7, day(2))
    with blocked(home.connection, second.connection, lambda: second.topup(1, 3)) as late:
        first.connection.commit()
        assert moves(late.result()["batch"]) == [(last, 22, 23)]
    second.connection.commit()


@pytest.mark.parametrize("name", ["void_event", "replace_event", "rollback_recalculation"])
def test_of_two_calls_on_one_event_at_once_one_is_refused(
    home: Client, pair: tuple[Client, Client], name: str
) -> None:
    first, second = pair
    recorded = home.topup(7, 2)
    arguments: dict[str, object] = {"event_id": recorded["event"]["id"]}
    if name == "replace_event":
        arguments["changes"] = {"kwh_amount": 8}
    if name == "rollback_recalculation":
        arguments = {"batch_id": recorded["batch"]["id"]}
    first.call(name, **arguments)
    act = partial(second.call, name, **arguments)
    with blocked(home.connection, second.connection, act) as late:
        first.connection.commit()
        sqlstate, words = {
            "rollback_recalculation": ("ML207", "was rolled back at"),
        }.get(name, ("ML205", "is void"))
        with refused(sqlstate, words):
            late.result()
    second.connection.rollback()

    assert home.kwh() == ([10, 18, 23] if name == "replace_event" else [10, 15])
    assert differences(home.connection, [home.user]) == {}


def test_a_call_with_an_old_snapshot_is_told_to_try_again(ledger: Database, home: Client) -> None:
    with ledger.connect() as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.execute("select count(*) from public.token_events")
        home.topup(1, 2)
        with pytest.raises(psycopg.errors.SerializationFailure):
            Client(connection, home.user).topup(1, 3)
