"""The checklist as a whole: before the rollout, half-way and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.catalog import contents, objects
from tests.support.database import Database
from tests.support.household import ZONE, named, plant, put_readings
from tests.support.pgbouncer import transaction_pooler
from tests.support.preflight import (
    DUAL,
    FAIL,
    OPTIONS,
    PASS,
    SKIP,
    WARN,
    findings,
    perform,
    shared_households,
)
from tests.support.rollout import apply, before
from tests.support.servers import Databases, MakeDatabase
from tests.support.session_pooler import session_pooler
from toolkit.bootstrap import StartingPoint
from toolkit.operations.preflight import CheckItem, Verdict, options, pooler, preflight
from toolkit.operations.preflight.run import CHECKS, look
from toolkit.operations.preflight.server import version_item


@pytest.fixture(scope="module")
def households(databases: Callable[[int], Databases]) -> Iterator[Callable[..., Database]]:
    """One database of each starting point and version, with two users; faults are undone."""
    yield from shared_households(databases)


@pytest.mark.parametrize("start", StartingPoint)
def test_nothing_fails_on_a_sound_database_and_nothing_is_changed(
    make_database: MakeDatabase, start: StartingPoint, major: int
) -> None:
    database = make_database(start, major=major)
    plant(database, start)
    was = objects(database), contents(database)

    told: list[CheckItem] = []
    report = preflight(database.url, OPTIONS, on_item=told.append)

    assert report.ready
    assert [item.name for item in report.items] == list(CHECKS)
    assert told == list(report.items)
    assert all(item.next_step for item in report.items if item.verdict in (WARN, FAIL))
    warned = {item.name for item in report.items if item.verdict is WARN}
    assert warned <= {
        *("client_upserts", "duplicate_days", "near_duplicates", "disk", "backup"),
    }
    assert (objects(database), contents(database)) == was


def test_half_way_and_after_it(make_database: MakeDatabase) -> None:
    database = make_database(DUAL)
    plant(database, DUAL)
    report = preflight(database.url, OPTIONS)
    for phases in (before("20261101000104"), before("20261101000401"), None):
        apply(database, phases, time_zone=ZONE)
        report = preflight(database.url, OPTIONS)
        assert report.ready, report
    assert report.item("legacy_dependents").verdict is PASS
    assert report.item("event_dependents").verdict is PASS
    assert report.item("disk").verdict is PASS
    assert report.item("time_zone").detail == "Asia/Jakarta, on record"
    applied = report.item("scripts").figures["phases"]
    assert isinstance(applied, list)
    assert all(phase["applied"] for phase in applied)


def test_after_the_cutover_the_legacy_name_is_a_view(make_database: MakeDatabase) -> None:
    database = make_database(DUAL)
    plant(database, DUAL)
    apply(database, time_zone=ZONE)
    with database.connect() as connection:
        connection.execute("alter table electricity_readings rename to electricity_readings_old")
        connection.execute("create view electricity_readings as table electricity_readings_v")

    report = preflight(database.url, OPTIONS)

    assert report.ready, report
    for name in ("legacy_dependents", "client_upserts", "rejects", "near_duplicates"):
        assert report.item(name).verdict is SKIP


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((14, 9), FAIL), ((15, 1), PASS), ((16, 2), WARN), ((17, 0), PASS), ((18, 0), WARN)],
)
def test_versions(version: tuple[int, int], verdict: Verdict) -> None:
    item = version_item(*version)
    assert item.verdict is verdict
    assert bool(item.next_step) is (verdict is not PASS)


def test_a_role_that_row_level_security_binds(households: Callable[..., Database]) -> None:
    database = households()
    report = preflight(database.authenticator_url, OPTIONS)

    rights = report.item("permissions")
    assert rights.verdict is FAIL
    assert any("row level security binds authenticator" in str(f) for f in findings(rights))
    assert any("of which authenticator is no member" in str(f) for f in findings(rights))
    # What it may not read is never told as nothing found.
    assert report.item("impossible_events").verdict is FAIL
    assert "could not be checked" in report.item("rejects").detail


def test_a_pooler_in_transaction_mode_is_recognised(households: Callable[..., Database]) -> None:
    database = households()
    with transaction_pooler(database) as url:
        report = preflight(url, OPTIONS)
        item = report.item("pooler")
    assert item.verdict is FAIL
    assert "do not survive" in item.detail
    assert "session pooler" in item.next_step
    assert report.count(FAIL) == 1  # the other items are told all the same


def test_a_session_is_kept(
    households: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = households()
    direct = look(database.url, OPTIONS, "pooler")
    assert (direct.verdict, direct.figures["mode"]) == (PASS, "direct")
    with session_pooler(database, 3) as url:
        pooled = look(url, OPTIONS, "pooler")
    assert (pooled.verdict, pooled.figures["mode"]) == (PASS, "session")
    monkeypatch.setattr(pooler, "_PATIENCE_SECONDS", 0.2)
    for size in (1, 2):
        with session_pooler(database, size) as url:
            full = look(url, OPTIONS, "pooler")
        assert (full.verdict, full.figures["mode"]) == (FAIL, "unknown")
        assert "no further session" in full.detail
    with monkeypatch.context() as patch:
        patch.setattr(pooler, "TRANSACTION_POOLER_PORT", database.url.split(":")[3].split("/")[0])
        item = look(database.url, OPTIONS, "pooler")
    assert (item.verdict, "port 6543" in item.detail) == (WARN, True)


@pytest.mark.parametrize(
    ("given", "verdict", "says"),
    [
        (None, FAIL, "no time zone is confirmed, and the day of 16 readings"),
        ("Asia/Jakarta", PASS, "to be recorded by the deploy"),
        ("Asia/Atlantis", FAIL, "PostgreSQL knows no time zone 'Asia/Atlantis'"),
    ],
)
def test_time_zone_to_confirm(
    households: Callable[..., Database], given: str | None, verdict: Verdict, says: str
) -> None:
    item = look(households().url, options("staging", time_zone=given), "time_zone")
    assert item.verdict is verdict
    assert says in item.detail


def test_another_zone_than_the_recorded_one(make_database: MakeDatabase) -> None:
    database = make_database(DUAL)
    plant(database, DUAL)
    apply(database, before("20261101000401"), time_zone=ZONE)
    other = options("staging", time_zone="Asia/Makassar")
    assert look(database.url, other, "time_zone").verdict is WARN
    apply(database, time_zone=ZONE)
    item = look(database.url, other, "time_zone")
    assert (item.verdict, "Asia/Jakarta on record" in item.detail) == (FAIL, True)


def test_duplicate_days_and_near_duplicates(make_database: MakeDatabase) -> None:
    database = make_database(DUAL)
    user = database.add_user()
    quiet = {name: look(database.url, OPTIONS, name) for name in ("duplicate_days",)}
    assert quiet["duplicate_days"].verdict is PASS
    assert look(database.url, OPTIONS, "near_duplicates").verdict is PASS
    with database.connect() as connection:
        row = {"user_id": user, "date": "2024-03-03", "kwh_value": "5"}
        put_readings(connection, [{**row, "id": named(user, name)} for name in "ab"])
        connection.execute(
            "insert into token_events (user_id, event_type, event_date, kwh_amount)"
            " values (%s, 'METER_READING', '2024-03-03 10:00+07', 5.5)",
            (user,),
        )
    days = look(database.url, OPTIONS, "duplicate_days")
    assert days.verdict is WARN
    assert days.detail == "1 days have more than one reading, 2 rows in all"
    near = look(database.url, OPTIONS, "near_duplicates")
    assert (near.verdict, near.figures["pairs"]) == (WARN, 2)


def test_acknowledgements(households: Callable[..., Database]) -> None:
    url = households().url
    sure = options("staging", acknowledged=["upsert", "disk", "dependents"])
    for name in ("client_upserts", "disk"):
        assert look(url, OPTIONS, name).verdict is WARN
        assert look(url, sure, name).verdict is PASS
    perform(households(), "create view monthly as select user_id from electricity_readings")
    try:
        assert look(url, OPTIONS, "legacy_dependents").verdict is WARN
        assert look(url, sure, "legacy_dependents").verdict is PASS
    finally:
        perform(households(), "drop view monthly")
