"""A real pgbouncer in session mode in front of a test database, where one is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from tests.support.database import Database
from tests.support.pgbouncer import transaction_pooler

_write = Path.write_text


@contextmanager
def session_pooler(database: Database, size: int) -> Iterator[str]:
    """The URL of a pooler that gives each client one session of its own, `size` at the most.

    The pooler of transactions, with another mode in the configuration that it writes.
    """

    def write(path: Path, text: str) -> int:
        text = text.replace("pool_mode = transaction", "pool_mode = session")
        return _write(path, text.replace("pool_size = 2", f"pool_size = {size}"))

    with mock.patch.object(Path, "write_text", write):
        pooler = transaction_pooler(database)
        url = pooler.__enter__()
    try:
        yield url
    finally:
        pooler.__exit__(None, None, None)
