"""Ordinary households: what most of the field looks like.

A household burns 4 to 15 kWh a day, types what its meter shows every one to three days, and
buys a token of 20 to 200 kWh when little is left. The new app wrote most of that to
token_events too: some of it is missing there, some has drifted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from uuid import UUID

from toolkit.demo.clock import DAY, HOUR, SECOND, Clock, utc
from toolkit.demo.model import ADJUSTMENT, METER_READING, Household, Reading, Spec
from toolkit.demo.scribe import Extra, Scribe, Voided

RATE_CENTS = 144_470  # IDR 1444.70 a kWh
LAST_DAY = utc(2026, 6, 30) // DAY  # of the ordinary records: fixed, never today
HEAVY_ROWS = 20_000
LONGEST_SPAN = 12 * 365  # days; more rows than fit are several a day
_MEAN_GAP = 2.0  # days between rows, at most: a top-up may follow a reading at once
_DAWN = 5 * HOUR  # people type between five and ten, on the longest and the shortest day alike
_WAKING = 17 * HOUR

_NOTES = ("dapur", "after the repair", "token from the shop", "typed by my daughter", "lantai 2")
_SOURCE = '{"source": "app"}'


@dataclass(frozen=True)
class _Entry:
    """A moment at the meter: what it shows (cents of a kWh) and what was bought."""

    instant: int
    balance: int
    bought: int


def money(cents_kwh: int) -> str:
    """What so many hundredths of a kWh cost, in IDR."""
    return cents((cents_kwh * RATE_CENTS + 50) // 100)


def cents(amount: int) -> str:
    """Hundredths as a decimal text."""
    return f"{amount // 100}.{amount % 100:02d}"


def ordinary_household(spec: Spec, clock: Clock, number: int, rows: int) -> Household:
    """An ordinary household with exactly that many legacy rows."""
    scribe = Scribe(spec, clock, f"household {number}")
    roll = scribe.rng.random()
    entries = _entries(scribe.rng, clock, rows)
    scribe.profile(
        None if roll < 0.1 else f"Rumah {number}",
        clock.midnight(LAST_DAY - LONGEST_SPAN - 30),
        role="admin" if roll > 0.99 else "user",
        status="disabled" if 0.1 <= roll < 0.13 else "active",
    )
    live_through(scribe, entries)
    return scribe.household


def heavy_rows(spec: Spec) -> int:
    """How many legacy rows the heavy user has: 20,000, or a fifth of fewer than 100,000."""
    return min(HEAVY_ROWS, spec.rows // 5)


def heavy_user(spec: Spec, clock: Clock) -> UUID:
    """The id of the heavy user."""
    return Scribe(spec, clock, "heavy").user_id


def heavy_household(spec: Spec, clock: Clock) -> Household:
    """One user with very many rows, several a day."""
    scribe = Scribe(spec, clock, "heavy")
    scribe.profile("The landlord", clock.midnight(LAST_DAY - LONGEST_SPAN - 30))
    live_through(scribe, _entries(scribe.rng, clock, heavy_rows(spec)))
    return scribe.household


def live_through(scribe: Scribe, entries: Iterator[_Entry]) -> None:
    """Writes the entries to the legacy table and, as the app did, most to token_events."""
    rng = scribe.rng
    for entry in entries:
        roll = rng.random()
        reading = scribe.reading(
            entry.instant,
            cents(entry.balance),
            token=cents(entry.bought) if entry.bought else None,
            cost=money(entry.bought) if entry.bought else None,
            notes=_NOTES[int(roll * 1000) % 5] if roll < 0.05 else None,
            photo=f"meters/{scribe.user_id}/{entry.instant}.jpg" if 0.05 < roll < 0.07 else None,
            created=None if roll > 0.999 else entry.instant + int(roll * 2 * SECOND),
        )
        _dual_write(scribe, reading, entry)


def _dual_write(scribe: Scribe, reading: Reading, entry: _Entry) -> None:
    """Most facts reach token_events as they are; the shares of the others are the field's."""
    roll = scribe.rng.random()
    if roll < 0.90:
        extra = Extra(anonymous=roll < 0.02, metadata=_SOURCE if roll < 0.3 else None)
        scribe.twin(reading, extra=extra)
    elif roll < 0.94:  # the second write was lost
        return
    elif roll < 0.97:  # typed once more, a little differently
        _drifted_amount(scribe, reading, entry)
    elif roll < 0.98:  # the new app took the day from another clock
        _drifted_day(scribe, reading)
    elif roll < 0.985:
        _corrected(scribe, reading)
    elif roll < 0.99:  # voided in the new app, never in the old one
        scribe.twin(reading, voided=Voided(entry.instant + 2 * DAY, with_event=roll < 0.988))
    elif roll < 0.997:
        scribe.twin(reading)
        scribe.event(METER_READING, entry.instant + 600 * SECOND, cents(entry.balance + 7))
    else:
        scribe.twin(reading)
        scribe.event(ADJUSTMENT, entry.instant + 60 * SECOND, "-0.50", notes="meter check")


def _drifted_amount(scribe: Scribe, reading: Reading, entry: _Entry) -> None:
    amount = (entry.bought or entry.balance) + 1 + int(scribe.rng.random() * 40)
    scribe.event(reading.stated.kind, entry.instant, cents(amount), cost=reading.row.token_cost)
    scribe.household.near_matches += 1


def _drifted_day(scribe: Scribe, reading: Reading) -> None:
    """The same amount in the first hours of the next day."""
    early = scribe.clock.midnight(reading.stated.day + 1) + int(scribe.rng.random() * 5 * HOUR)
    scribe.twin(reading, shift=early - reading.typed_at)
    scribe.household.near_matches += 1


def _corrected(scribe: Scribe, reading: Reading) -> None:
    """Voided and created again, with a recalculation batch that says so."""
    at = reading.typed_at + 3 * HOUR
    wrong = scribe.twin(reading, voided=Voided(at, "wrong photo"))
    batch = scribe.batch("EDIT_TOPUP", [wrong], at)
    scribe.twin(reading, shift=SECOND, created=at + SECOND, extra=Extra(batch=batch))


def _entries(rng: Random, clock: Clock, rows: int) -> Iterator[_Entry]:
    """Moments at the meter, in order, ending about LAST_DAY."""
    pace = min(1.0, LONGEST_SPAN / (rows * _MEAN_GAP)) if rows else 1.0
    days = float(LAST_DAY) - rows * _MEAN_GAP * pace
    burn = 400 + int(rng.random() * 1100)  # cents of a kWh a day
    balance = 5_000 + int(rng.random() * 10_000)
    left = rows
    while left > 0:
        gap = (1 + int(rng.random() * 3) + 0.3 * (rng.random() - 0.5)) * pace
        days += gap
        shown = balance - int(gap * burn * (0.85 + 0.3 * rng.random())) - 1
        instant = _typed(clock, days)
        if shown >= 3 * burn:
            yield _Entry(instant, shown, 0)
            balance, left = shown, left - 1
            continue
        shown = max(shown, 0)
        if left > 1 and rng.random() < 0.5:  # looks first, then buys
            yield _Entry(instant, shown, 0)
            left -= 1
        bought = 2_000 + int(rng.random() * 37) * 500  # sold in steps of 5 kWh
        balance = shown + bought
        yield _Entry(instant + 90 * SECOND, balance, bought)
        left -= 1


def _typed(clock: Clock, days: float) -> int:
    """The waking instant for a point in days."""
    day = int(days)
    return clock.midnight(day) + _DAWN + int((days - day) * _WAKING)
