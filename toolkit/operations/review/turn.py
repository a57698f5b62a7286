"""A short transaction beside a running app: it waits a little for its rows, never for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import OperationalError

LOCK_TIMEOUT = "5s"


@contextmanager
def turn(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """A transaction of its own, or a savepoint in the caller's, with a limit to waiting.

    Raises:
        OperationalError: somebody else holds the rows, and nothing was changed.
    """
    try:
        with connection.transaction():
            connection.execute("select set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
            yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise OperationalError(
            "nothing was changed: a writer of the same user holds the rows",
            next_step="run the same command again in a moment",
        ) from error
