"""What the scheduled work says of itself, in a status: the last refresh, the last audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_STEPS = (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48))
_DAY = 86400


@dataclass(frozen=True)
class Audit:
    """One audit: whom it looked at, and rows that differed or are not repaired."""

    at: datetime
    trigger_source: str
    users: int
    differences: int
    unrepaired: int


@dataclass(frozen=True)
class Work:
    """What public.ledger_health() says; see status_work.sql.

    Attributes:
        seconds_since_refresh, seconds_since_audit: by the database's clock.
        seconds_since_refresh_run: since a run refreshed, or found that there was no need.
        last_refresh_outcome: of the last run that was not skipped.
        differences_open: rows that an audit found and that are not repaired yet.
        problems: in words.
    """

    healthy: bool
    problems: Sequence[str]
    refresh: str
    last_refresh_at: datetime | None
    seconds_since_refresh: float | None
    seconds_since_refresh_run: float | None
    last_refresh_outcome: str | None
    changed_since_refresh: int
    last_audit_at: datetime | None
    seconds_since_audit: float | None
    last_audit_users: int | None
    last_audit_differences: int | None
    waiting_for_audit: int | None
    differences_open: int
    differences_24h: int

    def refresh_words(self) -> str:
        """Whether the materialized view is kept current."""
        if self.refresh == "off":
            return "scheduled refresh: switched off"
        return (
            f"scheduled refresh: {_since(self.last_refresh_at, self.seconds_since_refresh)}; last "
            f"run: {self.last_refresh_outcome or 'none'}, users changed since: "
            f"{self.changed_since_refresh:,}"
        )

    def audit_words(self) -> str:
        """How old the last audit is, and what it found."""
        return (
            f"scheduled audit: {_since(self.last_audit_at, self.seconds_since_audit)}; users: "
            f"{self.last_audit_users or 0:,}, left over: {self.waiting_for_audit or 0:,}, "
            f"differences: {self.last_audit_differences or 0:,}, within a day: "
            f"{self.differences_24h:,}, open: {self.differences_open:,}"
        )


def _since(moment: datetime | None, seconds: float | None) -> str:
    """When, and how long ago; a clock that was set back makes it less than nothing."""
    if moment is None or seconds is None:
        return "never"
    unit, size = next(
        ((name, size) for name, size, most in _STEPS if seconds < most * size), ("days", _DAY)
    )
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {seconds / size:,.0f} {unit} ago"
