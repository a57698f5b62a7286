"""The view is fresh: right in the very statement after a write, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.support.database import Database
from tests.support.events import (
    READING,
    TOPUP,
    day,
    mark_voided,
    readings,
    record,
    shared_database,
)
from tests.support.servers import MAJORS, Databases

LEVEL = "select kwh_value from electricity_readings_v where id = %s"


@pytest.fixture(scope="module", params=MAJORS, ids=lambda number: f"pg{number}")
def ledger(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from shared_database(databases(request.param))


@pytest.fixture
def user(ledger: Database) -> UUID:
    return ledger.add_user()


def test_the_view_is_right_in_the_next_statement_for_the_user_and_for_the_service(
    ledger: Database, user: UUID
) -> None:
    with ledger.as_user(user) as request:
        record(request, user, READING, 10, day(1))
        last = record(request, user, TOPUP, 5, day(3))
        assert request.execute(LEVEL, (last,)).fetchall() == [(15,)]
        late = record(request, user, TOPUP, 7, day(2))
        assert request.execute(LEVEL, (last,)).fetchall() == [(22,)]
        mark_voided(request, late)
        assert request.execute(LEVEL, (last,)).fetchall() == [(15,)]
    with ledger.as_role("service_role") as service:
        assert service.execute(LEVEL, (last,)).fetchall() == [(15,)]
        record(service, user, TOPUP, 1, day(2))
        assert service.execute(LEVEL, (last,)).fetchall() == [(16,)]
    with ledger.as_user(user) as request:
        assert request.execute(LEVEL, (last,)).fetchall() == [(16,)]


def test_what_is_rolled_back_was_never_seen(ledger: Database, user: UUID) -> None:
    with ledger.as_user(user) as request:
        kept = record(request, user, READING, 10, day(1))
        with request.transaction(force_rollback=True):
            record(request, user, READING, 3, day(0))
            mark_voided(request, kept)
            assert [kwh for _, kwh in readings(request, user)] == [3]
        assert readings(request, user) == [(kept, 10)]


def test_a_statement_sees_the_readings_as_they_were_before_it(ledger: Database, user: UUID) -> None:
    with ledger.as_user(user) as request:
        [(before,)] = request.execute(
            "with recorded as (insert into token_events"
            " (user_id, event_type, event_date, kwh_amount, created_by)"
            " values (%(user)s, 'TOPUP', now(), 5, %(user)s) returning id)"
            " select (select count(*) from electricity_readings_v) from recorded",
            {"user": user},
        ).fetchall()
        after = len(readings(request, user))

    assert (before, after) == (0, 1)


@pytest.mark.parametrize("column", ["status", "role"])
def test_a_disabled_profile_and_an_admin_are_users_like_any_other(
    ledger: Database, user: UUID, column: str
) -> None:
    stranger = ledger.add_user()
    with ledger.connect() as owner:
        record(owner, stranger)
        if column == "status":
            owner.execute("update user_profiles set status = 'disabled' where id = %s", (user,))
        else:
            owner.execute("update user_profiles set role = 'admin' where id = %s", (user,))
    with ledger.as_user(user) as request:
        own = record(request, user, READING, 4, day(1), created_by=user)
        seen = request.execute("select id from electricity_readings_v").fetchall()

    assert seen == [(own,)]


def test_a_reading_of_the_future_and_of_long_ago_take_their_places(
    ledger: Database, user: UUID
) -> None:
    with ledger.as_user(user) as request:
        today = record(request, user, TOPUP, 1, day(0))
        future = record(request, user, TOPUP, 1, datetime.now(UTC) + timedelta(hours=23))
        past = record(request, user, READING, 50, datetime(1996, 2, 29, tzinfo=UTC))

        assert readings(request, user) == [(past, 50), (today, 51), (future, 52)]
