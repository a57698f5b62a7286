"""Cutback beside running clients: what it meets half done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from tests.migrations.test_sync_concurrency import as_signed_in, settled
from tests.support.database import Database
from tests.support.events import READING, day, insert, mark_voided, record
from tests.support.household import ZONE
from tests.support.processes import wait_until
from tests.support.rollout import apply
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint

CUT_OVER = "select ledger.cut_over('{upserts,functions,policies,realtime}')"
CUT_BACK = "select ledger.cut_back()"


def cut_over_household(
    make_database: MakeDatabase, *, unique_days: bool = False
) -> tuple[Database, UUID]:
    database = make_database(StartingPoint.LEGACY_ONLY, unique_days=unique_days)
    apply(database, time_zone=ZONE)
    database.rows("update ledger.settings set time_zone = %s", (ZONE,))
    user = database.add_user()
    put_reading(database, user, 50, 1)
    database.rows(CUT_OVER)
    return database, user


def put_reading(database: Database, user: UUID, kwh: int, number: int) -> UUID:
    row = {"id": uuid4(), "user_id": user, "date": day(number).date(), "kwh_value": kwh}
    with database.as_user(user) as request:
        insert(request, "electricity_readings", row)
    return row["id"]  # type: ignore[return-value]


@pytest.mark.parametrize("came", ["after the merge", "after the switch"])
def test_a_fact_whose_halves_a_cutback_comes_between_counts_once(
    make_database: MakeDatabase, came: str
) -> None:
    database, user = cut_over_household(make_database)
    with database.as_user(user) as request:
        first_half = record(request, user, READING, 40, day(2, hour=3))
        beside = record(request, user, READING, 39, day(2, hour=4))
    if came == "after the merge":
        database.rows("select ledger.prepare_cutback()")
        reading = put_reading(database, user, 40, 2)
        database.rows(CUT_BACK)
    else:
        database.rows(CUT_BACK)
        reading = put_reading(database, user, 40, 2)

    for relation in ("electricity_readings", "electricity_readings_v"):
        shown = database.rows(
            f"select id from {relation} where date = '2026-01-03' order by kwh_value"  # noqa: S608
        )
        assert shown == [(beside,), (reading,)]
    settled(database)
    # Who knows the event alone, and voids it, means the fact.
    with database.as_user(user) as request:
        mark_voided(request, first_half)
    assert database.value("select is_voided from token_events where id = %s", (reading,))


def test_the_second_half_is_no_second_reading_of_its_day(make_database: MakeDatabase) -> None:
    database, user = cut_over_household(make_database, unique_days=True)
    with database.as_user(user) as request:
        record(request, user, READING, 40, day(2, hour=3))
    reading = put_reading(database, user, 40, 2)
    shown = database.rows("select id from electricity_readings where date = '2026-01-03'")
    assert shown == [(reading,)]


def test_a_reading_that_is_voided_during_the_switch_is_not_left_without_an_event(
    make_database: MakeDatabase,
) -> None:
    database, user = cut_over_household(make_database)
    reading = put_reading(database, user, 48, 2)
    void = "update token_events set is_voided = true, voided_at = now() where id = %(id)s"
    with database.connect() as stopper, ThreadPoolExecutor(2) as pool:
        stopper.execute("lock table ledger.migrated_readings in share mode")
        switch = pool.submit(database.rows, CUT_BACK)
        wait_until(lambda: database.waits(CUT_BACK))  # in the middle of the merge
        client = pool.submit(as_signed_in, database, user, void, {"id": reading})
        wait_until(lambda: client.done() or database.waits("update token_events"))
        stopper.commit()
        switch.result(timeout=60)
        client.result(timeout=60)
    settled(database)
