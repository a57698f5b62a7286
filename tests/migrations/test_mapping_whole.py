"""The mapping on whole deployments: the demo's hard cases, limits that are gone, far-away days."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.support.database import Database
from tests.support.household import ZONE, named, put_readings
from tests.support.rollout import apply
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import DateType, StartingPoint
from toolkit.demo.expectation import pair
from toolkit.demo.generator import Dataset, generate
from toolkit.demo.loading import Loaded, load
from toolkit.demo.model import Spec
from toolkit.rollout import phases, push, verify


@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_the_demo_data_becomes_what_its_generator_reckons(
    make_database: MakeDatabase, date_type: DateType
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE, date_type=date_type)
    dataset = generate(Spec(seed=7, rows=3000, users=40, time_zone=ZONE, date_type=date_type))
    with database.admin() as connection:
        loaded = load(connection, dataset)
    push(database.url, time_zone=ZONE)
    with database.connect() as connection:
        verify(connection, phases())
    books_are_the_generators(database, loaded)
    pairs_are_the_generators(database, dataset)


def books_are_the_generators(database: Database, loaded: Loaded) -> None:
    expected = loaded.expectation
    run = database.value("select to_jsonb(m) from ledger.migration_runs as m")
    found = {
        name: run[name] for name in ("legacy_rows", "migrated", "rejected", "merged", "completed")
    }
    assert found == {name: getattr(expected.counts, name) for name in found}
    assert database.value("select count(*) from electricity_readings_v") == expected.view_rows
    by_user: dict[UUID, int] = dict(
        database.rows("select user_id, count(*) from electricity_readings_v group by user_id")
    )
    assert by_user == {
        user: counts.view_rows for user, counts in expected.by_user.items() if counts.view_rows
    }
    rejects = database.rows("select reading_id from ledger.migration_rejects")
    assert {row[0] for row in rejects} == set(expected.rejected)
    seen = database.rows("select distinct event_id from ledger.near_matches")
    assert len(seen) >= expected.near_matches


def pairs_are_the_generators(database: Database, dataset: Dataset) -> None:
    merges: dict[tuple[UUID, UUID], UUID] = {}
    completed: set[tuple[UUID, UUID]] = set()
    for household in dataset.households():
        pairing = pair(household)
        user = household.user_id
        merges |= {(user, event): reading for event, reading in pairing.merged.items()}
        completed |= {(user, reading) for reading in pairing.completed}
    found = database.rows("select user_id, event_id, reading_id from ledger.merges")
    assert {(row[0], row[1]): row[2] for row in found} == merges
    kept = database.rows("select user_id, reading_id from ledger.migrated_readings where completed")
    assert set(kept) == completed


def test_numbers_that_no_limit_holds_stay_exact(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    database.rows("alter table electricity_readings alter column kwh_value type numeric")
    user = database.add_user()
    values = ["999999999999.999999999999999999", "0.000000000000000000001", "1000000000000", "3"]
    for number, value in enumerate(values):
        database.rows(
            "insert into electricity_readings (id, user_id, date, kwh_value, token_amount)"
            " values (%s, %s, '2024-01-01', %s, %s)",
            (named(user, value), user, value, None if number % 2 else value),
        )
    apply(database, time_zone=ZONE)
    seen = database.rows("select kwh_value::text, token_amount::text from electricity_readings_v")
    assert sorted(seen) == sorted(
        [(values[0], values[0]), (values[1], None), (values[3], None)],
        key=str,
    )
    rejects = database.rows("select reading_id, row_data ->> 'kwh_value' from"
                            " ledger.migration_rejects")  # fmt: skip
    assert rejects == [(named(user, values[2]), values[2])]


@pytest.mark.parametrize("zone", ["Etc/GMT-14", "Etc/GMT+12"])
@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_a_date_at_the_edge_of_the_calendar_comes_back_or_is_rejected(
    make_database: MakeDatabase, date_type: DateType, zone: str
) -> None:
    """Whatever Postgres takes as a date: no backfill fails on it, and no live write either."""
    database = make_database(StartingPoint.LEGACY_ONLY, date_type=date_type)
    user = database.add_user()
    early, late = ("4714-11-24 BC", "4713-01-{:02} BC"), ("294276-12-{:02}", "294277-01-01")
    days = [early[0], *(early[1].format(day) for day in (1, 2, 3, 4))]
    days += [*(late[0].format(day) for day in (28, 29, 30, 31)), "-infinity", "infinity"]
    days += [late[1], "5874897-12-31"] if date_type == "date" else ["294276-12-31 23:59:59.999999Z"]
    put(database, user, days)
    apply(database, time_zone=zone)
    put(database, user, days)  # live
    assert database.rows("select * from ledger.migration_differences()") == []
    books = database.rows(
        "select (select count(*) from ledger.migrated_readings),"
        " (select count(*) from ledger.migration_rejects)"
    )
    assert sum(books[0]) == 2 * len(days)
    assert books[0][0] % 2 == 0  # the live half fared as the migrated one


def put(database: Database, user: UUID, days: list[str]) -> None:
    with database.connect() as connection:
        put_readings(
            connection,
            [{"id": uuid4(), "user_id": user, "date": day, "kwh_value": 1} for day in days],
        )
