"""What a rollback would do and would lose, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from toolkit.operations.rollback.steps import Step


class Fate(Enum):
    """What becomes of rows."""

    LOST = "lost"  # they exist nowhere else, and go
    ASIDE = "set aside"  # kept whole in ledger.set_aside
    STAYS = "stays"  # nobody touches them
    DERIVED = "made again"  # computed from what stays: a new rollout makes them again
    RECORD = "record"  # of what operators and schedules did; says nothing of any user


@dataclass(frozen=True)
class Holding:
    """Rows that a step touches.

    Attributes:
        name: short and stable.
        title: what they are.
        version: of the phase whose rollback touches them.
        fate: what becomes of them.
        count: how many.
    """

    name: str
    title: str
    version: str
    fate: Fate
    count: int

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "name": self.name,
            "title": self.title,
            "version": self.version,
            "fate": self.fate.value,
            "count": self.count,
        }


@dataclass(frozen=True)
class Obstacle:
    """What no permission to lose rows can remove.

    Attributes:
        text: what it is.
        next_step: what to do about it.
    """

    text: str
    next_step: str


@dataclass(frozen=True)
class RollbackPlan:
    """What a rollback would do; computed read-only, in one snapshot.

    Attributes:
        database: without secrets.
        target: data, nothing, or the version that stays the last one.
        steps: in their order, each a transaction.
        holdings: rows that they touch; those of no rows are left out.
        obstacles: what stops it in any case.
    """

    database: str
    target: str
    steps: tuple[Step, ...]
    holdings: tuple[Holding, ...]
    obstacles: tuple[Obstacle, ...]

    @property
    def lost(self) -> int:
        """Rows that exist nowhere else and would be gone."""
        return sum(holding.count for holding in self.losses)

    @property
    def losses(self) -> tuple[Holding, ...]:
        """What these rows are."""
        return tuple(h for h in self.holdings if h.fate is Fate.LOST)

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "database": self.database,
            "target": self.target,
            "steps": [
                {"version": step.phase.version, "name": step.phase.name} for step in self.steps
            ],
            "lost": self.lost,
            "rows": [holding.as_object() for holding in self.holdings],
            "obstacles": [
                {"text": found.text, "next_step": found.next_step} for found in self.obstacles
            ],
        }


@dataclass(frozen=True)
class RollbackReport:
    """What one command took back.

    Attributes:
        plan: what it had said.
        undone: the phases' names, in the order in which they went.
        batches: in which the data went back.
        retries: steps that lost to another session and were tried again.
        seconds: in all.
    """

    plan: RollbackPlan
    undone: tuple[str, ...]
    batches: int
    retries: int
    seconds: float

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            **self.plan.as_object(),
            "undone": list(self.undone),
            "batches": self.batches,
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
        }
