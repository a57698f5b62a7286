"""Hard cases of single values: numbers, notes, dates, and the rows that must be rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from toolkit.demo.clock import DAY, HOUR, MINUTE, utc
from toolkit.demo.hard_matching import JOINED, Pair
from toolkit.demo.model import METER_READING, TOPUP, RejectReason
from toolkit.demo.scribe import Raw, Scribe

# Text that breaks naive quoting, COPY or JSON. NUL can't be stored, so it is not among them.
NOTES: Mapping[str, str] = {
    "emoji": "⚡️🔌 habis! 👨‍👩‍👧‍👦 \U0001f1ee\U0001f1e9",
    "quotes": """it's "quoted", $$dollars$$, `ticks` and ''doubled''""",
    "newlines": "first\nsecond\r\nthird\rfourth\n",
    "backslashes": "C:\\new\\table \\\\ \\x41 \\101 \\",
    "tabs": "\tone\t\ttwo\t",
    "long": "kWh 🔋 " * 1_280,  # 10 kB and more
    "terminator": "\\.",
    "terminator_line": "before\n\\.\nafter",
    "null_text": "\\N",
    "null_word": "NULL",
    "empty": "",
    "spaces": "  ",
    "control": "\x01\x08\x0b\x0c\x1b[31m\x7f",
    "scripts": "पानी مرحبا e\u0301 \u202eabc\u202c \ufeff\u200b",
    "sql": "'); drop table public.token_events; --",
    "json": '{"migrated_from": "electricity_readings", "x": [1, null]}',
    "percent": "100% %s %(id)s {} {0}",
}


@dataclass(frozen=True)
class OddTokens:
    """Legacy rows that carry a token_amount or token_cost and are no top-ups.

    Attributes:
        zero, negative: token_amount 0 and -15.50, with an event of the same balance each.
        null: no token_amount, no token_cost.
        cost_only: token_cost on a plain reading.
        zero_with_cost, negative_with_cost: both columns, no event.
    """

    user: UUID
    zero: Pair
    negative: Pair
    null: UUID
    cost_only: UUID
    zero_with_cost: UUID
    negative_with_cost: UUID


@dataclass(frozen=True)
class Limits:
    """Numbers at the ends of what the columns hold.

    Attributes:
        reading: kwh_value 99999999.99, the end of numeric(10,2), dual-written.
        topups: two rows that bought 99999999.99 kWh each, dual-written: their sum overflows
            the old type.
        events: two top-ups of that size that only token_events knows.
        largest: token_amount and token_cost just under 1e12; an event can't hold it.
        finest: token_amount 0.000001.
        zero: kwh_value 0.
    """

    user: UUID
    reading: Pair
    topups: tuple[Pair, Pair]
    events: tuple[UUID, UUID]
    largest: UUID
    finest: UUID
    zero: UUID


@dataclass(frozen=True)
class Notes:
    """Legacy rows with difficult notes, by name as in NOTES, each dual-written."""

    user: UUID
    readings: Mapping[str, Pair]


@dataclass(frozen=True)
class Calendar:
    """Dates at the edges.

    Attributes:
        null_created_at: legacy rows without created_at; the first has an event.
        leap_days: 29 February 2020 and 2024.
        future: legacy rows of the year 2100, dual-written.
        midnights: rows and events within a microsecond of midnight in UTC and in Jakarta.
    """

    user: UUID
    null_created_at: tuple[UUID, ...]
    leap_days: tuple[Pair, ...]
    future: tuple[Pair, ...]
    midnights: tuple[Pair, ...]


@dataclass(frozen=True)
class Rejects:
    """Legacy rows of a user with a profile that can't become events.

    Attributes:
        readings: the rejected rows by reason.
        fine: a valid row of the same user.
        twin_events: events of the balance or amount that a rejected row shows; they stay.
    """

    user: UUID
    readings: Mapping[RejectReason, tuple[UUID, ...]]
    fine: UUID
    twin_events: tuple[UUID, ...]


def odd_tokens(scribe: Scribe) -> OddTokens:
    """token_amount zero, negative, NULL; a cost without a token."""
    at = scribe.clock.at(2024, 1, 5)
    scribe.profile("Odd tokens", scribe.clock.at(*JOINED))
    zero = scribe.reading(at, "90.00", token="0")
    negative = scribe.reading(at + DAY, "80.00", token="-15.50")
    return OddTokens(
        scribe.user_id,
        Pair(scribe.twin(zero).id, zero.id),
        Pair(scribe.twin(negative).id, negative.id),
        scribe.reading(at + 2 * DAY, "70.00").id,
        scribe.reading(at + 3 * DAY, "60.00", cost="72235.00").id,
        scribe.reading(at + 4 * DAY, "50.00", token="0.00", cost="0").id,
        scribe.reading(at + 5 * DAY, "40.00", token="-0.01", cost="-14.45").id,
    )


