"""Two sessions, one of which waits for the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tests.support.database import Connection

Result = TypeVar("Result")


@contextmanager
def blocked(
    postgres: Connection, waiting: Connection, statement: Callable[[], Result]
) -> Iterator[Future[Result]]:
    """A statement that runs in a thread of its own and waits for somebody's lock."""
    process = waiting.info.backend_pid
    waiting.execute("set local statement_timeout = '20s'")
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(statement)
        for _ in range(1000):
            [(waits,)] = postgres.execute(
                "select cardinality(pg_blocking_pids(%s)) > 0", (process,)
            ).fetchall()
            if waits or result.done():
                break
            time.sleep(0.005)
        assert not result.done(), "nothing made it wait"
        yield result
