"""One deploy at a time: a session's advisory lock, and who holds it."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import connect
from toolkit.errors import OperationalError
from toolkit.resources import statement

Connection = psycopg.Connection[TupleRow]
KEY = "meterledger.deploy"
APPLICATION = "meterledger deploy"
_NAME_BYTES = 63  # what PostgreSQL keeps of an application_name
_TRIES = 3  # the holder may be gone by the time that we ask who it is
# A deployer whose network is cut keeps the lock until the server notices, so it looks; and no
# time limit of the role may take the lock away in the middle of a file.
_SESSION = {
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


@dataclass(frozen=True)
class Holder:
    """Who holds the lock.

    Attributes:
        pid: of the server's process for its connection.
        who: user@host and process id as the deployer gave them, or the database role.
        since: when its connection was opened.
    """

    pid: int
    who: str
    since: datetime


def operator() -> str:
    """Who deploys: user@host of this process, in ASCII."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # an account without a name, as containers have them
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}".encode("ascii", "replace").decode()


def at(moment: datetime | None) -> str:
    """A moment for people: to the second, in UTC."""
    if moment is None:
        return "an unknown time"
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def holder(connection: Connection) -> Holder | None:
    """Who deploys to this database at the moment; None: nobody."""
    row = connection.execute(statement("select_deploy_holder"), {"key": KEY}).fetchone()
    if row is None:
        return None
    pid, name, role, since = row
    who = str(name).removeprefix(APPLICATION).strip() or f"role {role}"
    return Holder(int(pid), who, since)


class DeployLock:
    """The held lock.

    Attributes:
        connection: the session that holds it, in autocommit mode; to be kept open.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def require_held(self) -> None:
        """Ask the server whether the lock is still ours.

        Raises:
            OperationalError: the connection died, and the lock with it.
        """
        try:
            found = holder(self.connection)
            pid = self.connection.execute("select pg_backend_pid()").fetchone()
        except psycopg.Error as error:
            raise lost() from error
        if found is None or pid != (found.pid,):
            raise lost()


def lost() -> OperationalError:
    """The words for a lock that is gone."""
    return OperationalError(
        "the connection that holds the deploy's lock is gone, so another deploy may begin",
        next_step="see that the server runs, then deploy again: it continues where this one was",
    )


@contextmanager
def deploy_lock(database_url: str) -> Iterator[DeployLock]:
    """Hold the lock for the time of a with block, on a connection of its own.

    Raises:
        OperationalError: no connection; or another deploy holds it: who, and since when.
    """
    name = f"{APPLICATION} {operator()[:34]} {os.getpid()}"[:_NAME_BYTES]
    connection = connect(database_url, autocommit=True, application_name=name)
    try:
        for setting, value in _SESSION.items():
            connection.execute("select set_config(%s, %s, false)", (setting, value))
        _take(connection)
        yield DeployLock(connection)
    finally:
        with suppress(psycopg.Error):  # a dead connection has let go of it already
            connection.close()


def _take(connection: Connection) -> None:
    for _ in range(_TRIES):
        row = connection.execute(
            "select pg_try_advisory_lock(hashtextextended(%s, 0))", (KEY,)
        ).fetchone()
        if row == (True,):
            return
        found = holder(connection)
        if found is not None:
            raise OperationalError(
                f"another deploy is at work on this database: {found.who}, since "
                f"{at(found.since)} (server process {found.pid})",
                next_step="wait until it has ended, then deploy again; if nobody runs it any more: "
                f"select pg_terminate_backend({found.pid})",
            )
    raise OperationalError(
        "other deploys come and go on this database", next_step="deploy again in a moment"
    )
