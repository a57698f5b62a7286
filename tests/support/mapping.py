"""The mapping of legacy rows, once more and in Python: what the migration must make of them.

Written from the domain's rules and not from the SQL: rejects, completed events, merges.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

LIMIT = Decimal("1e12")
Moment = date | datetime | str  # text where Python's calendar does not reach


@dataclass(frozen=True)
class Reading:
    """A legacy row; its date is a day, an instant, or the text of one far away."""

    id: UUID
    user_id: UUID
    date: Moment
    kwh_value: Decimal
    token_amount: Decimal | None = None
    token_cost: Decimal | None = None
    notes: str | None = None
    meter_photo_url: str | None = None
    created_at: datetime | str | None = None

    def row(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Event:
    """A dual-written row of token_events."""

    id: UUID
    user_id: UUID
    event_type: str
    event_date: datetime
    kwh_amount: Decimal
    created_at: datetime
    is_voided: bool = False
    void_of_event: UUID | None = None
    token_cost: Decimal | None = None
    notes: str | None = None
    metadata: object = field(default=None, hash=False)

    def row(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def counts(self) -> bool:
        return not self.is_voided and self.event_type != "VOID"


@dataclass(frozen=True)
class Expected:
    """What must come of it; a key is (user, id).

    Attributes:
        rejected: ids of the readings that cannot become an event.
        completed: readings whose event was there already.
        merges: event → id of the reading that it is merged into.
        displaced: counted events under a reading's id that state another fact, and stay.
        view_rows: rows of electricity_readings_v.
    """

    rejected: set[UUID]
    completed: set[tuple[UUID, UUID]]
    merges: dict[tuple[UUID, UUID], UUID]
    displaced: set[tuple[UUID, UUID]]
    view_rows: int


Fact = tuple[UUID, str, str, Decimal]


def expect(
    readings: list[Reading], events: list[Event], zone: ZoneInfo, profiles: set[UUID]
) -> Expected:
    """Apply the domain's mapping to one database's rows."""
    sound = [r for r in readings if not rejected(r, zone, profiles)]
    live = [e for e in events if e.counts]
    by_key = {(e.user_id, e.id): e for e in live}
    completed = {
        (r.user_id, r.id)
        for r in sound
        if (r.user_id, r.id) in by_key
        and fact_of_event(by_key[r.user_id, r.id], zone) == fact(r, zone)
    }
    merges = _merges(
        [r for r in sound if (r.user_id, r.id) not in completed],
        [e for e in live if (e.user_id, e.id) not in completed],
        zone,
    )
    claimed = {(r.user_id, r.id) for r in sound}
    return Expected(
        rejected={r.id for r in readings} - {r.id for r in sound},
        completed=completed,
        merges=merges,
        displaced={k for k in by_key if k in claimed and k not in completed and k not in merges},
        view_rows=len(sound) + len(live) - len(merges) - len(completed),
    )


def _merges(
    readings: list[Reading], events: list[Event], zone: ZoneInfo
) -> dict[tuple[UUID, UUID], UUID]:
    """The nth event that states a fact belongs to the nth reading that states it."""
    stated: defaultdict[Fact | None, list[Reading]] = defaultdict(list)
    for reading in sorted(readings, key=lambda r: _place(r, zone)):
        stated[fact(reading, zone)].append(reading)
    merges = {}
    for event in sorted(events, key=lambda e: (e.event_date, e.created_at, e.id)):
        what = fact_of_event(event, zone)
        if what is not None and stated[what]:
            merges[event.user_id, event.id] = stated[what].pop(0).id
    return merges


def rejected(reading: Reading, zone: ZoneInfo, profiles: set[UUID]) -> bool:
    """Whether a row cannot become a valid event."""
    numbers = (reading.kwh_value, reading.token_amount, reading.token_cost)
    return (
        reading.user_id not in profiles
        or not all(n is None or (n.is_finite() and abs(n) < LIMIT) for n in numbers)
        or reading.kwh_value < 0
        or reading.date in ("infinity", "-infinity", "5874897-12-31", "4714-12-31 BC")
        or reading.created_at in ("infinity", "-infinity")
        or not _exists(reading.date, zone)
    )


def fact(reading: Reading, zone: ZoneInfo) -> Fact | None:
    """User, day, kind and kWh; none for a day that Python does not know: nothing else is there."""
    if isinstance(reading.date, str):
        return None
    amount = reading.token_amount
    if amount is not None and amount > 0:
        return (reading.user_id, local_day(reading.date, zone), "TOPUP", amount)
    return (reading.user_id, local_day(reading.date, zone), "METER_READING", reading.kwh_value)


def fact_of_event(event: Event, zone: ZoneInfo) -> Fact | None:
    if event.event_type not in ("TOPUP", "METER_READING"):
        return None
    return (event.user_id, local_day(event.event_date, zone), event.event_type, event.kwh_amount)


def local_day(moment: date | datetime, zone: ZoneInfo) -> str:
    """The day in the app's zone."""
    if isinstance(moment, datetime):
        return moment.astimezone(zone).date().isoformat()
    return moment.isoformat()


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a day begins, or the first one after a gap."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _exists(moment: Moment, zone: ZoneInfo) -> bool:
    if isinstance(moment, datetime | str):
        return True
    return midnight(moment, zone).astimezone(zone).date() == moment


def _place(reading: Reading, zone: ZoneInfo) -> tuple[datetime, datetime, UUID]:
    """A reading's place in the order; rows of far-away days match nothing, wherever they stand."""
    if isinstance(reading.date, str):
        return (datetime.min.replace(tzinfo=UTC) + timedelta(days=1),) * 2 + (reading.id,)
    at = reading.date if isinstance(reading.date, datetime) else midnight(reading.date, zone)
    written = reading.created_at
    return (at, written if isinstance(written, datetime) else at, reading.id)
