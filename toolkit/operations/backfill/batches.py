"""Work in batches of whole users: which come next, trying again, and keeping out of the way."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import ClassVar
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import OperationalError
from toolkit.operations.backfill import lock, pace
from toolkit.operations.backfill.options import BackfillOptions
from toolkit.operations.backfill.pace import Pending
from toolkit.operations.backfill.waiter import Waiter
from toolkit.operations.backfill.watch import Watch
from toolkit.resources import statement
from toolkit.trial import Observer

# Another session came first: serialization failure, deadlock, lock timeout.
AGAIN = ("40001", "40P01", "55P03")
MOST_FAILURES = 10
_PAGE_USERS = 10_000
_TELL_EVERY_SECONDS = 10.0


class Batches(ABC):
    """One command's batches; each is a transaction of its own.

    Attributes:
        run_id: the run that it works on, once it has begun.
        batches, retries: how many committed, and how many tries were lost to others.
        waiter: keeps its time.
    """

    PAGE: ClassVar[str]  # the statement that names the next users

    def __init__(
        self,
        connection: psycopg.Connection[TupleRow],
        watch: Watch,
        options: BackfillOptions,
        observer: Observer,
        waiter: Waiter,
    ) -> None:
        """Prepare; nothing is touched yet.

        Args:
            connection: holds the backfill's lock, in autocommit mode.
            watch: sees who waits for it.
            options: limits and throttles.
            observer: told of progress and retries.
            waiter: rests, pauses and time.
        """
        self._connection = connection
        self._watch = watch
        self._options = options
        self._observer = observer
        self.waiter = waiter
        self.run_id: int | None = None
        self.batches = 0
        self.retries = 0
        self._size = pace.first_size(options.batch_rows)
        self._failures = 0
        self._total = self._done = self._moved = 0
        self._told_at = self._began_at = time.monotonic()

    @abstractmethod
    def _work(self, users: list[UUID | None]) -> dict[str, int]:
        """Do one batch, inside a transaction that is open; what was counted, empty for nothing."""

    @abstractmethod
    def _rows(self, found: dict[str, int]) -> int:
        """How many rows of those that wait a batch took care of."""

    def _walk(self) -> bool:
        """Once over all users in the order of their ids; whether anything was done."""
        after: UUID | None = None
        before = self._done
        while page := self._page(after):
            after = page[-1].user
            while page:
                page = page[self._batch(page) :]
            self._analyze("analyze ledger.migrated_readings")
        return self._done > before

    def _page(self, after: UUID | None) -> list[Pending]:
        rows = self._connection.execute(
            statement(self.PAGE), {"after": after, "users": _PAGE_USERS}
        ).fetchall()
        return [Pending(*row) for row in rows]

    def _batch(self, page: list[Pending], *, ownerless: bool = False) -> int:
        """Do the page's first users and rest; how many were done, 0 after a lost try."""
        self.waiter.for_leave()
        count = 1 if ownerless else pace.cut(page, self._size)
        began = time.monotonic()
        try:
            with self._watch:
                moved = self._once([pending.user for pending in page[:count]])
        except psycopg.Error as error:
            if error.sqlstate not in AGAIN:
                raise
            self._lost(error)
            return self._batch(page, ownerless=True) if ownerless else 0
        self._failures = 0
        self._after(moved, time.monotonic() - began)
        return count

    def _once(self, users: list[UUID | None]) -> int:
        """One transaction; rows that do not wait any more."""
        with self._connection.transaction():
            lock.require_held(self._connection, lock.BACKFILL)
            found = self._work(users)
        self.batches += 1 if found else 0
        return self._rows(found)

    def _after(self, moved: int, seconds: float) -> None:
        waited_for = self._watch.waiting > 0
        self._done += moved
        self._moved += moved
        self._observer.progress(min(self._done, self._total), self._total)
        self._size = pace.next_size(
            self._size, moved, seconds, waited_for=waited_for, most=self._options.batch_rows
        )
        self._tell(self._watch.waiting)
        # The last batch's rest keeps nobody's share.
        if moved:
            self.waiter.sleep(pace.rest(seconds, self._options.share, waited_for=waited_for))

    def _lost(self, error: psycopg.Error) -> None:
        """Wait, and make the next try smaller."""
        self._failures += 1
        self.retries += 1
        self._size = max(1, self._size // 2)
        by = f", it waits for {self._watch.blocker}" if self._watch.blocker else ""
        if self._failures >= MOST_FAILURES:
            raise OperationalError(
                f"a batch lost to other sessions {self._failures} times in a row "
                f"({error.sqlstate}){by}",
                next_step="look at pg_stat_activity for long transactions, then run the same "
                "command again: it goes on where this one stopped",
            ) from error
        seconds = pace.back_off(self._failures)
        self._observer.note(
            f"a batch lost to another session ({error.sqlstate}){by}; again in {seconds:g} s"
        )
        self.waiter.sleep(seconds)

    def _tell(self, waiting: int) -> None:
        """Rate and time to go, now and then."""
        now = time.monotonic()
        if now - self._told_at < _TELL_EVERY_SECONDS:
            return
        self._told_at = now
        rate = self._moved / (now - self._began_at)
        left = max(0, self._total - self._done)
        to_go = f", about {left / rate:,.0f} s to go" if rate > 0 else ""
        others = f"; {waiting} sessions waited for the last batch" if waiting else ""
        self._observer.note(
            f"{self._done:,} of {self._total:,} rows, {rate:,.0f} rows a second{to_go}; "
            f"{self._size:,} rows a batch{others}"
        )

    def _analyze(self, command: str) -> None:
        """Plans need to know how much there is; who holds the table longer goes first."""
        try:
            self._connection.execute(command.encode())
        except psycopg.errors.LockNotAvailable:
            self._observer.note("statistics are not renewed: another session holds the table")
