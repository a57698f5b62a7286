"""Hard cases of pairing: which event and which legacy row are one fact, and which only look so.

Each function writes one household and returns what it planted, by id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from toolkit.demo.clock import DAY, HOUR, MINUTE, SECOND
from toolkit.demo.model import METER_READING, TOPUP, Event, Reading
from toolkit.demo.scribe import Scribe

JOINED = (2023, 12, 1)


class Pair(NamedTuple):
    """An event and a legacy row, by id."""

    event: UUID
    reading: UUID


@dataclass(frozen=True)
class DuplicateDays:
    """Several legacy rows and events on one day.

    Attributes:
        merged: the pairs that must be merged, in order of writing.
        unpaired_reading: of two identical rows with one event, the later one.
        extra_events: of one row with three events, the later two; they stay.
    """

    user: UUID
    merged: tuple[Pair, ...]
    unpaired_reading: UUID
    extra_events: tuple[UUID, UUID]


@dataclass(frozen=True)
class Halves:
    """Dual-written and half-dual-written top-ups.

    Attributes:
        both: written to both tables.
        legacy_only: a top-up that token_events lacks.
        event_only: a top-up that the legacy table lacks.
        balance_event: a METER_READING event written beside `both`, of the balance after it;
            the legacy row is a top-up, so it stays.
        trailing_zeros: 20.500 kWh in the legacy table, 20.50 in token_events: one fact.
    """

    user: UUID
    both: Pair
    legacy_only: UUID
    event_only: UUID
    balance_event: UUID
    trailing_zeros: Pair


@dataclass(frozen=True)
class NearMatches:
    """Pairs that no migration may merge; a person should look at all but `kind`.

    Attributes:
        amount, hundredth: the same day, another amount.
        day_after, day_before: the same amount, the event on the neighbouring day.
        kind: a top-up of 20 kWh and a meter that shows 20 kWh, on one day.
    """

    user: UUID
    amount: Pair
    hundredth: Pair
    day_after: Pair
    day_before: Pair
    kind: Pair

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Those that a person should look at."""
        return (self.amount, self.hundredth, self.day_after, self.day_before)


@dataclass(frozen=True)
class Ties:
    """Rows that only their ids put in order.

    Attributes:
        readings: different balances, one date and one created_at, in the order of their ids.
        events: live events of one event_date and one created_at, in the order of their ids.
        merged: three identical rows and two identical events, paired by id.
    """

    user: UUID
    readings: tuple[UUID, ...]
    events: tuple[UUID, ...]
    merged: tuple[Pair, ...]


def duplicate_days(scribe: Scribe) -> DuplicateDays:
    """One day holding two rows of one fact, or three events of it."""
    scribe.profile("Duplicate days", scribe.clock.at(*JOINED))
    day = scribe.clock.at(2024, 1, 10)
    first, second = scribe.reading(day, "80.00"), scribe.reading(day + MINUTE, "80.00")
    merged = [pair_of(scribe.twin(first), first), pair_of(scribe.twin(second), second)]
    for hour in (1, 2):  # other balances of that day, typed in another order than written
        row = scribe.reading(day - hour * HOUR, f"8{hour}.50", created=day + hour * HOUR)
        merged.append(pair_of(scribe.twin(row), row))
    lone, late = scribe.reading(day + DAY, "70.00"), scribe.reading(day + DAY + MINUTE, "70.00")
    merged.append(pair_of(scribe.twin(lone, shift=2 * MINUTE), lone))
    bought = scribe.reading(day + 2 * DAY, "110.00", token="50.00", cost="72235.00")
    events = [scribe.twin(bought, shift=minutes * MINUTE) for minutes in (0, 1, 2)]
    merged.append(pair_of(events[0], bought))
    return DuplicateDays(scribe.user_id, tuple(merged), late.id, (events[1].id, events[2].id))


def halves(scribe: Scribe) -> Halves:
    """Top-ups of which both, the old or the new half exists."""
    clock = scribe.clock
    scribe.profile("Halves", clock.at(*JOINED))
    whole = scribe.reading(clock.at(2024, 1, 2), "150.00", token="100.00", cost="144470.00")
    whole_event = scribe.twin(whole)
    balance = scribe.event(METER_READING, whole.typed_at + SECOND, "150.00")
    lost = scribe.reading(clock.at(2024, 1, 9), "160.00", token="90.00", cost="130023.00")
    new = scribe.event(TOPUP, clock.at(2024, 1, 16), "40.00", cost="57788.00")
    zeros = scribe.reading(clock.at(2024, 1, 20), "120.5", token="20.500", cost="29616.3500")
    zeros_event = scribe.event(TOPUP, zeros.typed_at, "20.50", cost="29616.35")
    return Halves(
        scribe.user_id,
        pair_of(whole_event, whole),
        lost.id,
        new.id,
        balance.id,
        pair_of(zeros_event, zeros),
    )


def near_matches(scribe: Scribe) -> NearMatches:
    """The same day with a slightly different amount; the same amount on the neighbouring day."""
    clock = scribe.clock
    scribe.profile("Near matches", clock.at(*JOINED))
    amount = scribe.reading(clock.at(2024, 2, 1), "120.00", token="50.00", cost="72235.00")
    amount_event = scribe.event(TOPUP, amount.typed_at, "50.50", cost="72235.00")
    hundredth = scribe.reading(clock.at(2024, 2, 5), "101.10")
    hundredth_event = scribe.event(METER_READING, hundredth.typed_at, "101.11")
    # A phone that took the day from UTC and a table that took it from the household.
    after = scribe.reading(clock.at(2024, 2, 8, 12), "140.00", token="60.00", cost="86682.00")
    after_event = scribe.twin(after, shift=13 * HOUR)
    before = scribe.reading(clock.at(2024, 2, 12, 12), "130.00", token="25.00", cost="36117.50")
    before_event = scribe.twin(before, shift=-13 * HOUR)
    kind = scribe.reading(clock.at(2024, 2, 20), "75.00", token="20.00", cost="28894.00")
    kind_event = scribe.event(METER_READING, kind.typed_at, "20.00")
    found = NearMatches(
        scribe.user_id,
        pair_of(amount_event, amount),
        pair_of(hundredth_event, hundredth),
        pair_of(after_event, after),
        pair_of(before_event, before),
        pair_of(kind_event, kind),
    )
    scribe.household.near_matches += len(found.pairs)
    return found


def ties(scribe: Scribe) -> Ties:
    """One event_date and one created_at for several rows."""
    clock = scribe.clock
    scribe.profile("Ties", clock.at(*JOINED))
    at = clock.at(2024, 3, 5)
    rows = [scribe.reading(at, f"{kwh}.00", created=at) for kwh in (61, 64, 62, 63)]
    events = [scribe.event(TOPUP, at + DAY, f"2{n}.00", created=at + DAY) for n in range(3)]
    same = [scribe.reading(at + 2 * DAY, "55.00", created=at + 2 * DAY) for _ in range(3)]
    late = at + 2 * DAY + HOUR
    twins = [scribe.event(METER_READING, late, "55.00", created=late) for _ in range(2)]
    pairs = zip(sorted(twin.id for twin in twins), sorted(row.id for row in same), strict=False)
    return Ties(
        scribe.user_id,
        tuple(sorted(row.id for row in rows)),
        tuple(sorted(event.id for event in events)),
        tuple(Pair(event, row) for event, row in pairs),
    )


def pair_of(event: Event, reading: Reading) -> Pair:
    """Their ids."""
    return Pair(event.id, reading.id)
