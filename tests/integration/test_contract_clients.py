"""What clients in the field do today, each as the signed-in user that it does it for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.database import Connection, Database
from tests.support.events import (
    READING,
    TOPUP,
    VOID,
    day,
    insert,
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


@pytest.fixture
def request_of(ledger: Database, user: UUID) -> Iterator[Connection]:
    """One request of the user."""
    with ledger.as_user(user) as connection:
        yield connection


@pytest.mark.parametrize("kind", [TOPUP, READING])
def test_a_client_records_an_event_and_gets_all_of_it_back(
    request_of: Connection, user: UUID, kind: str
) -> None:
    [before] = request_of.execute("select now()").fetchall()
    row = insert(
        request_of,
        "token_events",
        {
            "user_id": user,
            "event_type": kind,
            "event_date": "2026-01-05T09:30:00.000Z",
            "kwh_amount": "12.34",
            "token_cost": 20000,
            "notes": "☕ 'quoted'\nand a second line",
            "meter_photo_url": "https://example.test/meter.jpg",
            "created_by": user,
            "metadata": {"source": "app", "version": 3},
        },
    )
    stored = request_of.execute("select * from token_events").fetchall()

    assert stored == [row]
    assert user in row
    assert before[0] in row  # created_at
    assert False in row  # is_voided


def test_a_client_reads_its_own_events_by_every_filter_that_it_uses(
    ledger: Database, user: UUID
) -> None:
    with ledger.as_user(user) as request:
        topup = record(request, user, TOPUP, 5, day(1))
        record(request, user, READING, 5, day(2))
        gone = record(request, user, TOPUP, 5, day(3))
        mark_voided(request, gone)
        found = request.execute(
            "select id from token_events where user_id = %s and is_voided = false"
            " and event_type = %s and event_date >= %s and event_date <= %s"
            " order by event_date desc, created_at desc",
            (str(user), TOPUP, "2026-01-01T00:00:00.000Z", "2026-01-31T23:59:59.999Z"),
        ).fetchall()

    assert found == [(topup,)]


def test_a_client_voids_an_event_by_its_columns_and_gets_it_back(
    ledger: Database, user: UUID
) -> None:
    batch = uuid4()
    with ledger.as_user(user) as request:
        kept = record(request, user, READING, 10, day(1))
        wrong = record(request, user, READING, 99, day(2))
    with ledger.as_user(user) as request:
        returned = request.execute(
            "update token_events set is_voided = true, voided_at = %s, voided_by = %s,"
            " voided_reason = %s, recalc_batch_id = %s where id = %s and user_id = %s"
            " returning id, is_voided, voided_by, voided_reason, recalc_batch_id",
            (datetime.now(UTC).isoformat(), user, "typo", batch, wrong, user),
        ).fetchall()
        assert readings(request, user) == [(kept, 10)]

    assert returned == [(wrong, True, user, "typo", batch)]


def void_event(request: Connection, user: UUID, target: UUID) -> UUID:
    """The second half of today's void."""
    metadata = {"reason": "typo", "original_kwh": 99}
    now = datetime.now(UTC)
    told = {"void_of_event": target, "created_by": user, "metadata": metadata}
    return record(request, user, VOID, 0, now, **told)


@pytest.mark.parametrize("order", ["marked first", "VOID event first"])
@pytest.mark.parametrize("requests", ["in one request", "in two requests"])
def test_the_two_halves_of_a_void_are_one_void_in_either_order(
    ledger: Database, user: UUID, order: str, requests: str
) -> None:
    with ledger.as_user(user) as request:
        kept = record(request, user, READING, 10, day(1))
        wrong = record(request, user, READING, 99, day(2))
        last = record(request, user, TOPUP, 1, day(3))

    def mark(request: Connection) -> None:
        assert mark_voided(request, wrong) == 1

    def tell(request: Connection) -> None:
        void_event(request, user, wrong)

    halves = [mark, tell] if order == "marked first" else [tell, mark]
    if requests == "in one request":
        with ledger.as_user(user) as request:
            for half in halves:
                half(request)
    else:
        for half in halves:
            with ledger.as_user(user) as request:
                half(request)

    with ledger.as_user(user) as request:
        assert readings(request, user) == [(kept, 10), (last, 11)]
        voids = request.execute(
            "select void_of_event from token_events where event_type = 'VOID'"
        ).fetchall()
    assert voids == [(wrong,)]


