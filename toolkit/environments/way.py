"""The way a connection takes: straight to the server, or through a pooler, and of which mode."""

from __future__ import annotations

import select
import time
from contextlib import closing
from enum import StrEnum

import psycopg
from psycopg import pq
from psycopg.rows import TupleRow

from toolkit.connection import TRANSACTION_POOLER_PORT, connect, parse
from toolkit.errors import OperationalError

_PATIENCE_SECONDS = 5.0
_ROUNDS = 4
_WHO = b"select pg_catalog.pg_backend_pid()"

Connection = psycopg.Connection[TupleRow]


class Way(StrEnum):
    """What lies between a client and the server."""

    DIRECT = "direct"
    SESSION = "session pooler"
    TRANSACTION = "transaction pooler"


def way_of(url: str) -> Way:
    """Which way a connection takes, told by what it does rather than by its port alone.

    A pooler makes up the process id that it greets clients with; one in transaction mode hands
    the server process of a client that is still there to the next client.

    Args:
        url: opened once, and a second time where there is a pooler; both are closed again.

    Raises:
        UsageError: the URL cannot be parsed.
        OperationalError: a connection is refused, or answers nothing in time.
    """
    if parse(url).get("port") == TRANSACTION_POOLER_PORT:
        return Way.TRANSACTION
    with closing(_open(url)) as one:
        first = _server_process(one)
        if first is None:
            raise OperationalError(
                f"the server answered nothing within {_PATIENCE_SECONDS:.0f} seconds",
                next_step="look at its load, or at the pooler's free connections, and try again",
            )
        if first == one.info.backend_pid:
            return Way.DIRECT
        with closing(_open(url)) as other:
            return _mode(one, first, other)


def _open(url: str) -> Connection:
    return connect(url, autocommit=True, application_name="meterledger env", prepare=False)


def _mode(one: Connection, first: int, other: Connection) -> Way:
    for _ in range(_ROUNDS):
        seen = _server_process(other)
        if seen is None:
            # Nothing is left for a second client while the first one idles: a full session
            # pool. In transaction mode an idle client holds nothing.
            return Way.SESSION
        if seen == first or _server_process(one) != first:
            return Way.TRANSACTION
    return Way.SESSION


def _server_process(connection: Connection) -> int | None:
    """The process id that the server itself knows; None where no answer comes in time.

    Not through execute(), which would wait for as long as a pooler keeps a client waiting.
    """
    raw = connection.pgconn
    raw.send_query(_WHO)
    raw.flush()
    until = time.monotonic() + _PATIENCE_SECONDS
    found = None
    while True:
        while raw.is_busy():
            left = until - time.monotonic()
            if left <= 0 or not select.select([raw.socket], [], [], left)[0]:
                return None
            raw.consume_input()
        result = raw.get_result()
        if result is None:
            return found
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise OperationalError(
                "the pooler or server does not say which process serves the connection",
                next_step="connect directly, or through a session pooler",
            )
        found = int(result.get_value(0, 0) or 0)
