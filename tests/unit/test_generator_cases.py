"""The hard cases: rows reckoned again from their texts, and what must become of them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from toolkit.demo.clock import DAY
from toolkit.demo.expectation import count, pair
from toolkit.demo.generator import Dataset, generate
from toolkit.demo.model import (
    METER_READING,
    TOPUP,
    VOID,
    DateType,
    Event,
    Fact,
    Household,
    Reading,
    RejectReason,
    Spec,
)

ZONES = ("UTC", "Asia/Jakarta", "America/New_York", "Pacific/Kiritimati")
DATE_TYPES: tuple[DateType, ...] = ("date", "timestamptz")
SPECS = [
    Spec(seed=7, rows=3_000, users=40, time_zone=zone, date_type=date_type)
    for zone, date_type in itertools.product(ZONES, DATE_TYPES)
]


@pytest.fixture(scope="module", params=SPECS, ids=lambda s: f"{s.time_zone}-{s.date_type}")
def dataset(request: pytest.FixtureRequest) -> Dataset:
    spec: Spec = request.param
    return generate(spec)


@pytest.fixture(scope="module")
def houses(dataset: Dataset) -> dict[UUID, Household]:
    return {house.user_id: house for house in dataset.households()}


def parsed(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("+00", "+00:00"))


def readings_of(houses: dict[UUID, Household]) -> Iterator[Reading]:
    return itertools.chain.from_iterable(house.readings for house in houses.values())


def events_of(houses: dict[UUID, Household]) -> Iterator[Event]:
    return itertools.chain.from_iterable(house.events for house in houses.values())


# What the rows say, reckoned again from their texts


def rejection(reading: Reading, house: Household) -> RejectReason | None:
    row, limit = reading.row, Decimal(10) ** 12

    def bad(text: str | None) -> bool:
        if text is None:
            return False
        number = Decimal(text)
        return not number.is_finite() or abs(number) >= limit

    if house.profile is None:
        return RejectReason.NO_PROFILE
    if "infinity" in row.date:
        return RejectReason.DATE_INFINITE
    if row.created_at is not None and "infinity" in row.created_at:
        return RejectReason.CREATED_AT_INFINITE
    if bad(row.kwh_value):
        return RejectReason.KWH_VALUE
    if bad(row.token_amount):
        return RejectReason.TOKEN_AMOUNT
    return RejectReason.TOKEN_COST if bad(row.token_cost) else None


def test_rows_are_rejected_exactly_where_the_definition_says(houses: dict[UUID, Household]) -> None:
    for house in houses.values():
        for reading in house.readings:
            assert reading.rejected == rejection(reading, house), reading
            assert (reading.fact is None) == (reading.rejected is not None)


def local_day(text: str, zone: str) -> int:
    moment = (
        date.fromisoformat(text) if len(text) == 10 else parsed(text).astimezone(ZoneInfo(zone))
    )
    return moment.toordinal() - date(1970, 1, 1).toordinal()


def test_facts_are_what_the_rows_say(dataset: Dataset, houses: dict[UUID, Household]) -> None:
    zone = dataset.spec.time_zone
    for reading in readings_of(houses):
        if reading.rejected is None:
            bought = Decimal(reading.row.token_amount or 0)
            kind = TOPUP if bought > 0 else METER_READING
            amount = bought if bought > 0 else Decimal(reading.row.kwh_value)
            assert reading.stated == Fact(local_day(reading.row.date, zone), kind, amount)
    for event in events_of(houses):
        row = event.row
        states = row.is_voided != "t" and row.event_type in (TOPUP, METER_READING)
        stated = Fact(local_day(row.event_date, zone), row.event_type, Decimal(row.kwh_amount))
        assert event.fact == (stated if states else None)


def test_event_instants_are_what_the_rows_say(houses: dict[UUID, Household]) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for event in events_of(houses):
        since = parsed(event.row.event_date) - epoch
        assert since.days * DAY + since.seconds * 10**6 + since.microseconds == event.event_date


def test_every_value_fits_its_column(houses: dict[UUID, Household]) -> None:
    for reading in readings_of(houses):
        assert reading.row.kwh_value == "NaN" or 0 <= Decimal(reading.row.kwh_value) < 10**8
    for event in events_of(houses):
        assert re.fullmatch(r"-?\d{1,8}(\.\d\d?)?", event.row.kwh_amount)
        assert re.fullmatch(r"-?\d{1,10}(\.\d{1,4})?", event.row.token_cost or "0")


def test_ids_are_valid_and_unique_in_each_table(houses: dict[UUID, Household]) -> None:
    batches = [batch.id for house in houses.values() for batch in house.batches]
    readings = [reading.row.id for reading in readings_of(houses)]
    events = [event.row.id for event in events_of(houses)]
    for ids in (batches, readings, events):
        assert len(ids) == len(set(ids))
        assert all(str(UUID(id)) == id and UUID(id).version == 4 for id in ids)


def test_void_events_and_batches_point_at_their_own_users_events(
    houses: dict[UUID, Household],
) -> None:
    for house in houses.values():
        own = {event.row.id: event.row for event in house.events}
        batches = {batch.id for batch in house.batches}
        for row in own.values():
            assert (row.event_type == VOID) == (row.void_of_event is not None)
            assert row.void_of_event is None or own[row.void_of_event].is_voided == "t"
            assert row.recalc_batch_id is None or row.recalc_batch_id in batches
        voids = Counter(row.void_of_event for row in own.values() if row.void_of_event)
        assert all(times == 1 for times in voids.values())
        assert all(batch.trigger_event_id in own for batch in house.batches)


# What must become of them


def test_books_balance(dataset: Dataset, houses: dict[UUID, Household]) -> None:
    found = dataset.expectation()
    events = sum(event.counts for event in events_of(houses))
    assert found.migrated + len(found.rejected) == found.legacy_rows
    assert found.merged + found.completed + found.event_only == events
    assert found.counts.rejected == len(found.rejected)
    assert min(found.merged, found.completed, found.event_only, found.near_matches) > 0


def test_counting_and_pairing_agree(houses: dict[UUID, Household]) -> None:
    for house in houses.values():
        pairing, counts = pair(house), count(house)
        assert (len(pairing.merged), len(pairing.completed)) == (counts.merged, counts.completed)
        assert len(set(pairing.merged.values())) == len(pairing.merged)


def test_planted_pairs_are_merged(dataset: Dataset, houses: dict[UUID, Household]) -> None:
    cases = dataset.cases
    planted = {
        cases.duplicate_days.user: cases.duplicate_days.merged,
        cases.halves.user: (cases.halves.both, cases.halves.trailing_zeros),
        cases.ties.user: cases.ties.merged,
        cases.same_id.user: (
            cases.same_id.second_row,
            cases.same_id.voided_twin,
            cases.same_id.elsewhere_pair,
        ),
        cases.back_dated.user: (cases.back_dated.pair,),
        cases.forged.user: (cases.forged.merged,),
        cases.odd_tokens.user: (cases.odd_tokens.zero, cases.odd_tokens.negative),
        cases.limits.user: (cases.limits.reading, *cases.limits.topups),
        cases.notes.user: tuple(cases.notes.readings.values()),
        cases.calendar.user: (
            *cases.calendar.leap_days,
            *cases.calendar.future,
            *cases.calendar.midnights,
        ),
        cases.void_chains.user: (
            cases.void_chains.kept,
            cases.void_chains.null_flag,
            cases.void_chains.open_batch_pair,
        ),
    }
    for user, pairs in planted.items():
        merged = pair(houses[user]).merged
        assert pairs
        assert dict(pairs).items() <= merged.items()


def test_near_matches_are_not_merged(dataset: Dataset, houses: dict[UUID, Household]) -> None:
    near = dataset.cases.near_matches
    found = count(houses[near.user])
    assert (found.merged, found.event_only, found.legacy_rows) == (0, 5, 5)
    assert houses[near.user].near_matches == len(near.pairs) == 4


def test_events_on_a_rows_id_are_completed_only_where_they_state_its_fact(
    dataset: Dataset, houses: dict[UUID, Household]
) -> None:
    same = dataset.cases.same_id
    house = houses[same.user]
    pairing = pair(house)
    ids = {reading.id for reading in house.readings} & {event.id for event in house.events}
    assert pairing.completed == set(same.completed)
    assert ids == {
        *same.completed,
        *same.other_fact,
        same.voided,
        same.voided_with_twin,
        same.elsewhere,
        same.void_event,
    }
    left = {event.id for event in house.events if event.counts}
    left -= pairing.merged.keys() | pairing.completed
    assert left == {same.twin, *same.other_fact}


def test_an_id_shared_by_two_users_ties_nothing(
    dataset: Dataset, houses: dict[UUID, Household]
) -> None:
    shared = dataset.cases.shared_ids
    mine = {reading.id for reading in houses[shared.user].readings}
    theirs = {event.id for event in houses[shared.other_user].events}
    assert mine == theirs == {shared.other_fact, shared.same_fact}
    assert count(houses[shared.user]).completed == count(houses[shared.other_user]).completed == 0
    assert count(houses[shared.other_user]).event_only == 2


def test_a_voided_fact_is_not_merged(dataset: Dataset, houses: dict[UUID, Household]) -> None:
    chains = dataset.cases.void_chains
    assert chains.gone not in pair(houses[chains.user]).merged.values()
    flags = {event.id: event.row.is_voided for event in houses[chains.user].events}
    assert {flags[id] for id in (*chains.voided, *chains.no_legacy, chains.marked_only)} == {"t"}
    assert flags[chains.null_flag.event] is None


def test_every_reason_for_rejection_is_planted(dataset: Dataset) -> None:
    rejects, found = dataset.cases.rejects, dataset.expectation().rejected
    assert set(found.values()) == set(RejectReason)
    for reason, ids in rejects.readings.items():
        assert ids
        assert {found[id] for id in ids} == {reason}
    assert rejects.fine not in found


def test_a_rejected_row_takes_no_event_with_it(
    dataset: Dataset, houses: dict[UUID, Household]
) -> None:
    rejects = dataset.cases.rejects
    assert count(houses[rejects.user]).event_only == len(rejects.twin_events) == 2


def test_everything_of_the_user_who_leaves_is_there_to_go(
    dataset: Dataset, houses: dict[UUID, Household]
) -> None:
    house = houses[dataset.cases.people.deleted_midway]
    found = count(house)
    assert min(found.rejected, found.merged, found.event_only, len(house.batches)) > 0
    assert any(event.row.event_type == VOID for event in house.events)


def test_people_are_who_they_are_said_to_be(
    dataset: Dataset, houses: dict[UUID, Household]
) -> None:
    people = dataset.cases.people
    orphan, unprofiled, idle = (
        houses[user] for user in (people.orphan, people.unprofiled, people.idle)
    )
    assert (orphan.login, orphan.profile, unprofiled.profile) == (None, None, None)
    assert unprofiled.login is not None
    assert idle.profile is not None
    assert not idle.readings
    disabled, admin = houses[people.disabled].profile, houses[people.admin].profile
    assert disabled is not None
    assert disabled.status == "disabled"
    assert admin is not None
    assert admin.role == "admin"
    topups = houses[people.topups_only]
    assert not topups.readings
    assert {event.row.event_type for event in topups.events} == {TOPUP}
