"""What the doctor says: troubles, each with the exact repair, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import psycopg
from psycopg.rows import TupleRow

# Stands in a repair that is a command for the environment's name.
ENVIRONMENT = "ENV"


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
        troubles: in the order in which they are best mended.
        unseen: (check, reason) where a check could not look.
        checks: names of the checks that were made.
        seconds: how long it took.
    """

    database: str
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
