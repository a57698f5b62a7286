"""A day is a day in the app's confirmed zone, whatever the connection's."""

from __future__ import annotations

from datetime import UTC, date, datetime

import psycopg
import pytest

from tests.support.database import Database
from tests.support.household import ZONE, events_of, named, plant, put_events, put_readings
from tests.support.rollout import (
    DATA_PHASE,
    apply,
    before,
    history,
    roll_everything_back,
    table_texts,
)
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.errors import OperationalError
from toolkit.rollout import phases, push, verify


def test_an_unconfirmed_zone_stops_the_data_and_says_how_to_confirm_one(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    plant(database, StartingPoint.DUAL_WRITE)
    with database.connect() as connection:
        events = table_texts(connection, "public", "token_events")
    with pytest.raises(OperationalError) as stopped:
        push(database.url)
    assert "migrate_data failed" in stopped.value.message
    assert "time zone is not confirmed" in stopped.value.message
    assert "update ledger.settings set time_zone = 'Asia/Jakarta'" in stopped.value.next_step
    assert "ledger.time_zone=Asia/Jakarta" in stopped.value.next_step
    assert history(database) == [phase.version for phase in before(DATA_PHASE)]
    with database.connect() as connection:
        # As they were, with the new columns, all null.
        now = table_texts(connection, "public", "token_events")
    assert [text[:-1] + ",,,,)" for text in events] == now
    assert database.value("select count(*) from ledger.migration_runs") == 0

    database.rows("update ledger.settings set time_zone = %s", (ZONE,))
    assert push(database.url).applied[0] == "20261101000401_migrate_data"
    with database.connect() as connection:
        verify(connection, phases())


def test_a_zone_that_does_not_exist_changes_nothing(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    with pytest.raises(OperationalError) as stopped:
        push(database.url, time_zone="Asia/Atlantis")
    assert "no time zone named Asia/Atlantis" in stopped.value.message
    assert "Asia/Jakarta" in stopped.value.next_step
    assert database.value("select to_regclass('ledger.settings')") is None
    assert history(database) == []


def test_the_settings_refuse_what_is_no_zone(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True)
    for zone in ("Asia/Atlantis", "UTC+7", "", "asia/jakarta; drop table x"):
        with pytest.raises(psycopg.Error, match="no time zone named"):
            database.rows("update ledger.settings set time_zone = %s", (zone,))


def test_the_zone_stays_while_migrated_events_exist(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    plant(database, StartingPoint.LEGACY_ONLY)
    apply(database, time_zone=ZONE)
    for zone in ("Asia/Tokyo", None):
        with pytest.raises(psycopg.Error, match="cannot become") as refused:
            database.rows("update ledger.settings set time_zone = %s", (zone,))
        assert refused.value.sqlstate == "ML002"
        assert "undo_data_migration" in str(refused.value.diag.message_detail)
    with pytest.raises(psycopg.Error, match="cannot become"):
        apply(database, [p for p in phases() if p.version == DATA_PHASE], time_zone="Asia/Tokyo")
    database.rows("update ledger.settings set time_zone = %s", (ZONE,))  # no change

    database.rows("select ledger.undo_data_migration()")
    database.rows("update ledger.settings set time_zone = 'Asia/Tokyo'")
    database.rows("select ledger.migrate_data()")
    assert database.rows("select * from ledger.migration_differences()") == []
    starts = database.rows("select distinct event_date::time from token_events")
    assert [str(row[0]) for row in starts] == ["15:00:00"]


@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_the_connections_zone_does_not_matter(make_database: MakeDatabase, date_type: str) -> None:
    database = make_database(
        StartingPoint.DUAL_WRITE, date_type="date" if date_type == "date" else "timestamptz"
    )
    plant(database, StartingPoint.DUAL_WRITE)
    results = []
    for session_zone in ("America/Los_Angeles", "Pacific/Kiritimati", "UTC"):
        apply(database, time_zone=ZONE, session_zone=session_zone)
        results.append(what_came_of_it(database))
        roll_everything_back(database)
    assert results[0] == results[1] == results[2]
    assert len(results[0]) == 2 * (8 + 8 - 1)  # one event of each user was there under its id


def what_came_of_it(database: Database) -> list[str]:
    """Events and days, but for the ids and times that are made up anew."""
    with database.connect() as connection:
        connection.execute("set local timezone = 'UTC'")
        return [
            str(row)
            for row in connection.execute(
                "select e.user_id, e.event_type, e.event_date, e.kwh_amount, e.observed_kwh,"
                " e.is_voided, v.date, v.kwh_value, v.token_amount"
                " from token_events as e"
                " left join electricity_readings_v as v"
                " on v.user_id = e.user_id and v.id = coalesce(e.reading_id, e.id)"
                " and not e.is_voided"
                " order by 1, 2, 3, 4, 5, 6, 7, 8, 9"
            )
        ]


# The UTC instant at which a local day begins; none for the day that Samoa left out.
MIDNIGHTS: dict[str, dict[str, str | None]] = {
    "Asia/Jakarta": {"2023-12-31": "2023-12-30 17:00", "2024-02-29": "2024-02-28 17:00"},
    "America/Sao_Paulo": {
        "2018-11-03": "2018-11-03 03:00",
        "2018-11-04": "2018-11-04 03:00",  # 01:00, for there is no 00:00
        "2018-11-05": "2018-11-05 02:00",
    },
    "America/Havana": {"2023-11-05": "2023-11-05 05:00"},  # of its two, the one in winter time
    "Pacific/Apia": {
        "2011-12-29": "2011-12-29 10:00",
        "2011-12-30": None,
        "2011-12-31": "2011-12-30 10:00",
    },
    "Europe/London": {"2024-03-31": "2024-03-31 00:00", "2024-04-01": "2024-03-31 23:00"},
}


@pytest.mark.parametrize("zone", MIDNIGHTS)
def test_a_day_begins_at_its_local_midnight(make_database: MakeDatabase, zone: str) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True)
    user = database.add_user()
    database.rows("update ledger.settings set time_zone = %s", (zone,))
    days = MIDNIGHTS[zone]
    with database.as_user(user) as request:
        request.execute("set local timezone = 'America/Los_Angeles'")
        row = {"user_id": user, "kwh_value": 5}
        put_readings(request, [row | {"id": named(user, day), "date": day} for day in days])
        shown = request.execute("select date from electricity_readings_v").fetchall()
    found = {row[0]: row[1] for row in database.rows("select id, event_date from token_events")}
    begins = {day: at for day, at in days.items() if at is not None}
    assert found == {
        named(user, day): datetime.fromisoformat(at).replace(tzinfo=UTC)
        for day, at in begins.items()
    }
    assert {str(row[0]) for row in shown} == set(begins)
    rejects = database.rows("select reading_id, reason from ledger.migration_rejects")
    assert rejects == [
        (named(user, day), "the day does not exist in the time zone")
        for day in days
        if day not in begins
    ]


def test_events_around_midnight_belong_to_their_local_day(make_database: MakeDatabase) -> None:
    """Jakarta's 29 February 2024 begins at 17:00 UTC of the 28th; merging goes by it."""
    database = make_database(StartingPoint.DUAL_WRITE)
    user = database.add_user()
    instants = {
        "before": "2024-02-28 16:59:59.999999+00",
        "first": "2024-02-28 17:00+00",
        "last": "2024-02-29 16:59:59.999999+00",
        "after": "2024-02-29 17:00+00",
    }
    sample = events_of(user)[1]
    with database.connect() as connection:
        put_events(
            connection,
            [
                sample | {"id": named(user, name), "event_date": at, "kwh_amount": 5}
                for name, at in instants.items()
            ],
        )
        put_readings(
            connection,
            [
                {"id": named(user, f"r{n}"), "user_id": user, "date": "2024-02-29", "kwh_value": 5}
                for n in range(3)
            ],
        )
    apply(database, time_zone=ZONE, session_zone="America/Los_Angeles")
    merged = database.rows("select event_id from ledger.merges")
    assert {row[0] for row in merged} == {named(user, "first"), named(user, "last")}
    days = database.rows(
        "select date, count(*) from electricity_readings_v group by date order by date"
    )
    assert days == [(date(2024, 2, 28), 1), (date(2024, 2, 29), 3), (date(2024, 3, 1), 1)]


def test_an_empty_database_needs_no_zone(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True)
    assert database.value("select time_zone from ledger.settings") is None
    with database.connect() as connection:
        verify(connection, phases())
