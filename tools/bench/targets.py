"""What the product promises of its speed, and whether the run kept it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tools.bench.measure import Comparison
from tools.bench.reading import VIEW

_AT_LEAST: tuple[str, Callable[[float, float], bool]] = ("≥", operator.ge)
_AT_MOST: tuple[str, Callable[[float, float], bool]] = ("≤", operator.le)


@dataclass(frozen=True)
class Target:
    """A bound on a ratio.

    Attributes:
        says: what is promised, for a reader.
        key: of the comparison.
        variant: whose figure it is.
        sign: '≥' or '≤'.
        bound: of the figure.
        cost: True takes the time in shares of the baseline's, not the speed.
        from_rows: what is promised begins at so many legacy rows: fixed costs, as connecting is,
            weigh more beside little work.
    """

    says: str
    key: str
    variant: str
    sign: str
    bound: float
    cost: bool = False
    from_rows: int = 0

    def figure(self, comparison: Comparison) -> float:
        """The ratio that is held against the bound."""
        ratio = comparison.ratio(self.variant)
        return 1 / ratio if self.cost and ratio else ratio

    def met(self, comparison: Comparison) -> bool:
        """Whether the run kept it."""
        holds = dict((_AT_LEAST, _AT_MOST))[self.sign]
        return holds(self.figure(comparison), self.bound)


_INSERTS, _AGAIN = "the migration's inserts", "the migration again, nothing to do"
_PROJECTOR = "projector"
_MILLION = 1_000_000
_REFRESH, _AUDIT = "refresh handler, nothing changed", "audit handler, nothing changed"
_CHANGED = "audit handler, 1% of users changed"

TARGETS = (
    Target(
        "migration's inserts, of a COPY of the same rows",
        "move", _INSERTS, "≥", 0.9, from_rows=_MILLION,
    ),
    Target("migration again, of that COPY", "move", _AGAIN, "≥", 25, from_rows=_MILLION),
    Target("100 rows through the view, of a bare mv, 1 client", "read.100.1", VIEW, "≥", 0.9),
    Target("100 rows through the view, of a bare mv, 8 clients", "read.100.8", VIEW, "≥", 0.9),
    Target(
        "time of 100 rows for a user of 20,000, of one of 200",
        "read.growth", "a user of 20,000 rows", "≤", 1.5, cost=True,
    ),
    Target(
        "insert of the newest event, 16 writers, of no trigger",
        "insert.newest.16", _PROJECTOR, "≥", 0.5,
    ),
    Target(
        "insert in the middle of 2,000, 16 writers, of no trigger",
        "insert.back-dated.16", _PROJECTOR, "≥", 0.35,
    ),
    Target(
        "refresh run, nothing changed, of a full refresh",
        "scheduled", _REFRESH, "≤", 0.01, cost=True, from_rows=_MILLION,
    ),
    Target(
        "audit run, nothing changed, of a full refresh",
        "scheduled", _AUDIT, "≤", 0.01, cost=True, from_rows=_MILLION,
    ),
    Target(
        "audit of 1% changed users, of a full refresh",
        "scheduled", _CHANGED, "≤", 0.05, cost=True, from_rows=_MILLION,
    ),
)  # fmt: skip


def judge(found: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Each target's figure on each size that was measured, where it promises something."""
    return [
        {
            "target": target.says,
            "rows": comparison.rows,
            "figure": float(f"{target.figure(comparison):.3g}"),
            "bound": f"{target.sign} {target.bound:g}",
            "met": target.met(comparison),
        }
        for target in TARGETS
        for comparison in found
        if comparison.key == target.key and comparison.rows >= target.from_rows
    ]
