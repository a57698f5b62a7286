"""The batches that move data: beginning or continuing a run, moving, and the proof at the end."""

from __future__ import annotations

from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import FindingsError
from toolkit.operations.backfill import lock
from toolkit.operations.backfill.batches import Batches
from toolkit.operations.backfill.options import BackfillOptions, BackfillPlan
from toolkit.operations.backfill.pace import Pending
from toolkit.operations.backfill.waiter import TimeUpError, Waiter
from toolkit.operations.backfill.watch import Watch
from toolkit.trial import Observer

__all__ = ["Mover", "TimeUpError"]

_COUNTS = ("migrated", "completed", "merged", "rejected")


class Mover(Batches):
    """One command's work on one run.

    Attributes:
        counts: rows of this command: migrated, completed, merged, rejected.
    """

    PAGE = "backfill_page"

    def __init__(
        self,
        connection: psycopg.Connection[TupleRow],
        watch: Watch,
        options: BackfillOptions,
        observer: Observer,
        waiter: Waiter,
    ) -> None:
        """Prepare; nothing is touched yet."""
        super().__init__(connection, watch, options, observer, waiter)
        self.counts = dict.fromkeys(_COUNTS, 0)

    def leave_time(self) -> None:
        """Stop before the first batch when there is no time at all."""
        self.waiter.check_time()

    def begin(self, plan: BackfillPlan) -> None:
        """Continue the unfinished run, or open one.

        Raises:
            FindingsError: the data cannot move yet; with what to do about it.
        """
        self._total = plan.legacy_rows
        self._done = plan.legacy_rows - plan.pending_rows
        self._observer.progress(self._done, self._total)
        if plan.open_run is not None:
            self._require_no_problems()
            self.run_id = plan.open_run
            self._observer.note(f"continues run {self.run_id}: {plan.pending_rows:,} rows wait")
        else:
            row = self._connection.execute("select ledger.start_migration()").fetchone()
            self.run_id = row[0] if row else None
            self._observer.note(f"run {self.run_id}: {plan.pending_rows:,} rows wait")
        self._analyze("analyze public.electricity_readings, public.token_events")

    def move(self) -> None:
        """Batch after batch, until a walk over all users finds nothing to move.

        Raises:
            TimeUpError: --max-seconds is over.
        """
        moved = True
        while moved:
            moved = self._walk()
        # Rows that say no user's name; a found table may hold some.
        self._batch([Pending(None, 0)], ownerless=True)

    def finish(self) -> bool:
        """Prove that every row comes back (else ML004) and close the run."""
        self.waiter.for_leave()
        self._observer.note("every row is moved; comparing all of them")
        with self._connection.transaction():
            lock.require_held(self._connection, lock.BACKFILL)
            self._connection.execute("select ledger.finish_migration(%s)", (self.run_id,))
        return True

    def _work(self, users: list[UUID | None]) -> dict[str, int]:
        row = self._connection.execute(
            "select ledger.migrate_users(%s, %s::uuid[])", (self.run_id, users)
        ).fetchone()
        return row[0] if row else {}

    def _rows(self, found: dict[str, int]) -> int:
        for name in _COUNTS:
            self.counts[name] += found.get(name, 0)
        return int(found.get("migrated", 0) + found.get("rejected", 0))

    def _require_no_problems(self) -> None:
        rows = self._connection.execute(
            "select problem, next_step from ledger.migration_problems()"
        ).fetchall()
        if rows:
            raise FindingsError(
                f"the data migration cannot go on: {'; '.join(row[0] for row in rows)}",
                next_step="; ".join(row[1] for row in rows),
            )
