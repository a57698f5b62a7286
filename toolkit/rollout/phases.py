"""The phase files: what they are, whether they hold, and how they are reversed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import FindingsError, OperationalError
from toolkit.resources import supabase_folder

_FILE_NAME = re.compile(r"(?P<version>\d+)_(?P<name>.+)\.sql")
_CONCURRENTLY = re.compile(r"^(create|drop)\b[^;]*\bconcurrently\b", re.I | re.M)

# The file that moves the data, or leaves it to batches.
DATA_PHASE = "20261101000401"


@dataclass(frozen=True)
class Phase:
    """One migration file with its twins.

    Attributes:
        version: the digits that order the files, as in supabase_migrations.
        name: what follows them.
        migration: the file that `supabase db push` applies.
    """

    version: str
    name: str
    migration: Path

    @property
    def rollback(self) -> Path:
        """The file that reverses it."""
        return self.migration.parents[1] / "rollbacks" / self.migration.name

    @property
    def verification(self) -> Path:
        """The file that raises unless it holds."""
        return self.migration.parents[1] / "verify" / self.migration.name


def phases() -> tuple[Phase, ...]:
    """All phase files, in the order in which they are applied."""
    found = []
    for path in sorted((supabase_folder() / "migrations").glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise OperationalError(
                f"{path.name} in migrations/ is no <digits>_<name>.sql, and would be skipped",
                next_step="rename the file, or move it out of migrations/",
            )
        found.append(Phase(match["version"], match["name"], path))
    return tuple(found)


def verify(connection: psycopg.Connection[TupleRow], wanted: Iterable[Phase]) -> None:
    """Run the verification of each phase.

    Args:
        connection: as the owner; the caller owns its transaction.

    Raises:
        FindingsError: a phase does not hold; the message says which and why.
    """
    for phase in wanted:
        try:
            with connection.transaction():
                connection.execute(phase.verification.read_bytes())
        except psycopg.Error as error:
            raise FindingsError(
                f"phase {phase.name} does not hold: {error.diag.message_primary or error}",
                next_step=error.diag.message_hint or "compare the database with the migration",
            ) from error


def roll_back(connection: psycopg.Connection[TupleRow], phase: Phase) -> None:
    """Reverse one phase and take it out of the CLI's history, in one transaction.

    Args:
        connection: as the owner, in autocommit mode.

    Raises:
        FindingsError: reversing it would lose what exists nowhere else; nothing was changed.
    """
    script = phase.rollback.read_text(encoding="utf-8")
    try:
        if _CONCURRENTLY.search(script):
            connection.execute(script.encode())
            _forget(connection, phase)
            return
        with connection.transaction():
            connection.execute(script.encode())
            _forget(connection, phase)
    except psycopg.Error as error:
        detail = error.diag.message_detail or ""
        raise FindingsError(
            f"phase {phase.name} was not rolled back: {error.diag.message_primary or error}",
            next_step=detail.removeprefix("Next: ") or "roll back the later phases first",
        ) from error


def _forget(connection: psycopg.Connection[TupleRow], phase: Phase) -> None:
    connection.execute(
        "delete from supabase_migrations.schema_migrations where version = %s", (phase.version,)
    )
