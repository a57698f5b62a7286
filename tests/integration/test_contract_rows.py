"""What a row of the views, the function and the recalculations says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.support.database import Connection, Database
from tests.support.events import (
    ADJUSTMENT,
    READING,
    TOPUP,
    VIEW,
    VOID,
    day,
    insert,
    mark_voided,
    readings,
    record,
    rows_of,
    shared_database,
    sign_up,
    signed_in,
)
from tests.support.servers import Databases, MakeDatabase, default_major
from toolkit.bootstrap import StartingPoint


@pytest.fixture(scope="module")
def owner(databases: Callable[[int], Databases]) -> Iterator[Connection]:
    for database in shared_database(databases(default_major())):
        with database.connect(autocommit=True) as connection:
            yield connection


@pytest.fixture
def user(owner: Connection) -> UUID:
    return sign_up(owner, 1)[0]


def test_a_row_of_the_function_says_what_the_event_says(owner: Connection, user: UUID) -> None:
    record(owner, user, READING, 10, day(1))
    cost, notes, url = Decimal("1444.70"), "eve's 'note' ⚡\n2", "https://example.test/1.jpg"
    created = day(3, hour=5)
    told = {"token_cost": cost, "notes": notes, "meter_photo_url": url, "created_at": created}
    topup = record(owner, user, TOPUP, "2.50", day(2), observed_kwh="11.25", **told)

    rows = owner.execute("select * from calculate_user_positions(%s)", (user,)).fetchall()

    assert rows[1] == (
        *(topup, user, TOPUP, day(2), Decimal("2.50"), cost, notes, url),
        *(Decimal("11.25"), Decimal("1.25"), True, created),
    )
    assert rows[0][9] is None
    assert rows[0][10] is False


def test_a_row_of_the_view_says_what_the_event_says(owner: Connection, user: UUID) -> None:
    cost, notes, url = Decimal("1444.70"), "eve's 'note' ⚡\n2", "https://example.test/1.jpg"
    created = day(3, hour=5)
    told = {"token_cost": cost, "notes": notes, "meter_photo_url": url, "created_at": created}
    record(owner, user, READING, 10, day(1))
    topup = record(owner, user, TOPUP, "2.50", day(2), **told)

    with signed_in(owner, user):
        shown = {row[0]: row for row in rows_of(owner, VIEW)}[topup]

    assert shown == (
        *(topup, user, day(2).date(), Decimal("12.50"), cost, Decimal("2.50")),
        *(notes, url, created),
    )


def test_only_a_topup_has_a_token_amount(owner: Connection, user: UUID) -> None:
    record(owner, user, READING, 10, day(1))
    record(owner, user, ADJUSTMENT, -2, day(2))
    record(owner, user, TOPUP, 3, day(3))

    rows = owner.execute(
        "select kwh_value, token_amount from electricity_readings_v where user_id = %s"
        " order by date",
        (user,),
    ).fetchall()

    assert rows == [(10, None), (8, None), (11, 3)]


def test_voided_events_and_void_events_are_not_shown(owner: Connection, user: UUID) -> None:
    kept = record(owner, user, READING, 10, day(1))
    gone = record(owner, user, READING, 20, day(2))
    record(owner, user, VOID, 0, day(3), void_of_event=gone)
    mark_voided(owner, gone)

    assert readings(owner, user) == [(kept, 10)]
    live = owner.execute("select event_id from calculate_user_positions(%s)", (user,)).fetchall()
    assert live == [(kept,)]


@pytest.mark.parametrize("zone", [None, "Asia/Jakarta", "America/Bogota"])
def test_a_day_is_a_day_in_the_apps_zone_whatever_the_session_says(
    db: Database, zone: str | None
) -> None:
    with db.connect(autocommit=True) as owner:
        if zone is not None:
            owner.execute("update ledger.settings set time_zone = %s", (zone,))
        owner.execute("set time zone 'Pacific/Auckland'")
        [user] = sign_up(owner, 1)
        instants = [day(1), day(1, hour=4), day(1, hour=16), day(1, hour=17), day(1, hour=23)]
        for instant in instants:
            record(owner, user, READING, 1, instant)
        owner.execute("set time zone 'America/Los_Angeles'")
        days = owner.execute(
            "select date from electricity_readings_v order by date, created_at, id"
        ).fetchall()
        owner.execute("select refresh_readings_mv()")
        materialized = owner.execute(
            "select date from electricity_readings_mv order by date, created_at, id"
        ).fetchall()

    local = ZoneInfo(zone) if zone else UTC
    assert days == materialized == [(instant.astimezone(local).date(),) for instant in instants]


def test_a_timestamp_date_is_the_instant_itself(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY, migrated=True, date_type="timestamptz")
    with database.connect(autocommit=True) as owner:
        [user] = sign_up(owner, 1)
        record(owner, user, READING, 1, day(1, hour=17))

        assert [row[2] for row in rows_of(owner, VIEW)] == [day(1, hour=17)]


def test_a_batch_needs_little_and_may_be_rolled_back_for_a_day(
    owner: Connection, user: UUID
) -> None:
    told = {
        "user_id": user,
        "trigger_type": "BACKDATE_TOPUP",
        "affected_events": [],
        "events_count": 0,
    }
    with owner.transaction():
        row = insert(owner, "recalculation_batches", told)
        [(now,)] = owner.execute("select now()").fetchall()
    [(names,)] = owner.execute(
        "select array_agg(attname::text order by attnum) from pg_attribute"
        " where attrelid = 'public.recalculation_batches'::regclass and attnum > 0"
    ).fetchall()
    batch = dict(zip(names, row, strict=True))

    assert isinstance(batch["id"], UUID)
    assert batch["created_at"] == now
    assert batch["can_rollback_until"] == now + timedelta(hours=24)
    assert {name for name, value in batch.items() if value is None} == {
        *("trigger_event_id", "rolled_back_at", "rollback_reason", "created_by")
    }


@pytest.mark.parametrize(
    "change",
    [
        {"trigger_type": "GUESS"},
        {"trigger_type": None},
        {"affected_events": None},
        {"events_count": None},
        {"user_id": None},
    ],
    ids=str,
)
def test_a_batch_without_its_facts_is_refused(
    owner: Connection, user: UUID, change: dict[str, object]
) -> None:
    told = {
        "user_id": user,
        "trigger_type": "MANUAL_CORRECTION",
        "affected_events": [{"event_id": str(uuid4()), "old_kwh": 1, "new_kwh": 2}],
        "events_count": 1,
    }

    insert(owner, "recalculation_batches", told)
    with pytest.raises(psycopg.IntegrityError):
        insert(owner, "recalculation_batches", told | change)


@pytest.mark.parametrize(
    "trigger", ["BACKDATE_TOPUP", "EDIT_TOPUP", "DELETE_TOPUP", "MANUAL_CORRECTION"]
)
def test_every_cause_of_a_recalculation_can_be_recorded(
    owner: Connection, user: UUID, trigger: str
) -> None:
    with signed_in(owner, user):
        insert(
            owner,
            "recalculation_batches",
            {
                "user_id": user,
                "trigger_type": trigger,
                "affected_events": [],
                "events_count": 0,
                "created_by": user,
            },
        )
