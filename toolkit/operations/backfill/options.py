"""What a backfill is asked for, what it would do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from toolkit.errors import UsageError

MAX_BATCH_ROWS = 20_000
MAX_LAG_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class BackfillOptions:
    """How a backfill behaves beside the app.

    Attributes:
        batch_rows: legacy rows a batch, at most; a user who has more is one batch.
        max_seconds: stop at the first batch boundary after so many seconds; None: never.
        pause_file: nothing is moved while this file exists.
        share: of the time that may be work, above 0 and up to 1; the rest is sleep.
        max_lag: bytes that a replica may be behind before the backfill waits for it.
    """

    batch_rows: int = MAX_BATCH_ROWS
    max_seconds: float | None = None
    pause_file: Path | None = None
    share: float = 0.5
    max_lag: int = MAX_LAG_BYTES

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UsageError(
                f"a share of {self.share} is no part of the time",
                next_step="name a number above 0 and up to 1, for example --share 0.5",
            )
        if self.batch_rows < 1 or self.max_lag < 0 or (self.max_seconds or 0) < 0:
            raise UsageError(
                "rows, seconds and bytes cannot be below zero, and a batch has at least one row",
                next_step="correct --batch-rows, --max-seconds or --max-lag",
            )


@dataclass(frozen=True)
class BackfillPlan:
    """What a backfill would find.

    Attributes:
        database: without secrets.
        legacy_rows: rows of electricity_readings.
        pending_rows: those that are neither migrated nor rejected.
        pending_users: whose rows these are.
        open_run: an unfinished run that would be continued.
        finished_run: the run that finished it all; nothing is left to do.
    """

    database: str
    legacy_rows: int
    pending_rows: int
    pending_users: int
    open_run: int | None
    finished_run: int | None

    @property
    def done(self) -> bool:
        """Nothing to move and nothing to prove."""
        return self.pending_rows == 0 and self.open_run is None and self.finished_run is not None


@dataclass(frozen=True)
class BackfillReport:
    """What one command did.

    Attributes:
        database: without secrets.
        run_id: of ledger.migration_runs; None where time was up before it began.
        resumed: the run had been begun before.
        finished: everything is moved and proven.
        batches, migrated, completed, merged, rejected: of this command; completed ones are
            among the migrated.
        retries: batches that lost to another session and were tried again.
        legacy_rows, pending_rows: when it ended.
        seconds, paused_seconds: in all, and of that, waiting for others or the pause file.
    """

    database: str
    run_id: int | None
    resumed: bool
    finished: bool
    batches: int
    migrated: int
    completed: int
    merged: int
    rejected: int
    retries: int
    legacy_rows: int
    pending_rows: int
    seconds: float
    paused_seconds: float

    @property
    def rate(self) -> float:
        """Rows a second, pauses included."""
        return (self.migrated + self.rejected) / self.seconds if self.seconds else 0.0

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        rounded = {name: round(values[name], 3) for name in ("seconds", "paused_seconds")}
        return {**values, **rounded, "rows_a_second": round(self.rate, 1)}
