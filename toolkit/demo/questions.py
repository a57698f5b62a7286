"""The questions that an operator asks after a migration, and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from toolkit.resources import statement
from toolkit.validation.as_user import acting_as, check_plan, check_view_query, sample_user
from toolkit.validation.run import counts

_SHOWN_ROWS = 10


@dataclass(frozen=True)
class Answers:
    """What was asked, and answered.

    Attributes:
        counts: rows of the old table, of the events and of the views; sizes in bytes.
        user_id: a user with a typical amount of readings; None where nobody has any.
        readings: that user's ten newest rows of electricity_readings_v, as the user sees
            them: (date, kwh_value, token_amount, notes).
        positions: their positions: (event_date, event_type, kWh, position, consumption).
        plan: the plan of a 100-row read, node by node.
        milliseconds: the time of that read, once warm.
    """

    counts: dict[str, int]
    user_id: UUID | None
    readings: tuple[tuple[Any, ...], ...]
    positions: tuple[tuple[Any, ...], ...]
    plan: str
    milliseconds: float

    def as_object(self) -> dict[str, Any]:
        """For --json; dates and numbers as text, exactly."""
        return {
            "counts": self.counts,
            "user_id": str(self.user_id),
            "readings": [[_text(value) for value in row] for row in self.readings],
            "positions": [[_text(value) for value in row] for row in self.positions],
            "plan": self.plan,
            "milliseconds": self.milliseconds,
        }


def ask(connection: psycopg.Connection[TupleRow]) -> Answers:
    """Ask everything.

    Args:
        connection: as the owner, in autocommit mode.
    """
    user = sample_user(connection)
    found = counts(connection)
    if user is None:
        return Answers(found, None, (), (), "nothing to read", 0.0)
    with connection.transaction():
        with acting_as(connection, "authenticated", user):
            newest = connection.execute(
                statement("select_newest_readings"), {"limit": _SHOWN_ROWS}
            ).fetchall()
            positions = connection.execute(
                statement("select_positions"), {"user_id": user, "limit": _SHOWN_ROWS}
            ).fetchall()
        plan = check_plan(connection, user).figures["plan"]
        milliseconds = check_view_query(connection, user).figures["milliseconds"]
    return Answers(
        counts=found,
        user_id=user,
        readings=tuple((row[2], row[3], row[5], row[6]) for row in newest),
        positions=tuple(positions),
        plan=plan,
        milliseconds=milliseconds,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
