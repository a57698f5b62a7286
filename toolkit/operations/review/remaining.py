"""What is still to be decided, for the cutover and the promotion to refuse on."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from toolkit.operations.review import matches
from toolkit.resources import statement

Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True)
class Remaining:
    """How much a person has yet to decide.

    Attributes:
        rejects: legacy rows that became no event and were not waived.
        matches: near matches that were neither kept nor merged.
    """

    rejects: int
    matches: int

    @property
    def nothing(self) -> bool:
        """Whether everything is decided."""
        return not (self.rejects or self.matches)


def remaining(connection: Connection) -> Remaining:
    """Count exactly; the near matches of a million rows take some seconds.

    Args:
        connection: as the owner. A database without the phases has nothing to decide.
    """
    rejects, near, decisions = _rooms(connection)
    return Remaining(
        rejects=open_rejects(connection) if rejects else 0,
        matches=matches.count(connection) if near and decisions else 0,
    )


def open_rejects(connection: Connection) -> int:
    """Rejects that were not waived."""
    row = connection.execute(statement("review_open_rejects")).fetchone()
    return int(row[0]) if row is not None else 0


def _rooms(connection: Connection) -> tuple[bool, bool, bool]:
    row = connection.execute(statement("review_rooms")).fetchone()
    return (bool(row[0]), bool(row[1]), bool(row[2])) if row is not None else (False, False, False)
