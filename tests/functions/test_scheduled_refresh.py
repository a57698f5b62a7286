"""The scheduled refresh: when it is due, what it costs nothing to skip, and what stops it."""

from __future__ import annotations

from typing import Literal

import pytest

from functions.refresh_readings.main import entry
from tests.functions.conftest import Place
from tests.support.database import Connection
from tests.support.events import MATERIALIZED_VIEW, PROJECTION, READING, day, record, rows_of

LOCK = "select pg_advisory_xact_lock(hashtextextended('meterledger.refresh_readings_mv', 0))"
NEWEST = "select outcome, trigger_source from ledger.refresh_log order by refresh_id desc limit 1"


def some_user(owner: Connection) -> object:
    row = owner.execute("select user_id from ledger.heads order by 1 limit 1").fetchone()
    assert row is not None
    return row[0]


def write(owner: Connection) -> None:
    record(owner, some_user(owner), READING, 7, day(40))  # type: ignore[arg-type]


def age(owner: Connection, hours: int) -> None:
    owner.execute(
        "update ledger.refresh_log set started_at = started_at - %(by)s::interval,"
        " finished_at = finished_at - %(by)s::interval",
        {"by": f"{hours} hours"},
    )


@pytest.mark.parametrize("via", ["rpc", "database"])
def test_it_refreshes_once(
    place: Place, owner: Connection, via: Literal["rpc", "database"]
) -> None:
    assert rows_of(owner, MATERIALIZED_VIEW) != rows_of(owner, PROJECTION)
    status, first = place.run(entry, via=via)
    again = place.run(entry, via=via)[1]

    assert (status, first["outcome"], first["rows"], first["users"]) == (200, "refreshed", 12, 3)
    assert (again["outcome"], again["reason"]) == ("not needed", "no user changed")
    assert rows_of(owner, MATERIALIZED_VIEW) == rows_of(owner, PROJECTION)
    assert owner.execute(NEWEST.encode()).fetchone() == ("not needed", "manual")


def test_a_change_waits_for_its_age(place: Place, owner: Connection) -> None:
    owner.execute("update ledger.work_settings set refresh_share = 1")
    place.run(entry)
    write(owner)
    early = place.run(entry)[1]
    age(owner, 2)
    due = place.run(entry)[1]
    owner.execute("update ledger.work_settings set refresh_share = 0.2")

    assert (early["outcome"], early["changed"]) == ("not needed", 1)
    assert (due["outcome"], due["changed"]) == ("refreshed", 1)


def test_a_clock_that_was_set_back_stops_no_refresh(place: Place, owner: Connection) -> None:
    place.run(entry)
    write(owner)
    age(owner, -24)

    assert place.run(entry)[1]["outcome"] == "refreshed"
    health = owner.execute("select ledger_health()").fetchone()
    assert health is not None
    assert 0 <= health[0]["seconds_since_refresh"] < 600


def test_a_large_share_is_refreshed_before_its_age(place: Place, owner: Connection) -> None:
    place.run(entry)
    owner.execute("update ledger.refresh_log set started_at = finished_at")  # a moment's work
    write(owner)

    assert place.run(entry)[1]["outcome"] == "refreshed"


def test_an_erased_user_is_a_change(place: Place, owner: Connection) -> None:
    place.run(entry)
    owner.execute("delete from auth.users where id = %s", (some_user(owner),))
    age(owner, 2)

    assert place.run(entry)[1]["outcome"] == "refreshed"
    assert rows_of(owner, MATERIALIZED_VIEW) == rows_of(owner, PROJECTION)


def test_it_can_be_switched_off(place: Place, owner: Connection) -> None:
    owner.execute("update ledger.work_settings set refresh = false")
    result = place.run(entry)[1]
    owner.execute("update ledger.work_settings set refresh = true")

    assert (result["outcome"], result["reason"]) == ("not needed", "switched off")


def test_of_two_schedulers_one_skips(place: Place) -> None:
    with place.database.connect() as other:
        other.execute(LOCK.encode())
        status, result = place.run(entry)

    assert (status, result["outcome"]) == (200, "skipped")
    assert place.webhook.alerts == []


def test_a_refresh_by_hand_makes_it_skip(place: Place, owner: Connection) -> None:
    place.run(entry)
    owner.execute("delete from ledger.refresh_marks")
    age(owner, 2)
    with place.database.connect() as other:
        other.execute("refresh materialized view concurrently public.electricity_readings_mv")
        result = place.run(entry)[1]

    assert result["outcome"] == "skipped"
    assert owner.execute(NEWEST.encode()).fetchone() == ("skipped", "manual")


def test_a_deadline_that_is_too_short_is_a_failure_that_is_logged(
    place: Place, owner: Connection
) -> None:
    place.run(entry)
    owner.execute(
        "update ledger.refresh_log set started_at = finished_at - interval '10 min'"
        " where outcome = 'refreshed'"
    )
    write(owner)
    age(owner, 24)
    status, result = place.run(entry)

    assert (status, result["outcome"]) == (500, "failed")
    assert "longer than this run may" in result["reason"]
    assert owner.execute(NEWEST.encode()).fetchone() == ("failed", "manual")


def test_a_view_that_would_shrink_stays_as_it_was(place: Place, owner: Connection) -> None:
    place.run(entry)
    before = rows_of(owner, MATERIALIZED_VIEW)
    write(owner)
    # A definition that forgets rows: what a bad edit or a wrong owner makes of it.
    body = owner.execute(
        "select pg_get_viewdef('public.electricity_readings_mv'::regclass)"
    ).fetchone()
    assert body is not None
    with place.database.connect() as connection:
        connection.execute("drop materialized view public.electricity_readings_mv")
        text = str(body[0]).rstrip(";")
        connection.execute(
            f"create materialized view public.electricity_readings_mv as"  # noqa: S608
            f" select * from ({text}) as whole where kwh_value <> 7".encode()
        )
        connection.execute(
            "create unique index electricity_readings_mv_key"
            " on public.electricity_readings_mv (user_id, id)"
        )
    age(owner, 2)
    status, result = place.run(entry)

    assert (status, result["outcome"], result["code"]) == (500, "failed", "ML007")
    assert "lost 1 rows" in result["reason"]
    assert rows_of(owner, MATERIALIZED_VIEW) == before
    # As it was, for the other tests.
    with place.database.connect() as connection:
        connection.execute("drop materialized view public.electricity_readings_mv")
        connection.execute(
            f"create materialized view public.electricity_readings_mv as {text}".encode()
        )
        connection.execute(
            "create unique index electricity_readings_mv_key"
            " on public.electricity_readings_mv (user_id, id)"
        )


def test_an_emptied_view_is_filled(place: Place, owner: Connection) -> None:
    place.run(entry)
    owner.execute("refresh materialized view public.electricity_readings_mv with no data")
    result = place.run(entry)[1]

    assert (result["outcome"], result["reason"]) == ("refreshed", "it was emptied")
    assert rows_of(owner, MATERIALIZED_VIEW) == rows_of(owner, PROJECTION)