def limits(scribe: Scribe) -> Limits:
    """Sums and products of these overflow numeric(10,2) and numeric(12,2)."""
    at, most = scribe.clock.at(2024, 1, 5), "99999999.99"
    scribe.profile("Limits", scribe.clock.at(*JOINED))
    reading = scribe.reading(at, most)
    rows = [
        scribe.reading(at + day * DAY, most, token=most, cost="9999999999.99") for day in (1, 2)
    ]
    pairs = [Pair(scribe.twin(row).id, row.id) for row in rows]
    events = [scribe.event(TOPUP, at + day * DAY, most, cost="9999999999.99") for day in (3, 4)]
    enough = "999999999999.99"
    return Limits(
        scribe.user_id,
        Pair(scribe.twin(reading).id, reading.id),
        (pairs[0], pairs[1]),
        (events[0].id, events[1].id),
        scribe.reading(at + 5 * DAY, most, token=enough, cost=enough).id,
        scribe.reading(at + 6 * DAY, "0.01", token="0.000001", cost="0.000001").id,
        scribe.reading(at + 7 * DAY, "0").id,
    )


def notes(scribe: Scribe) -> Notes:
    """One row a note."""
    at = scribe.clock.at(2024, 1, 5)
    scribe.profile("Notes 'and' \"names\"\n\\. ⚡", scribe.clock.at(*JOINED))
    found = {}
    for day, (name, text) in enumerate(NOTES.items()):
        row = scribe.reading(at + day * DAY, f"{199 - day}.00", notes=text, photo=text[:40])
        found[name] = Pair(scribe.twin(row).id, row.id)
    return Notes(scribe.user_id, found)


def calendar(scribe: Scribe) -> Calendar:
    """Missing, leap, future and midnight dates."""
    clock = scribe.clock
    scribe.profile("Calendar", clock.at(2019, 12, 1))
    unknown = [
        scribe.reading(clock.at(2024, 6, day), f"{100 - day}.00", created=None) for day in (1, 2, 2)
    ]
    scribe.twin(unknown[0])
    midnights = [utc(2024, 3, 1), utc(2024, 12, 31, 17), utc(2025, 1, 1), utc(2024, 2, 29, 17)]
    return Calendar(
        scribe.user_id,
        tuple(row.id for row in unknown),
        tuple(_both(scribe, clock.at(year, 2, 29), "77.70") for year in (2020, 2024)),
        tuple(
            _both(scribe, clock.at(2100, *day), f"{99 - day[0]}.00")
            for day in ((1, 1), (2, 28), (3, 1), (12, 31))
        ),
        tuple(
            _both(scribe, midnight + micro, f"{60 - 3 * n + micro}.00")
            for n, midnight in enumerate(midnights)
            for micro in (-1, 0, 1)
        ),
    )


def rejects(scribe: Scribe) -> Rejects:
    """Each reason for which a row of a known user can't be migrated."""
    at, why = scribe.clock.at(2024, 9, 1), RejectReason
    scribe.profile("Rejected rows", scribe.clock.at(*JOINED))
    fine = scribe.reading(at - DAY, "90.00")
    bad = ("NaN", "Infinity", "-Infinity", "1000000000000", "-1000000000000.5", "1e30")
    rows = [scribe.reading(at, "NaN", rejected=why.KWH_VALUE)]
    for day, number in enumerate(bad):
        when = at + day * DAY
        rows.append(scribe.reading(when, "50.00", token=number, rejected=why.TOKEN_AMOUNT))
        rows.append(scribe.reading(when + HOUR, "45.00", cost=number, rejected=why.TOKEN_COST))
    for n, text in enumerate(("infinity", "-infinity")):
        dates, created = Raw(date=text), Raw(created_at=text)
        rows.append(scribe.reading(at, f"3{n}.00", rejected=why.DATE_INFINITE, raw=dates))
        rows.append(scribe.reading(at, f"2{n}.00", rejected=why.CREATED_AT_INFINITE, raw=created))
    twins = [
        scribe.event(METER_READING, at + HOUR + MINUTE, "45.00"),
        scribe.event(METER_READING, at, "20.00"),
    ]
    return Rejects(
        scribe.user_id,
        {
            reason: tuple(row.id for row in rows if row.rejected is reason)
            for reason in why
            if reason is not why.NO_PROFILE
        },
        fine.id,
        tuple(event.id for event in twins),
    )


def orphans(scribe: Scribe) -> tuple[UUID, ...]:
    """Legacy rows of a user without a profile; the caller says whether there is a login."""
    at = scribe.clock.at(2024, 10, 1)
    rows = [
        scribe.reading(at, "80.00", rejected=RejectReason.NO_PROFILE),
        scribe.reading(
            at + DAY, "130.00", token="50.00", cost="72235.00", rejected=RejectReason.NO_PROFILE
        ),
    ]
    return tuple(row.id for row in rows)


def _both(scribe: Scribe, instant: int, kwh: str) -> Pair:
    """A legacy row and an event of the very same instant."""
    row = scribe.reading(instant, kwh)
    return Pair(scribe.twin(row).id, row.id)
