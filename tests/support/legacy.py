"""Hypothesis' legacy tables: odd rows, beside dual-written events that resemble them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.support.mapping import Event, Moment, Reading, midnight

ZONES = (
    "UTC",
    "Asia/Jakarta",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "America/Los_Angeles",
    "Pacific/Kiritimati",
)
USERS = tuple(UUID(int=number) for number in (0xA1, 0xA2))
STRANGER = UUID(int=0xDEAD)  # a user without a profile
_IDS = tuple(UUID(int=number << 96) for number in range(1, 13))

# Days around what days stumble over: leap days, a midnight that does not exist, a missing day.
_DAYS = [
    date(2024, 2, 28),
    date(2024, 2, 29),
    date(2024, 3, 1),
    date(2018, 11, 3),
    date(2018, 11, 4),
    date(2011, 12, 29),
    date(2011, 12, 30),
    date(2011, 12, 31),
    date(2100, 12, 31),
]
_FAR_DAYS = [
    "0001-01-01",
    "4712-06-01 BC",
    "4714-12-31 BC",
    "5874897-12-31",
    "290000-01-01",
    "20000-02-29",
    "infinity",
    "-infinity",
]
_FAR_INSTANTS = ["0001-01-01 00:00+00", "4000-02-28 00:00+00 BC", "20000-02-29 12:00+00"]
_FAR_INSTANTS += ["infinity", "-infinity"]
_HOURS = [time(), time(0, 30), time(12), time(23, 59, 59, 999999)]
_WRITTEN = [datetime(2024, 3, 2, 1, 2, 3, number, tzinfo=UTC) for number in (4, 5, 6)]

_kwh = st.sampled_from([Decimal(text) for text in ("0", "0.01", "5", "5.00", "20", "99999999.99")])
_amounts = st.one_of(
    st.none(),
    _kwh,
    st.sampled_from([Decimal(t) for t in ("-1", "-0.001", "12.345678901", "999999999999.9")]),
)
_odd_amounts = st.sampled_from([Decimal(text) for text in ("NaN", "Infinity", "-Infinity", "1e12")])
_notes = st.one_of(
    st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)


@dataclass(frozen=True)
class Table:
    """A generated database: its zone, its connection's zone, and its rows."""

    zone: ZoneInfo
    session_zone: str
    readings: list[Reading]
    events: list[Event]


@st.composite
def tables(draw: st.DrawFn, date_type: str) -> Table:
    """Any small legacy table with the events that a dual-write app may have left beside it."""
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    ids = draw(st.lists(st.sampled_from(_IDS), max_size=8, unique=True))
    readings = [draw(readings_of(id_, date_type, zone)) for id_ in ids]
    events = [draw(_events(readings, zone)) for _ in range(draw(st.integers(0, 8)))]
    if draw(st.integers(0, 3)) == 0:  # a crowd that states one fact, told apart by order alone
        readings = [_one_fact(reading, date_type, zone) for reading in readings]
        events = [_one_fact_too(event, zone) for event in events]
    unique = {(event.user_id, event.id): event for event in events}
    return Table(
        zone=zone,
        session_zone=draw(st.sampled_from(ZONES)),
        readings=readings,
        events=list(unique.values()) + _voids(draw, list(unique.values())),
    )


@st.composite
def readings_of(draw: st.DrawFn, id_: UUID, date_type: str, zone: ZoneInfo) -> Reading:
    """A row under a given id, one in eight of them beyond what an event can hold."""
    odd = draw(st.integers(0, 7)) == 0
    return Reading(
        id=id_,
        user_id=draw(st.sampled_from((*USERS, STRANGER) if odd else USERS)),
        date=draw(moments(date_type, zone)),
        kwh_value=draw(st.one_of(_kwh, st.just(Decimal("NaN"))) if odd else _kwh),
        token_amount=draw(st.one_of(_amounts, _odd_amounts) if odd else _amounts),
        token_cost=draw(st.one_of(_amounts, _odd_amounts) if odd else _amounts),
        notes=draw(_notes),
        meter_photo_url=draw(st.sampled_from([None, "", "https://x.test/a?b=c#d"])),
        created_at=draw(st.sampled_from([None, *_WRITTEN, *(["infinity"] if odd else [])])),
    )


