"""What a contract would drop, and what it dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.operations.cutover.report import Standing


@dataclass(frozen=True)
class ContractPlan:
    """What a contract would drop.

    Attributes:
        database: without secrets.
        standing: the cutover whose archive goes.
        grace_days: how long the archive has to be kept.
        rows: of the archived table; `rejected`: those that no event stands for;
            `size_bytes`: with its indexes.
        obstacles: what keeps it from being done, each with a next step.
    """

    database: str
    standing: Standing
    grace_days: int
    rows: int
    rejected: int
    size_bytes: int
    obstacles: tuple[tuple[str, str], ...] = ()

    @property
    def done(self) -> bool:
        """It was done before."""
        return self.standing.contracted_at is not None

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "database": self.database,
            "cut_over_at": self.standing.since.isoformat(),
            "contracted": self.done,
            "grace_days": self.grace_days,
            "rows": self.rows,
            "rejected": self.rejected,
            "bytes": self.size_bytes,
            "obstacles": [{"text": text, "next_step": step} for text, step in self.obstacles],
        }


@dataclass(frozen=True)
class ContractReport:
    """What a contract dropped: rows of the archived table."""

    plan: ContractPlan
    already: bool
    rows: int = 0
    attempts: int = 0

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            **self.plan.as_object(),
            "contracted": True,
            "already": self.already,
            "dropped": self.rows,
            "attempts": self.attempts,
        }
