"""Watches the CLI's session while a file is applied: for whom it waits, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from toolkit.operations.deploy.guard import CLI_NAMES
from toolkit.operations.deploy.lock import Connection, at
from toolkit.resources import statement

_EVERY_SECONDS = 0.2
_WORTH_TELLING_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0


class Watch:
    """What was seen of one push.

    Attributes:
        blockers: for whom it last waited, each with process, application and since when.
        cancelled: its wait was ended here, because it had lasted longer than the limit.
        lost: the connection that watches, and holds the lock, died.
    """

    def __init__(
        self, connection: Connection, limit: float | None, note: Callable[[str], None]
    ) -> None:
        self.blockers: tuple[str, ...] = ()
        self.cancelled = False
        self.lost = False
        self._connection = connection
        self._limit = limit
        self._note = note
        self._told: set[str] = set()
        self._since = _now(connection)
        self._stop = threading.Event()

    def run(self) -> None:
        """Look until stopped; the body of a thread."""
        while not self._stop.wait(_EVERY_SECONDS):
            try:
                self._look()
            except psycopg.Error:
                self.lost = True
                return

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def cancel(self) -> None:
        """End what the CLI's session does, and wait until it is over."""
        with suppress(psycopg.Error):
            for row in self._rows():
                self._cancel(int(row[0]))
            until = time.monotonic() + _PATIENCE_SECONDS
            while self._rows() and time.monotonic() < until:
                time.sleep(_EVERY_SECONDS)

    def _look(self) -> None:
        rows = [row for row in self._rows() if row[1] is not None]
        for pid in {int(row[0]) for row in rows}:
            waits = [row for row in rows if row[0] == pid]
            seconds, wanted = float(waits[0][1]), waits[0][2]
            blockers = tuple(_blocker(row) for row in waits if row[3] is not None)
            if blockers:
                self.blockers = blockers
            if seconds >= _WORTH_TELLING_SECONDS:
                for blocker in set(blockers) - self._told:
                    self._told.add(blocker)
                    self._note(f"waits for a lock{f' on {wanted}' if wanted else ''}: {blocker}")
            if self._limit is not None and seconds > self._limit:
                self.cancelled = True
                self._cancel(pid)

    def _rows(self) -> list[TupleRow]:
        return self._connection.execute(
            statement("select_push_waits"), {"names": list(CLI_NAMES), "since": self._since}
        ).fetchall()

    def _cancel(self, pid: int) -> None:
        self._connection.execute("select pg_cancel_backend(%s)", (pid,))


@contextmanager
def watching(
    connection: Connection, limit: float | None, note: Callable[[str], None]
) -> Iterator[Watch]:
    """Watch for the time of a with block.

    Args:
        connection: the one that holds the lock; nobody else may use it meanwhile.
        limit: seconds that the CLI may wait for a lock; None: as long as its file says.
        note: is told for whom it waits.
    """
    watch = Watch(connection, limit, note)
    thread = threading.Thread(target=watch.run, name="meterledger deploy watch", daemon=True)
    thread.start()
    try:
        yield watch
    except Exception:
        raise
    except BaseException:  # Ctrl-C: the CLI is gone, and its statement must not work on
        watch.stop()
        thread.join()
        watch.cancel()
        raise
    finally:
        watch.stop()
        thread.join()


def _now(connection: Connection) -> Any:  # noqa: ANN401 - a timestamp, handed back as it came
    row = connection.execute("select clock_timestamp()").fetchone()
    return row[0] if row is not None else None


def _blocker(row: TupleRow) -> str:
    _, _, _, pid, name, role, state, since = row
    return f"process {pid} ({name}, role {role}, {state or 'state unknown'}, since {at(since)})"
