"""The generator: the same rows for the same seed, every hard case, and honest expectations."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.demo.clock import DAY, Clock, utc
from toolkit.demo.expectation import count
from toolkit.demo.generator import Dataset, generate
from toolkit.demo.hard_readings import NOTES
from toolkit.demo.loading import copy_line
from toolkit.demo.model import (
    Household,
    Spec,
)
from toolkit.errors import UsageError

ZONES = ("UTC", "Asia/Jakarta", "America/New_York", "Pacific/Kiritimati")


def digest(dataset: Dataset) -> str:
    found = sha256()
    for house in dataset.households():
        rows = [house.login, house.profile, *(reading.row for reading in house.readings)]
        found.update(repr([*rows, *(e.row for e in house.events), *house.batches]).encode())
    return found.hexdigest()


# The same again


def test_the_same_seed_gives_the_same_rows() -> None:
    spec = Spec(seed=3, rows=800, users=30)
    assert digest(generate(spec)) == digest(generate(spec))


def test_a_dataset_can_be_read_twice() -> None:
    dataset = generate(Spec(rows=800, users=30))
    assert digest(dataset) == digest(dataset)


def test_another_seed_gives_other_rows() -> None:
    assert digest(generate(Spec(seed=1, rows=500))) != digest(generate(Spec(seed=2, rows=500)))


def test_another_process_with_another_hash_seed_and_time_zone_gives_the_same_rows() -> None:
    program = (
        "from tests.unit.test_generator import *\n"
        "import sys; sys.stdout.write(digest(generate(Spec(rows=600, users=30))))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path) or "."
    other = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout == digest(generate(Spec(rows=600, users=30)))


def test_hard_cases_keep_their_ids_whatever_else_is_generated() -> None:
    small, large = (generate(Spec(rows=rows, users=rows // 10)) for rows in (1_000, 50_000))
    assert small.cases.same_id == large.cases.same_id
    assert small.cases.people == large.cases.people


# How many


@pytest.mark.parametrize(("rows", "users"), [(1_000, 30), (1_000, 500), (12_345, 77), (5_000, 1)])
def test_the_legacy_rows_are_as_many_as_asked_for(rows: int, users: int) -> None:
    dataset = generate(Spec(rows=rows, users=users))
    found = sum(len(house.readings) for house in dataset.households())
    assert found == rows == dataset.legacy_rows == dataset.expectation().legacy_rows


def test_the_users_are_as_many_as_asked_for() -> None:
    dataset = generate(Spec(rows=2_000, users=60))
    assert len({house.user_id for house in dataset.households()}) == 60


def test_a_tiny_dataset_still_holds_every_hard_case() -> None:
    tiny, small = generate(Spec(rows=0, users=1)), generate(Spec(rows=5_000, users=1))
    assert 0 < tiny.legacy_rows < 300
    assert tiny.legacy_rows == sum(len(house.readings) for house in tiny.households())
    assert tiny.cases.rejects == small.cases.rejects


def test_by_default_one_user_has_twenty_thousand_rows() -> None:
    cases = generate(Spec()).cases
    house = next(h for h in generate(Spec()).households() if h.user_id == cases.people.heavy)
    assert len(house.readings) == cases.heavy_rows == 20_000


def test_a_million_rows_are_not_made_before_they_are_asked_for() -> None:
    first = next(generate(Spec(rows=1_000_000)).households())
    assert len(first.readings) < 100


@pytest.mark.parametrize("rows", [-1, -100])
def test_a_negative_number_of_rows_is_refused(rows: int) -> None:
    with pytest.raises(UsageError, match="can't be made"):
        Spec(rows=rows)


def test_no_users_are_refused() -> None:
    with pytest.raises(UsageError, match="can't be made"):
        Spec(users=0)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Asia/Jakarta\0"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(UsageError, match="unknown") as caught:
        Spec(time_zone=zone)
    assert "IANA" in caught.value.next_step


def test_another_date_type_is_refused() -> None:
    with pytest.raises(UsageError, match="text"):
        Spec(date_type="text")  # type: ignore[arg-type]


def test_without_dual_writes_there_are_no_events() -> None:
    dataset = generate(Spec(rows=1_000, users=30, dual_write=False))
    assert not any(house.events or house.batches for house in dataset.households())
    found = dataset.expectation()
    assert (found.merged, found.completed, found.event_only, found.near_matches) == (0, 0, 0, 0)
    assert found.view_rows == found.migrated == found.legacy_rows - len(found.rejected)


def test_notes_hold_what_breaks_naive_tools() -> None:
    assert set(generate(Spec()).cases.notes.readings) == set(NOTES)
    assert len(NOTES["long"].encode()) >= 10_240
    assert not any("\0" in text for text in NOTES.values())


@pytest.mark.parametrize("zone", ["UTC", "Asia/Jakarta"])
def test_midnights_fall_on_both_sides(zone: str) -> None:
    dataset = generate(Spec(rows=0, users=1, time_zone=zone))
    calendar = dataset.cases.calendar
    house = next(h for h in dataset.households() if h.user_id == calendar.user)
    days = {event.id: event.fact.day for event in house.events if event.fact is not None}
    triples = [calendar.midnights[n : n + 3] for n in (0, 3, 6, 9)]  # before, at, after
    edges = [[days[found.event] for found in triple] for triple in triples]
    assert sum(before + 1 == at == after for before, at, after in edges) == 2


# What the field looks like


def ordinary(rows: int = 20_000) -> list[Household]:
    dataset = generate(Spec(rows=rows, users=60))
    return list(dataset.households())[25:]


def test_households_burn_four_to_fifteen_kwh_a_day() -> None:
    for house in ordinary():
        burned, rows = Decimal(0), house.readings
        for before, after in itertools.pairwise(rows):
            bought = Decimal(after.row.token_amount or 0)
            burned += Decimal(before.row.kwh_value) + bought - Decimal(after.row.kwh_value)
        days = Decimal(rows[-1].typed_at - rows[0].typed_at) / DAY
        assert Decimal("3.5") < burned / days < 16


def test_tokens_are_of_twenty_to_two_hundred_kwh_at_the_tariff() -> None:
    topups = [r.row for house in ordinary() for r in house.readings if r.row.token_amount]
    assert len(topups) > 500
    for row in topups:
        amount = Decimal(row.token_amount or 0)
        assert 20 <= amount <= 200
        assert Decimal(row.token_cost or 0) == (amount * Decimal("1444.70")).quantize(
            Decimal("0.01")
        )


def test_readings_are_one_to_three_days_apart() -> None:
    for house in ordinary():
        for before, after in itertools.pairwise(house.readings):
            assert 0 < after.typed_at - before.typed_at < 4 * DAY


def test_many_rows_for_one_household_stay_within_twelve_years() -> None:
    house = list(generate(Spec(rows=40_000, users=1)).households())[-1]
    assert len(house.readings) > 30_000
    assert house.readings[-1].typed_at - house.readings[0].typed_at < 13 * 365 * DAY
    assert house.readings[-1].typed_at < utc(2026, 7, 1)


def test_most_rows_of_a_household_are_dual_written() -> None:
    for house in ordinary():
        found = count(house)
        assert 0.8 < found.merged / found.legacy_rows < 1


# Clock and COPY


@given(
    st.datetimes(datetime(1995, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from([*ZONES, "Pacific/Apia", "Australia/Lord_Howe", "America/Sao_Paulo"]),
)
def test_the_clock_reads_as_the_time_zone_database(moment: datetime, zone: str) -> None:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    instant = since.days * DAY + since.seconds * 10**6 + since.microseconds
    clock = Clock(zone)
    day = clock.local_day(instant)
    assert clock.day_text(day) == moment.astimezone(ZoneInfo(zone)).date().isoformat()
    assert clock.text(instant) == moment.strftime("%Y-%m-%d %H:%M:%S.%f+00")
    assert clock.midnight(day) <= instant


@given(st.lists(st.none() | st.text(st.characters(exclude_characters="\0")), min_size=1))
def test_copy_lines_hold_one_row_each_and_can_be_read_back(row: list[str | None]) -> None:
    line = copy_line(tuple(row))
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert "\r" not in line
    assert [unescaped(field) for field in line[:-1].split("\t")] == row


def unescaped(field: str) -> str | None:
    if field == "\\N":
        return None
    letters = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
    return re.sub(r"\\(.)", lambda found: letters[found[1]], field)
