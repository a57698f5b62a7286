"""The checklist counts, before the rollout, what the rollout then finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.database import Connection, Database
from tests.support.household import put_events, put_readings
from tests.support.legacy import USERS, Table, tables
from tests.support.proven import SPEC, ZONE
from tests.support.rollout import apply, before
from tests.support.servers import Databases, MakeDatabase, Template, default_major
from toolkit.bootstrap import DateType, StartingPoint
from toolkit.demo.generator import generate
from toolkit.demo.loading import load
from toolkit.operations.preflight import Verdict, options
from toolkit.operations.preflight.context import rows
from toolkit.operations.preflight.estimates import estimate
from toolkit.operations.preflight.run import look

OPTIONS = options("staging", time_zone=ZONE)
DATA_PHASE = "20261101000401"


def rejected(connection: Connection, zone: str) -> dict[str, int]:
    return {f.subject: f.amount for f in rows(connection, "preflight_rejects", {"zone_name": zone})}


def near(connection: Connection, zone: str) -> int:
    found = rows(connection, "preflight_near_duplicates", {"zone_name": zone})
    return sum(f.amount for f in found)


def of_the_rollout(connection: Connection) -> Mapping[str, int]:
    return dict(
        connection.execute(
            "select reject_reason, count(*) from ledger.mapped_readings"
            " where reject_reason is not null group by reject_reason"
        ).fetchall()
    )


@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_any_table_is_judged_as_the_rollout_judges_it(
    make_database: MakeDatabase, date_type: DateType
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE, date_type=date_type)
    apply(database)
    with database.admin() as connection:
        for user in USERS:
            connection.execute("insert into auth.users (id) values (%s)", (user,))

    with database.admin() as owner:

        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
        @given(table=st.data())
        def agrees(table: st.DataObject) -> None:
            judge(owner, table.draw(tables(date_type)))

        agrees()


def judge(owner: Connection, table: Table) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("set local session_replication_role = replica")
        put_readings(owner, [reading.row() for reading in table.readings])
        put_events(owner, [event.row() for event in table.events])
        owner.execute("set local session_replication_role = origin")
        owner.execute("set local role postgres")
        owner.execute("select set_config('timezone', %s, true)", (table.session_zone,))
        owner.execute("update ledger.settings set time_zone = %s", (table.zone.key,))
        owner.execute("select ledger.project_everything()")
        before_it = rejected(owner, table.zone.key), near(owner, table.zone.key)

        owner.execute("select ledger.migrate_data()")

        row = owner.execute("select count(*) from ledger.near_matches").fetchone()
        assert row is not None
        assert before_it == (of_the_rollout(owner), row[0])
        left = rows(owner, "preflight_near_matches_left")
        assert sum(f.amount for f in left) == row[0]


FINE = {"date": "2024-01-01", "kwh_value": "1"}
# A row of each reason, in the zone Pacific/Apia, which had no 30 December 2011; and its neighbour
# that is sound.
REASONS: list[tuple[str | None, dict[str, object]]] = [
    ("no user", {"user_id": None}),
    ("no profile owns it", {"user_id": str(UUID(int=7))}),
    ("no date", {"date": None}),
    ("date out of range", {"date": "infinity"}),
    ("date out of range", {"date": "294276-12-28"}),
    (None, {"date": "294276-12-27"}),
    ("date out of range", {"date": "4713-01-04 BC"}),
    (None, {"date": "4713-01-05 BC"}),
    ("the day does not exist in the time zone", {"date": "2011-12-30"}),
    (None, {"date": "2011-12-31"}),
    ("no kwh_value", {"kwh_value": None}),
    ("kwh_value out of range", {"kwh_value": "-0.01"}),
    ("kwh_value out of range", {"kwh_value": "NaN"}),
    ("kwh_value out of range", {"kwh_value": "1e12"}),
    (None, {"kwh_value": "0"}),
    ("token_amount out of range", {"token_amount": "-1e12"}),
    (None, {"token_amount": "-1"}),
    ("token_cost out of range", {"token_cost": "Infinity"}),
    ("created_at out of range", {"created_at": "-infinity"}),
]


@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_each_reason(make_database: MakeDatabase, date_type: DateType) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY, date_type=date_type)
    user = database.add_user()
    with database.admin() as connection:
        connection.execute(
            "alter table electricity_readings drop constraint electricity_readings_kwh_value_check,"
            " alter column kwh_value type numeric, alter column kwh_value drop not null,"
            " alter column date drop not null, alter column user_id drop not null"
        )
        connection.execute("set local session_replication_role = replica")
        rows_ = [
            {"id": uuid4(), "user_id": user, **FINE, **changes}
            for reason, changes in REASONS
            if date_type == "date" or "exist" not in (reason or "")
        ]
        put_readings(connection, rows_)
    expected = Counter(reason for reason, _ in REASONS if reason is not None)
    if date_type == "timestamptz":  # an instant exists in every zone
        del expected["the day does not exist in the time zone"]

    with database.connect() as connection:
        assert rejected(connection, "Pacific/Apia") == expected
    item = look(database.url, options("staging", time_zone="Pacific/Apia"), "rejects")
    assert item.figures["by_reason"] == expected

    apply(database, before(DATA_PHASE), time_zone="Pacific/Apia")
    with database.connect() as connection:
        assert of_the_rollout(connection) == expected
        assert rejected(connection, "Pacific/Apia") == expected


@pytest.fixture(scope="module")
def demo(databases: Callable[[int], Databases]) -> Database:
    """Every hard case of the demo, before the rollout."""
    database = databases(default_major()).make(Template(StartingPoint.DUAL_WRITE))
    with database.admin() as connection:
        load(connection, generate(SPEC))
    return database


def test_the_hard_cases_before_half_way_and_after(demo: Database) -> None:
    untouched = {name: look(demo.url, OPTIONS, name) for name in ("rejects", "near_duplicates")}
    assert untouched["rejects"].verdict is Verdict.WARN
    assert untouched["rejects"].figures["rejected"] == 22
    assert look(demo.url, OPTIONS, "disk").figures["growth_bytes"] != 0

    apply(demo, before(DATA_PHASE), time_zone=ZONE)
    for name, item in untouched.items():
        assert look(demo.url, OPTIONS, name).figures == item.figures

    apply(demo, time_zone=ZONE)
    assert look(demo.url, OPTIONS, "rejects").figures == untouched["rejects"].figures
    found = demo.value("select count(*) from ledger.near_matches")
    assert untouched["near_duplicates"].figures["pairs"] == found
    assert look(demo.url, OPTIONS, "near_duplicates").figures["pairs"] == found
    disk = look(demo.url, OPTIONS, "disk")
    assert (disk.verdict, disk.figures["growth_bytes"]) == (Verdict.PASS, 0)
    duration = look(demo.url, OPTIONS, "duration")
    assert duration.figures["pending_readings"] == 0
    assert "an estimate" in duration.detail


def test_the_biggest_user_is_named(databases: Callable[[int], Databases]) -> None:
    """Whose rows are one batch, which this user's writers wait for."""
    database = databases(default_major()).make(Template(StartingPoint.LEGACY_ONLY))
    quiet = look(database.url, OPTIONS, "duration")
    assert (quiet.figures["biggest_user"], quiet.figures["biggest_user_rows"]) == (None, 0)
    assert "biggest user" not in quiet.detail
    small, big = database.add_user(), database.add_user()
    for user, count in ((small, 3), (big, 13_000)):
        database.rows(
            "insert into electricity_readings (user_id, date, kwh_value)"
            " select %s, '2026-01-01', 5 from generate_series(1, %s)",
            (user, count),
        )
    item = look(database.url, OPTIONS, "duration")
    assert f"the biggest user, {big}, has 13,000 readings" in item.detail
    assert item.figures["biggest_user"] == str(big)
    assert item.figures["biggest_user_rows"] == 13_000
    assert item.figures["biggest_user_seconds"] == pytest.approx(
        2 * float(str(item.figures["slower_than_measured"])), abs=0.1
    )


def test_estimates_grow_with_the_data_and_a_slow_server() -> None:
    small, large = estimate(1_000, 0), estimate(1_000_000, 1_000_000)
    assert large.growth == 2_300_000_000
    assert large.needed == 2 * large.growth
    assert small.seconds < 10 < large.seconds < 600
    assert estimate(1_000, 0, 3).seconds == pytest.approx(3 * small.seconds)
    assert estimate(0, 0).growth == 0