@st.composite
def moments(draw: st.DrawFn, date_type: str, zone: ZoneInfo) -> Moment:
    """A value for the legacy column date."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(_FAR_DAYS if date_type == "date" else _FAR_INSTANTS))
    day = draw(st.sampled_from(_DAYS))
    if date_type == "date":
        return day
    return datetime.combine(day, draw(st.sampled_from(_HOURS)), zone).astimezone(UTC)


@st.composite
def _events(draw: st.DrawFn, readings: list[Reading], zone: ZoneInfo) -> Event:
    """An event that states a reading's fact, or nearly, or something else."""
    kind = draw(st.sampled_from(["TOPUP", "METER_READING", "ADJUSTMENT"]))
    user, day, kwh, id_ = draw(st.sampled_from(USERS)), draw(st.sampled_from(_DAYS)), None, None
    near = [r for r in readings if not isinstance(r.date, str) and _sound(r)]
    if near and draw(st.integers(0, 3)) > 0:
        reading = draw(st.sampled_from(near))
        user, day = reading.user_id, _day(reading.date, zone)
        topup = reading.token_amount is not None and reading.token_amount > 0
        kind = "TOPUP" if topup else "METER_READING"
        kwh = reading.token_amount if topup else reading.kwh_value
        id_ = reading.id if draw(st.booleans()) else None
    if kwh is None or draw(st.integers(0, 4)) == 0:
        kwh = draw(_kwh) + (kind == "TOPUP")
    return Event(
        id=id_ or draw(st.one_of(st.sampled_from(_IDS), st.uuids())),
        user_id=user,
        event_type=kind,
        event_date=_instant(draw, day, zone),
        kwh_amount=kwh,
        created_at=draw(st.sampled_from(_WRITTEN)),
        is_voided=draw(st.integers(0, 5)) == 0,
        token_cost=draw(st.sampled_from([None, Decimal("0"), Decimal("1.50")])),
        notes=draw(_notes),
        metadata=draw(st.sampled_from([None, {"a": 1}, {}, [1], "text", {"migrated_from": "me"}])),
    )


def _one_fact(reading: Reading, date_type: str, zone: ZoneInfo) -> Reading:
    hour = reading.id.int >> 96  # of the day, so that orders by date, writing and id disagree
    start = midnight(_DAYS[0], zone)
    return replace(
        reading,
        user_id=USERS[0],
        date=_DAYS[0] if date_type == "date" else start + timedelta(hours=hour % 3),
        kwh_value=Decimal(5),
        token_amount=None,
    )


def _one_fact_too(event: Event, zone: ZoneInfo) -> Event:
    start = midnight(_DAYS[0], zone)
    return replace(
        event,
        user_id=USERS[0],
        event_type="METER_READING",
        event_date=start + timedelta(hours=event.id.int % 3),
        kwh_amount=Decimal(5),
    )


def _sound(reading: Reading) -> bool:
    numbers = [n for n in (reading.kwh_value, reading.token_amount) if n is not None]
    return reading.user_id in USERS and all(n.is_finite() and n < 10**12 for n in numbers)


def _day(moment: Moment, zone: ZoneInfo) -> date:
    assert not isinstance(moment, str)
    return moment.astimezone(zone).date() if isinstance(moment, datetime) else moment


def _instant(draw: st.DrawFn, day: date, zone: ZoneInfo) -> datetime:
    """Within the day, at either end of it, or just before it."""
    start = midnight(day, zone)
    steps = [timedelta(0), timedelta(hours=7), timedelta(days=1) - timedelta(microseconds=1)]
    return start + draw(st.sampled_from([*steps, -timedelta(microseconds=1)]))


def _voids(draw: st.DrawFn, events: list[Event]) -> list[Event]:
    """VOID events of some of the voided ones."""
    taken = {event.id for event in events}
    return [
        Event(
            id=draw(st.uuids().filter(lambda id_: id_ not in taken)),
            user_id=event.user_id,
            event_type="VOID",
            event_date=event.event_date,
            kwh_amount=Decimal(0),
            created_at=event.created_at,
            void_of_event=event.id,
        )
        for event in events
        if event.is_voided and draw(st.booleans())
    ]
