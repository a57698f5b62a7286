"""How big a batch is and how long the rest after it: pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

TARGET_SECONDS = 1.0
FIRST_ROWS = 500
_GROWTH = 2.0


@dataclass(frozen=True)
class Pending:
    """A user and the number of legacy rows that wait."""

    user: UUID | None
    rows: int


def first_size(most: int) -> int:
    """Rows of the first batch, whose speed is not known."""
    return min(FIRST_ROWS, most)


def next_size(size: int, moved: int, seconds: float, *, waited_for: bool, most: int) -> int:
    """Rows of the next batch, so that it takes about a second.

    Args:
        size: what this batch was meant to have.
        moved: the rows that it had.
        seconds: that it took.
        waited_for: other sessions waited for its locks.
        most: the operator's limit.
    """
    if waited_for:
        return max(1, size // 2)
    if moved == 0 or seconds <= 0:
        return min(size, most)
    fitting = moved * TARGET_SECONDS / seconds
    # A batch of few rows says little about one of many: so never more than twice the size.
    return int(max(1, min(fitting, size * _GROWTH, most)))


def rest(seconds: float, share: float, *, waited_for: bool) -> float:
    """Seconds to sleep after a batch, so that work is at most that share of the time."""
    fair = seconds * (1 - share) / share
    return max(fair, seconds) if waited_for else fair


def cut(page: Sequence[Pending], size: int) -> int:
    """How many of the page's users are the next batch: at least one, whole, up to `size` rows."""
    rows = 0
    for count, user in enumerate(page):
        rows += user.rows
        if count > 0 and rows > size:
            return count
    return len(page)


def back_off(failures: int) -> float:
    """Seconds to wait after so many failures in a row: half a second, then twice, up to 16."""
    return float(min(0.5 * 2 ** (failures - 1), 16.0))
