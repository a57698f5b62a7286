"""Near matches: an event and a reading that state almost the same; a person decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row

from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.operations.review.turn import turn
from toolkit.resources import statement

Connection = psycopg.Connection[TupleRow]

_NOT_LISTED = "meterledger duplicates lists the pairs that are to be decided"


@dataclass(frozen=True)
class Match:
    """An event that no reading absorbed, beside a reading that says almost the same.

    Attributes:
        event_kwh, reading_kwh: kWh bought or shown.
        matches: how many pairs there are in all.
        event_text, reading_text: both rows whole, column → value as text, where they were asked
            for; personal data.
    """

    user_id: UUID
    event_id: UUID
    reading_id: UUID
    event_type: str
    event_day: date
    reading_day: date
    event_kwh: Decimal
    reading_kwh: Decimal
    matches: int
    event_text: Mapping[str, str | None] | None = None
    reading_text: Mapping[str, str | None] | None = None


@dataclass(frozen=True)
class Decision:
    """What a person decided about a pair.

    Attributes:
        already: it was decided so before, and nothing was changed.
    """

    user_id: UUID
    event_id: UUID
    reading_id: UUID
    decision: str
    already: bool = False


def count(connection: Connection) -> int:
    """How many pairs are to be decided."""
    found = listed(connection, limit=1)
    return found[0].matches if found else 0


def listed(
    connection: Connection,
    *,
    event_id: UUID | None = None,
    reading_id: UUID | None = None,
    limit: int | None = None,
) -> tuple[Match, ...]:
    """The pairs that are to be decided, in the order of users and days."""
    wanted = {"event_id": event_id, "reading_id": reading_id, "limit": limit}
    with connection.cursor(row_factory=class_row(Match)) as cursor:
        return tuple(cursor.execute(statement("review_matches"), wanted).fetchall())


def find(connection: Connection, event_id: UUID, reading_id: UUID | None = None) -> Match:
    """One pair; the reading may be left out where the event has one only.

    Raises:
        UsageError: there is no such pair to decide, or there are several.
    """
    found = listed(connection, event_id=event_id, reading_id=reading_id)
    if len(found) != 1:
        what = "is in no pair that is to be decided" if not found else f"is in {len(found)} pairs"
        raise UsageError(f"event {event_id} {what}", next_step=_NOT_LISTED)
    return found[0]


def with_sides(connection: Connection, match: Match) -> Match:
    """The pair with both rows whole."""
    row = connection.execute(statement("review_match_sides"), _keys(match)).fetchone()
    if row is None:
        return match
    return replace(match, event_text=row[0], reading_text=row[1])


def keep(
    connection: Connection, match: Match, because: str, *, decider: str | None = None
) -> Decision:
    """Decide that both are facts; neither is touched.

    Args:
        connection: as the owner; the caller's transaction.
        because: why, for the record.
        decider: who decides; the database's user, if left out.

    Raises:
        UsageError: no reason is given.
    """
    if not because.strip():
        raise UsageError("a decision needs a reason", next_step="say why: --because 'two meters'")
    _record(connection, match, "both", because, decider)
    return Decision(match.user_id, match.event_id, match.reading_id, "both")


def merge(
    connection: Connection,
    event_id: UUID,
    reading_id: UUID,
    because: str = "",
    *,
    decider: str | None = None,
) -> Decision:
    """Decide that the event is a duplicate of the reading: it is voided, the reading stays.

    The merge is listed and worded like those of the data migration, so that a rollback un-voids
    the event, and a client that voids the event voids its survivor. A second time changes
    nothing.

    Args:
        connection: as the owner; a transaction of its own, or a savepoint in the caller's.
        because: why, for the record; it follows 'duplicate of reading <id>'.
        decider: who decides; the database's user, if left out.

    Raises:
        UsageError: there is no such pair to decide.
        FindingsError: the reading's own event is voided, or the readings would not show the
            fact exactly once; nothing was changed.
    """
    with turn(connection):
        before = _decided(connection, event_id, reading_id)
        if before is None:
            raise UsageError(
                f"there is no event {event_id} of the user who owns reading {reading_id}",
                next_step=_NOT_LISTED,
            )
        # A statement of its own: the next one sees what this user's writers did meanwhile.
        connection.execute("select ledger.take_turns(array[%s::uuid])", (before[0],))
        now = _decided(connection, event_id, reading_id)
        if now is not None and now[1:] == (True, "merged"):
            return Decision(now[0], event_id, reading_id, "merged", already=True)
        match = find(connection, event_id, reading_id)
        _merge(connection, match, because, decider)
        return Decision(match.user_id, event_id, reading_id, "merged")


def _merge(connection: Connection, match: Match, because: str, decider: str | None) -> None:
    keys = _keys(match)
    survivor = connection.execute(
        statement("review_live_event"), {"reading_id": match.reading_id}
    ).fetchone()
    if survivor is None:
        raise FindingsError(
            f"reading {match.reading_id} was voided since, and the event alone states the fact",
            next_step="keep the event: meterledger duplicates keep",
        )
    connection.execute(statement("review_list_merge"), {**keys, "survivor_id": survivor[1]})
    connection.execute(statement("review_void_duplicate"), keys)
    why = f"duplicate of reading {match.reading_id}"
    _record(connection, match, "merged", f"{why}: {because}" if because else why, decider)
    once = connection.execute(statement("review_counts_once"), keys).fetchone()
    if once != (True,):
        raise OperationalError(
            f"nothing was changed: event {match.event_id} would not have been counted once",
            next_step="see meterledger validate and doctor: a trigger may be switched off",
        )


def _record(
    connection: Connection, match: Match, decision: str, because: str, decider: str | None
) -> None:
    connection.execute(
        statement("review_record_decision"),
        {**_keys(match), "decision": decision, "because": because, "decider": decider},
    )


def _decided(
    connection: Connection, event_id: UUID, reading_id: UUID
) -> tuple[UUID, bool, str | None] | None:
    row = connection.execute(
        statement("review_decision"), {"event_id": event_id, "reading_id": reading_id}
    ).fetchone()
    return None if row is None else (row[0], bool(row[1]), row[2])


def _keys(match: Match) -> dict[str, object]:
    return {
        "user_id": match.user_id,
        "event_id": match.event_id,
        "reading_id": match.reading_id,
    }
