"""Positions recomputed outside the database, by the reference, from a stream of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from toolkit.resources import statement
from toolkit.validation.reference import Event, positions
from toolkit.validation.report import Finding

_ROWS_A_FETCH = 5_000


def recompute(
    connection: psycopg.Connection[TupleRow], keep: int, users: Sequence[UUID] | None = None
) -> tuple[int, int, tuple[Finding, ...]]:
    """Hold the projection's kWh against the reference, row by row, in bounded memory.

    Args:
        connection: as the owner, inside a transaction (the stream is a server-side cursor).
        keep: how many findings to keep.
        users: whose positions; everybody's if left out.

    Returns:
        How many positions were compared, how many differ, and the first of those.
    """
    shown: dict[UUID, Decimal | None] = {}
    compared = wrong = 0
    kept: list[Finding] = []
    with connection.cursor(name="meterledger_events") as cursor:
        cursor.itersize = _ROWS_A_FETCH
        cursor.execute(
            statement("select_events_in_order"),
            {"users": None if users is None else list(users)},
        )
        for position in positions(_events(cursor, shown)):
            compared += 1
            projected = shown.pop(position.event_id)
            if projected == position.position:
                continue
            wrong += 1
            if len(kept) < keep:
                text = f"the reference says {position.position} kWh, the projection {projected}"
                kept.append(Finding(str(position.user_id), str(position.visible_id), text))
            shown.clear()
    return compared, wrong, tuple(kept)


def _events(
    rows: psycopg.ServerCursor[TupleRow], shown: dict[UUID, Decimal | None]
) -> Iterator[Event]:
    """The rows as events; what the projection shows for each is put aside under its id."""
    row: tuple[Any, ...]
    for row in rows:
        if not row[8] and row[3] != "VOID":
            shown[row[1]] = row[9]
        yield Event(*row[:9])
