"""Whatever is done to the events, every reader sees what the reference computes from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.database import Connection, Database
from tests.support.events import (
    ADJUSTMENT,
    READING,
    TOPUP,
    day,
    differences,
    record,
    shared_database,
    sign_up,
)
from tests.support.histories import (
    USERS,
    Draft,
    Insert,
    Step,
    Void,
    World,
    drafts,
    some_drafts,
    steps,
)
from tests.support.servers import MAJORS, Databases


@pytest.fixture(scope="module", params=MAJORS, ids=lambda number: f"pg{number}")
def postgres(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Connection]:
    """The owner's connection, to a database that holds a bystander's readings already."""
    for database in shared_database(databases(request.param)):
        with database.connect(autocommit=True) as connection:
            [bystander] = sign_up(connection, 1)
            for number in range(4):
                record(connection, bystander, READING, 100 - number, day(number))
            yield connection


@settings(max_examples=70)
@given(st.lists(some_drafts, min_size=1, max_size=2), st.lists(steps, min_size=1, max_size=8))
def test_after_any_statements_all_readers_see_what_the_reference_computes(
    postgres: Connection, histories: list[list[Draft]], later: list[Step]
) -> None:
    users = sign_up(postgres, USERS)
    world = World(postgres, list(users))
    try:
        for history in histories:
            Insert(history, by_copy=False)(world)
        for step in later:
            step(world)

        assert differences(postgres, users) == {}
    finally:
        postgres.execute("delete from auth.users where id = any (%s)", (users,))


@settings(max_examples=70)
@given(st.lists(drafts, max_size=30), st.lists(st.integers(0, 29), max_size=6))
def test_positions_of_any_history_are_those_of_the_reference(
    postgres: Connection, history: list[Draft], voided: list[int]
) -> None:
    with postgres.transaction(force_rollback=True):
        world = World(postgres, list(sign_up(postgres, USERS)))
        Insert(history, by_copy=True)(world)
        Void(voided)(world)

        assert differences(postgres, [user for user in world.users if user is not None]) == {}


def test_a_history_of_twenty_thousand_events_stays_right_through_its_changes(
    db: Database,
) -> None:
    with db.connect(autocommit=True) as postgres:
        [user] = sign_up(postgres, 1)
        postgres.execute(
            "insert into public.token_events"
            " (user_id, event_type, event_date, created_at, kwh_amount, observed_kwh)"
            " select %s, case when n %% 4 = 0 then 'TOPUP' when n %% 50 = 7 then 'ADJUSTMENT'"
            "   when n between 9000 and 12000 then 'TOPUP' else 'METER_READING' end,"
            "   %s::timestamptz + (n / 3) * interval '1 hour', now(), (n * 7919) %% 997 + 0.01,"
            "   case when n %% 8 = 0 then n %% 61 end"
            " from generate_series(1, 20000) as n",
            (user, day(0)),
        )
        record(postgres, user, TOPUP, 5, day(-1))
        record(postgres, user, READING, 5, day(2))
        record(postgres, user, ADJUSTMENT, -5, day(150))
        postgres.execute(
            "update public.token_events set is_voided = true"
            " where event_date between %s and %s and kwh_amount < 300",
            (day(120), day(160)),
        )

        assert differences(postgres, [user]) == {}


def test_a_voided_event_that_holds_no_number_poisons_nothing(db: Database) -> None:
    with db.connect(autocommit=True) as postgres:
        [user] = sign_up(postgres, 1)
        record(postgres, user, READING, 10, day(1))
        record(postgres, user, READING, "NaN", day(2), is_voided=True)
        record(postgres, user, TOPUP, 5, day(3))

        assert differences(postgres, [user]) == {}