@pytest.mark.parametrize("marked", [False, True], ids=["unmarked", "marked"])
def test_a_second_void_event_for_one_target_is_refused(
    ledger: Database, user: UUID, marked: bool
) -> None:
    with ledger.as_user(user) as request:
        wrong, other = (record(request, user, READING, 9, day(number)) for number in (1, 2))
        void_event(request, user, wrong)
        if marked:
            mark_voided(request, wrong)
        void_event(request, user, other)
        with pytest.raises(psycopg.errors.UniqueViolation), request.transaction():
            void_event(request, user, wrong)


def test_a_client_records_and_updates_a_recalculation(ledger: Database, user: UUID) -> None:
    changed = {"event_id": str(uuid4()), "event_type": READING, "old_kwh": 1.5, "new_kwh": 2}
    told = {
        "user_id": user,
        "trigger_type": "EDIT_TOPUP",
        "trigger_event_id": uuid4(),
        "affected_events": [changed | {"event_date": "2026-01-01T00:00:00Z"}],
        "events_count": 1,
        "created_by": user,
    }
    with ledger.as_user(user) as request:
        batch = insert(request, "recalculation_batches", told)
    with ledger.as_user(user) as request:
        updated = request.execute(
            "update recalculation_batches set rolled_back_at = now(), rollback_reason = 'mistake'"
            " where user_id = %s and rolled_back_at is null and can_rollback_until > now()"
            " returning rollback_reason, affected_events -> 0 ->> 'event_id'",
            (user,),
        ).fetchall()
        seen = request.execute("select count(*) from recalculation_batches").fetchall()

    assert user in batch
    assert updated == [("mistake", changed["event_id"])]
    assert seen == [(1,)]


def test_a_client_calls_the_function_for_its_own_positions(ledger: Database, user: UUID) -> None:
    with ledger.as_user(user) as request:
        record(request, user, READING, 10, day(1))
        record(request, user, TOPUP, 50, day(2))
        record(request, user, READING, 45, day(3))
        # As the REST server calls it: by name, and the newest first.
        rows = request.execute(
            "select event_date, calculated_position, daily_consumption, is_topup"
            " from calculate_user_positions(p_user_id => %s) order by event_date desc limit 2",
            (user,),
        ).fetchall()

    assert rows == [(day(3), 45, 15, False), (day(2), 60, None, True)]


def test_a_client_pages_through_its_readings_with_an_exact_count(
    ledger: Database, user: UUID
) -> None:
    with ledger.as_user(user) as request:
        for number in range(25):
            record(request, user, READING, number, day(number))
    # As the REST server writes it: each value is text, and takes the column's type.
    page = (
        "with source as (select * from electricity_readings_v"
        " where date >= %(from)s and date <= %(to)s and user_id = %(user)s)"
        " select (select count(*) from source), array(select kwh_value from source"
        " order by date desc limit 10 offset %(offset)s)"
    )
    limits = {"from": "2026-01-03T00:00:00.000Z", "to": "2026-01-24T23:59:59.999Z"}
    pages = []
    for offset in (0, 10, 20, 30):
        with ledger.as_user(user) as request:
            found = request.execute(page, {**limits, "user": str(user), "offset": offset})
            pages += found.fetchall()

    assert [count for count, _ in pages] == [22] * 4
    assert [int(kwh) for _, rows in pages for kwh in rows] == list(range(23, 1, -1))
