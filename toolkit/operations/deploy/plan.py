"""What a deploy would do: the files, against what the database has had. Pure but for one read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import UsageError
from toolkit.rollout import checksums
from toolkit.rollout.checksums import Begun
from toolkit.rollout.inspect import MigrationFile, UnfinishedTextError, canonical

Connection = psycopg.Connection[TupleRow]


class Status(StrEnum):
    """Where one file stands."""

    APPLIED = "applied"  # with this checksum
    ADOPTABLE = "to be recorded"  # applied, and no deploy has recorded it
    EDITED = "edited"  # applied, and changed since
    PENDING = "pending"
    LATER = "left out"  # behind --through
    UNKNOWN = "not looked up"  # a plan without a connection


@dataclass(frozen=True)
class State:
    """What a database has had.

    Attributes:
        history: each version in the CLI's history, with the statements that it pushed; None
            where the history names the version alone.
        recorded: the checksum of each version as a deploy last recorded it.
        begun: pushes that were begun and not completed: of deploys that were killed.
    """

    history: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    recorded: Mapping[str, str] = field(default_factory=dict)
    begun: tuple[Begun, ...] = ()


@dataclass(frozen=True)
class PlannedFile:
    """One file, and what becomes of it.

    Attributes:
        file: as inspected.
        checksum: SHA-256 of it now, in hexadecimal.
        status: where it stands.
        applied_as: of an edited one: the checksum that was applied.
    """

    file: MigrationFile
    checksum: str
    status: Status
    applied_as: str = ""


@dataclass(frozen=True)
class DeployPlan:
    """All files in order, and what forbids to push them.

    Attributes:
        files: in the order in which they are applied.
        refusals: sentences; empty when the deploy may begin.
        rows_at_once: legacy rows that it would move in one transaction, unless told otherwise.
    """

    files: tuple[PlannedFile, ...]
    refusals: tuple[str, ...]
    rows_at_once: int = 0

    @property
    def pending(self) -> tuple[PlannedFile, ...]:
        """What would be pushed; of a plan without a connection, everything might be."""
        wanted = (Status.PENDING, Status.UNKNOWN)
        return tuple(planned for planned in self.files if planned.status in wanted)

    @property
    def adoptable(self) -> tuple[PlannedFile, ...]:
        """What was applied and is to be verified and recorded."""
        return tuple(one for one in self.files if one.status is Status.ADOPTABLE)


def read_state(connection: Connection) -> State:
    """Read what the database has had; changes nothing."""
    history: dict[str, tuple[str, ...] | None] = {}
    there = connection.execute(
        "select to_regclass('supabase_migrations.schema_migrations') is not null"
    ).fetchone()
    if there == (True,):
        rows = connection.execute(
            "select m.version, m.statements from supabase_migrations.schema_migrations as m"
        ).fetchall()
        history = {str(v): tuple(texts) if texts is not None else None for v, texts in rows}
    return State(history, checksums.recorded(connection), checksums.begun(connection))


def make_plan(
    files: Sequence[MigrationFile], state: State | None, *, through: str | None = None
) -> DeployPlan:
    """Hold the files against the database's state.

    Args:
        files: all of migrations/, inspected.
        state: what the database has had; None: it was not asked.
        through: the last version to apply; all if left out.

    Raises:
        UsageError: no file has the version of `through`.
    """
    if through is not None and through not in {file.version for file in files}:
        known = ", ".join(file.version for file in files)
        raise UsageError(f"there is no version {through}", next_step=f"give one of {known}")
    planned = tuple(_planned(file, state, through) for file in files)
    refusals = [f"{f.path.name}: {problem}" for f in files for problem in f.problems]
    refusals += [
        f"{one.file.path.name} was edited after it was applied: applied as "
        f"{checksums.short(one.applied_as)}, now {checksums.short(one.checksum)}"
        for one in planned
        if one.status is Status.EDITED
    ]
    return DeployPlan(planned, tuple(refusals))


def _planned(file: MigrationFile, state: State | None, through: str | None) -> PlannedFile:
    now = hashlib.sha256(file.path.read_bytes()).hexdigest()
    if state is None:
        late = through is not None and file.version > through
        return PlannedFile(file, now, Status.LATER if late else Status.UNKNOWN)
    if file.version not in state.history:
        late = through is not None and file.version > through
        return PlannedFile(file, now, Status.LATER if late else Status.PENDING)
    recorded = state.recorded.get(file.version)
    cut_off = any(begun.version == file.version for begun in state.begun)
    if recorded is not None and not cut_off:
        if recorded == now:
            return PlannedFile(file, now, Status.APPLIED)
        return PlannedFile(file, now, Status.EDITED, recorded)
    pushed = _digest(state.history[file.version])
    if pushed is not None and pushed != _digest([one.text for one in file.statements]):
        return PlannedFile(file, now, Status.EDITED, pushed)
    return PlannedFile(file, now, Status.ADOPTABLE)


def _digest(statements: Sequence[str] | None) -> str | None:
    """SHA-256 of what statements do, without comments and white space; None: nothing is known."""
    if statements is None:
        return None
    try:
        parts = [part for statement in statements for part in canonical(statement)]
    except UnfinishedTextError:  # cut by another splitter than ours
        return None
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
