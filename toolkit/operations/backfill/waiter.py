"""All of a backfill's waiting: rests, pauses for others, and the end of its time."""

from __future__ import annotations

import time

from toolkit.operations.backfill.options import BackfillOptions
from toolkit.operations.backfill.watch import Watch
from toolkit.trial import Observer

_POLL_SECONDS = 0.5


class TimeUpError(Exception):
    """--max-seconds is over; the backfill stops between two batches."""


class Waiter:
    """Knows the time that is left, and why not to go on yet.

    Attributes:
        paused_seconds: spent on the pause file and on replicas.
    """

    def __init__(self, options: BackfillOptions, watch: Watch, observer: Observer) -> None:
        self._options = options
        self._watch = watch
        self._observer = observer
        self._started = time.monotonic()
        self._blind = False
        self.paused_seconds = 0.0

    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._started

    def check_time(self) -> None:
        """Raise TimeUpError when no time is left."""
        if self._left() <= 0:
            raise TimeUpError

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the time that is left."""
        time.sleep(max(0.0, min(seconds, self._left())))
        self.check_time()

    def for_leave(self) -> None:
        """Return when nothing speaks against the next batch.

        Raises:
            TimeUpError: no time is left.
        """
        told = None
        while True:
            self.check_time()
            reason, figure = self._reason()
            if reason is None:
                if told is not None:
                    self._observer.note("goes on")
                return
            if reason != told:
                self._observer.note(f"paused: {reason}{figure}")
                told = reason
            began = time.monotonic()
            try:
                self.sleep(_POLL_SECONDS)
            finally:
                self.paused_seconds += time.monotonic() - began

    def _left(self) -> float:
        limit = self._options.max_seconds
        return float("inf") if limit is None else limit - self.elapsed()

    def _reason(self) -> tuple[str | None, str]:
        """Why not to go on, and a figure to it; None: go on."""
        file = self._options.pause_file
        if file is not None and file.exists():
            return f"{file} exists", ""
        lag = self._watch.lag()
        if lag.bytes is None:
            if lag.replicas and not self._blind:
                self._blind = True
                self._observer.note(
                    "this role may not see how far replicas lag (it is no member of pg_monitor): "
                    "going on without waiting for them"
                )
            return None, ""
        if lag.bytes > self._options.max_lag:
            return "a replica is too far behind", f", {lag.bytes:,} bytes"
        return None, ""
