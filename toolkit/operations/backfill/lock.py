"""Session locks that keep two operators apart, and who holds them."""

from __future__ import annotations

import time

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import TRANSACTION_POOLER_PORT, connect, parse
from toolkit.errors import OperationalError, UsageError
from toolkit.resources import statement

BACKFILL = "meterledger.backfill"
DEPLOY = "meterledger.deploy"
# The server's side of a killed command ends within about this time, and frees its lock.
PATIENCE_SECONDS = 4.0
LOCK_TIMEOUT = "5s"
_POLL_SECONDS = 0.2


def open_session(url: str, application_name: str) -> psycopg.Connection[TupleRow]:
    """A session that may hold locks: not a pooler's, not a replica's, without time limits.

    Args:
        url: a direct or session connection, as the owner.
        application_name: what pg_stat_activity shows.

    Raises:
        UsageError: the URL is a transaction pooler's.
        OperationalError: no connection, or the server takes no writes.
    """
    if parse(url).get("port") == TRANSACTION_POOLER_PORT:
        raise _is_pooler()
    connection = connect(url, autocommit=True, application_name=application_name)
    try:
        _refuse_pooler(connection, url)
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def take(
    connection: psycopg.Connection[TupleRow],
    name: str,
    *,
    patience: float | None = None,
) -> None:
    """Take a session lock; it is held until the connection ends.

    Args:
        connection: in autocommit mode.
        name: of the lock.
        patience: seconds to wait for a killed command's server process to notice that it is
            alone; PATIENCE_SECONDS if left out.

    Raises:
        OperationalError: somebody holds it; the message says who and since when.
    """
    deadline = time.monotonic() + (PATIENCE_SECONDS if patience is None else patience)
    while not _try(connection, name):
        if time.monotonic() >= deadline:
            raise _held(connection, name)
        time.sleep(_POLL_SECONDS)


def holds(connection: psycopg.Connection[TupleRow], name: str) -> bool:
    """Whether this very server session holds the lock: behind a pooler it may be another."""
    row = connection.execute(statement("backfill_lock_holder"), {"name": name}).fetchone()
    return row is not None and bool(row[-1])


def session_pid(connection: psycopg.Connection[TupleRow]) -> int:
    """The server's process; what the connection itself says may be a session pooler's."""
    row = connection.execute("select pg_backend_pid()").fetchone()
    return int(row[0]) if row is not None else 0


def require_held(connection: psycopg.Connection[TupleRow], name: str) -> None:
    """Stop unless this session still holds the lock.

    Raises:
        OperationalError: it does not, which happens behind a transaction pooler.
    """
    if not holds(connection, name):
        raise OperationalError(
            f"the lock {name} is not held any more: this connection changes its server session",
            next_step="use the direct connection or the session pooler, not a transaction pooler",
        )


def _refuse_pooler(connection: psycopg.Connection[TupleRow], url: str) -> None:
    """Two connections that meet in one server session are a transaction pooler's."""
    with connect(url, autocommit=True, application_name="meterledger") as other:
        if session_pid(other) == session_pid(connection):
            raise _is_pooler()


def _is_pooler() -> UsageError:
    return UsageError(
        "this URL is a transaction pooler's, where locks of a session do not hold",
        next_step="use the direct connection or the session pooler (port 5432)",
    )


def _prepare(connection: psycopg.Connection[TupleRow]) -> None:
    if connection.execute("select pg_is_in_recovery()").fetchone() == (True,):
        raise OperationalError(
            "this server is a replica and takes no writes",
            next_step="name the primary's URL",
        )
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    for setting, value in (
        ("statement_timeout", "0"),
        ("idle_session_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("lock_timeout", LOCK_TIMEOUT),
        # So that the server's process ends with a killed command, in the middle of a statement.
        ("client_connection_check_interval", "1s"),
    ):
        try:
            connection.execute("select set_config(%s, %s, false)", (setting, value))
        except psycopg.errors.InvalidParameterValue:  # not on every platform
            continue


def _try(connection: psycopg.Connection[TupleRow], name: str) -> bool:
    row = connection.execute(
        "select pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)
    ).fetchone()
    return row == (True,)


def _held(connection: psycopg.Connection[TupleRow], name: str) -> OperationalError:
    row = connection.execute(statement("backfill_lock_holder"), {"name": name}).fetchone()
    if row is None:
        return OperationalError(
            f"the lock {name} was held until just now", next_step="run the command again"
        )
    pid, user, program, client, since, _ = row
    when = f", since {since:%Y-%m-%d %H:%M:%S %Z}" if since is not None else ""
    return OperationalError(
        f"somebody else is at work: {program} of {user} from {client}{when} (pid {pid})",
        next_step="wait until it has ended; if nobody runs it any more: "
        f"select pg_terminate_backend({pid});",
    )
