"""An independent reference of the position algebra: one pass over events, in exact decimals.

Written from the rules (docs: events) and not from the SQL, so that the two can be held
against each other. It reads events as they come and keeps one user's last state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any
from uuid import UUID

METER_READING = "METER_READING"
VOID = "VOID"

_ZERO = Decimal(0)
# PostgreSQL keeps up to 16,383 digits after the point, and amounts stay below 1e12. A
# result that would need rounding raises instead. The context is called by name: a
# generator that entered it with localcontext() would change its consumer's arithmetic.
_EXACT = Context(prec=20_000, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True, slots=True)
class Event:
    """One row of token_events.

    Attributes:
        user_id: whose it is.
        id: the event's own id.
        reading_id: the id under which readers know it, where that is another one.
        event_type: TOPUP, METER_READING, ADJUSTMENT or VOID.
        event_date: when it happened: a datetime, or seconds since 1970 as a Decimal where
            a stream may hold years that a datetime cannot. One kind throughout a stream.
        created_at: when it was recorded, likewise.
        kwh_amount: kWh bought, corrected by, or shown by the meter.
        observed_kwh: kWh that the meter showed right after a top-up or correction.
        is_voided: it was cancelled, and counts no more.
    """

    user_id: UUID
    id: UUID
    reading_id: UUID | None
    event_type: str
    event_date: Any
    created_at: Any
    kwh_amount: Decimal
    observed_kwh: Decimal | None = None
    is_voided: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """What one counted event leaves on the meter.

    Attributes:
        event_id: the event's own id.
        user_id: whose it is.
        visible_id: the id under which the readings views show it.
        position: kWh left after the event.
        consumption: kWh used since the event before, known at an anchor that is not the
            user's first counted event; negative where a top-up went unrecorded.
    """

    event_id: UUID
    user_id: UUID
    visible_id: UUID
    position: Decimal
    consumption: Decimal | None


def positions(events: Iterable[Event]) -> Iterator[Position]:
    """The position after every counted event.

    Args:
        events: ordered by user_id, event_date, created_at, id; voided ones and VOID events
            may be among them, and count for nothing.

    Yields:
        One position for each event that counts, in the same order.

    Raises:
        ValueError: the events are out of order.
        decimal.Inexact: amounts of more digits than PostgreSQL can hold.
    """
    add, subtract = _EXACT.add, _EXACT.subtract
    before: Event | None = None
    level = _ZERO
    counted_any = False
    for event in events:
        if before is None or event.user_id != before.user_id:
            if before is not None and event.user_id < before.user_id:
                raise ValueError(f"the events of user {event.user_id} come after a later user's")
            level, counted_any = _ZERO, False
        elif not _follows(before, event):
            raise ValueError(f"event {event.id} comes after one that it precedes")
        before = event
        if event.is_voided or event.event_type == VOID:
            continue
        due, shown = level, event.observed_kwh
        if event.event_type == METER_READING:
            shown = event.kwh_amount
        else:
            due = add(level, event.kwh_amount)
        # Only an anchor tells what was used, and only where there is a level to compare with.
        used = subtract(due, shown) if shown is not None and counted_any else None
        level = due if shown is None else shown
        counted_any = True
        yield Position(event.id, event.user_id, event.reading_id or event.id, level, used)


def _follows(before: Event, event: Event) -> bool:
    """Whether an event comes strictly after the one before it of the same user."""
    if before.event_date != event.event_date:
        return bool(before.event_date < event.event_date)
    if before.created_at != event.created_at:
        return bool(before.created_at < event.created_at)
    return before.id < event.id
