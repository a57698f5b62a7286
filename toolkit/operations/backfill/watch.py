"""Sees, from a connection of its own, who waits for the batch that runs and who lags behind."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType

import psycopg
from psycopg.rows import TupleRow

from toolkit.resources import statement

_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Lag:
    """Replicas that stream, and how many bytes the slowest is behind; None: not to be seen."""

    replicas: int
    bytes: int | None


class Watch:
    """Samples while a with block runs; afterwards it knows what was seen.

    Attributes:
        waiting: the most sessions that waited for the watched one at a time.
        blocker: whom the watched session waited for last; None: for nobody.
    """

    def __init__(self, connection: psycopg.Connection[TupleRow], watched_pid: int) -> None:
        """Name what is watched.

        Args:
            connection: of its own, in autocommit mode; used by one thread at a time.
            watched_pid: the server process that moves the batches.
        """
        self._connection = connection
        self._pid = watched_pid
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.waiting = 0
        self.blocker: str | None = None

    def __enter__(self) -> Watch:
        """Begin to look."""
        self.waiting, self.blocker = 0, None
        self._ended.clear()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def lag(self) -> Lag:
        """How far replicas are behind now."""
        row = self._connection.execute(statement("backfill_lag")).fetchone()
        return Lag(row[0], row[1]) if row is not None else Lag(0, None)

    def _look(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            try:
                row = self._connection.execute(
                    statement("backfill_waits"), {"pid": self._pid}
                ).fetchone()
            except psycopg.Error:
                return  # the batches notice themselves that the server is gone
            if row is not None:
                self.waiting = max(self.waiting, row[0])
                self.blocker = row[1] or self.blocker
