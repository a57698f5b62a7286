"""What the doctor says: troubles, each with the exact repair, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import psycopg
from psycopg.rows import TupleRow

from toolkit.rollout.standing import Data

_NAMED = 4


class Extent(StrEnum):
    """How much of the rollout a database has."""

    NOTHING = "not rolled out"
    PARTLY = "partly rolled out"
    ROLLED_BACK = "rolled back on purpose"
    COMPLETE = "rolled out"
    UNKNOWN = "rolled out as far as nobody can say: the CLI's history is gone"


@dataclass(frozen=True)
class State:
    """Where the rollout stands.

    Attributes:
        extent: see Extent.
        missing: names of the phases that are not applied, in their order.
        data: whether the legacy rows were moved.
        rolled_back_at: when the first of the missing ones was taken back.
        deploying: a deploy or a rollback is at work.
        next_step: the command that goes on; empty where there is none.
    """

    extent: Extent
    missing: tuple[str, ...] = ()
    data: Data = Data.WAITS
    rolled_back_at: datetime | None = None
    deploying: bool = False
    next_step: str = ""

    @property
    def text(self) -> str:
        """The state in a few words."""
        told = [self.extent.value]
        if self.rolled_back_at is not None:
            told[0] += f" at {self.rolled_back_at.isoformat(timespec='seconds')}"
        if self.missing and self.extent is not Extent.NOTHING:
            more = len(self.missing) - _NAMED
            told.append(
                f"without {', '.join(self.missing[:_NAMED])}"
                + (f" and {more} more phases" if more > 0 else "")
            )
        if self.extent is Extent.COMPLETE and self.data is not Data.MOVED:
            told.append(self.data.value)
        if self.deploying:
            told.append("a deploy or a rollback is at work")
        return "; ".join(told)

    @property
    def awaits(self) -> bool:
        """Whether later phases have still to make what a check may look for."""
        return bool(self.missing)


@dataclass(frozen=True)
class Trouble:
    """Something that is known to go wrong, and how it is mended.

    Attributes:
        name: of the check that found it.
        text: what is wrong.
        repair: one or more SQL statements, ending in a semicolon; or a command or an instruction.
        safe: the repair loses nothing, stops nobody, and needs no decision.
    """

    name: str
    text: str
    repair: str
    safe: bool

    @property
    def sql(self) -> bool:
        """Whether the repair is SQL."""
        return self.repair.endswith(";")

    @property
    def alone(self) -> bool:
        """Whether the repair cannot share a transaction."""
        return " concurrently " in self.repair or self.repair.startswith("rollback prepared")


@dataclass(frozen=True)
class Question:
    """What some checks need to know.

    Attributes:
        idle_seconds: how long a lock's holder may be idle before it counts as orphaned.
    """

    idle_seconds: float = 60.0


Look = Callable[[psycopg.Connection[TupleRow], Question], Iterator[Trouble]]


@dataclass(frozen=True)
class Check:
    """One kind of trouble.

    Attributes:
        name: short and stable.
        title: what it looks for.
        look: finds the troubles, and changes nothing.
    """

    name: str
    title: str
    look: Look


@dataclass(frozen=True)
class Diagnosis:
    """All that was found.

    Attributes:
        database: user@host:port/name, without secrets.
        state: where the rollout stands; what later phases make is not looked for before them.
        troubles: in the order in which they are best mended.
        unseen: (check, reason) where a check could not look.
        checks: names of the checks that were made; those for what later phases make wait for them.
        seconds: how long it took.
    """

    database: str
    state: State
    troubles: tuple[Trouble, ...]
    unseen: tuple[tuple[str, str], ...]
    checks: tuple[str, ...]
    seconds: float

    @property
    def well(self) -> bool:
        """Nothing found, and everything looked at."""
        return not self.troubles and not self.unseen


class Outcome(StrEnum):
    """FIXED: mended, looked at again. FAILED: the server refused. REMAINS: done, still there."""

    FIXED = "fixed"
    FAILED = "failed"
    REMAINS = "remains"


@dataclass(frozen=True)
class Treatment:
    """What became of one safe repair.

    Attributes:
        trouble: what was to be mended.
        outcome: see Outcome.
        detail: the server's words where it refused.
    """

    trouble: Trouble
    outcome: Outcome
    detail: str = ""
