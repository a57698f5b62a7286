"""Legacy rows that became no event: what they are, and what a person decides about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row

from toolkit.errors import UsageError
from toolkit.resources import statement

Connection = psycopg.Connection[TupleRow]

_ADVICE = {
    "no profile owns it": "make the profile and retry, or waive it",
    "no user": "correct user_id, or waive it",
    "the day does not exist in the time zone": "correct date, or waive it",
}


@dataclass(frozen=True)
class Reason:
    """How many rows were rejected for one reason: to be decided, and waived."""

    reason: str
    open_rows: int
    waived_rows: int


@dataclass(frozen=True)
class Reject:
    """One rejected row.

    Attributes:
        row_text: the whole row, column → its value as text; personal data.
    """

    reading_id: UUID
    user_id: UUID | None
    reason: str
    rejected_at: datetime
    waived_at: datetime | None
    waived_by: str | None
    waived_reason: str | None
    row_text: Mapping[str, str | None]

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return _ADVICE.get(self.reason, "correct the column that the reason names, or waive it")


def reasons(connection: Connection) -> tuple[Reason, ...]:
    """The reasons, the most frequent one first."""
    with connection.cursor(row_factory=class_row(Reason)) as cursor:
        return tuple(cursor.execute(statement("review_reject_counts")).fetchall())


def listed(
    connection: Connection,
    *,
    reading_ids: Sequence[UUID] | None = None,
    reason: str | None = None,
    limit: int | None = None,
) -> tuple[Reject, ...]:
    """Rejects, those to be decided first; all of them where nothing is asked for."""
    wanted = {
        "reading_ids": None if reading_ids is None else list(reading_ids),
        "reason": reason,
        "limit": limit,
    }
    with connection.cursor(row_factory=class_row(Reject)) as cursor:
        return tuple(cursor.execute(statement("review_rejects"), wanted).fetchall())


def find(connection: Connection, reading_id: UUID) -> Reject:
    """One reject.

    Raises:
        UsageError: no such row is rejected.
    """
    return all_of(connection, (reading_id,))[0]


def waive(
    connection: Connection,
    because: str,
    *,
    reading_ids: Sequence[UUID] | None = None,
    reason: str | None = None,
    decider: str | None = None,
) -> tuple[UUID, ...]:
    """Decide that rows need not become events; what was waived before stays as it is.

    Args:
        connection: as the owner; the caller's transaction.
        because: why, for the record.
        reading_ids: which rows; or else `reason`, all that were rejected for it.
        reason: as the list shows it.
        decider: who decides; the database's user, if left out.

    Raises:
        UsageError: nothing is named, no reason is given, or no such row is rejected.
    """
    if not because.strip():
        raise UsageError("a waiver needs a reason", next_step="say why: --because 'test account'")
    wanted = _named(connection, reading_ids, reason)
    return _changed(
        connection, "review_waive_rejects", {**wanted, "because": because, "decider": decider}
    )


def withdraw(
    connection: Connection,
    *,
    reading_ids: Sequence[UUID] | None = None,
    reason: str | None = None,
) -> tuple[UUID, ...]:
    """Take waivers back: the rows are to be decided again.

    Raises:
        UsageError: nothing is named, or no such row is rejected.
    """
    return _changed(connection, "review_withdraw_waivers", _named(connection, reading_ids, reason))


def _named(
    connection: Connection, reading_ids: Sequence[UUID] | None, reason: str | None
) -> dict[str, object]:
    """What to change, never everything by accident."""
    if (reading_ids is None) == (reason is None):
        raise UsageError("name rows or one reason", next_step="give ids, or --reason-is TEXT")
    if reading_ids is not None:
        all_of(connection, reading_ids)
        return {"reading_ids": list(reading_ids), "reason": None}
    known = [found.reason for found in reasons(connection)]
    if reason not in known:
        raise UsageError(
            f"nothing was rejected for {reason!r}",
            next_step=f"the reasons are: {', '.join(known)}" if known else "there are no rejects",
        )
    return {"reading_ids": None, "reason": reason}


def all_of(connection: Connection, reading_ids: Sequence[UUID]) -> tuple[Reject, ...]:
    """The rejects of these ids.

    Raises:
        UsageError: one of them is not rejected, or none is named.
    """
    found = listed(connection, reading_ids=reading_ids)
    missing = set(reading_ids) - {reject.reading_id for reject in found}
    if missing or not reading_ids:
        raise UsageError(
            f"not rejected: {', '.join(map(str, sorted(missing)))}" if missing else "no row named",
            next_step="meterledger rejects lists what is",
        )
    return found


def _changed(
    connection: Connection, name: str, parameters: Mapping[str, object]
) -> tuple[UUID, ...]:
    return tuple(row[0] for row in connection.execute(statement(name), parameters))
