"""A short transaction that wants a lock of everybody: gives way soon, tries again, names who."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import connect, describe, redact
from toolkit.errors import FindingsError, MeterledgerError, OperationalError
from toolkit.operations.backfill import lock, pace
from toolkit.operations.backfill.watch import Watch
from toolkit.operations.cutover.report import Standing
from toolkit.resources import statement
from toolkit.rollout.phases import phases, verify
from toolkit.trial import Observer

Connection = psycopg.Connection[TupleRow]
# Another session came first: serialization failure, deadlock, lock timeout; a user who was erased
# while readings were merged.
AGAIN = ("40001", "40P01", "55P03", "23503")
# Below the server's deadlock_timeout of a second: where we and a reader wait for each other, we
# are the ones who give way, and no client ever sees a deadlock.
LOCK_TIMEOUT_SECONDS = 0.5
ATTEMPTS = 10
INSTALL = "20261101000602"
_NEXT = "run the command again: it finds out by itself where it stands"


class Switcher:
    """Holds the operators' locks and makes short transactions.

    Attributes:
        connection: the session that holds the locks, in autocommit mode.
        attempts: how often the last transaction was tried.
        held_seconds: how long it held what everybody waits for, at most.
    """

    def __init__(
        self, connection: Connection, watch: Watch, observer: Observer, lock_timeout: float
    ) -> None:
        self.connection = connection
        self.observer = observer
        self.attempts = 0
        self.held_seconds = 0.0
        self._watch = watch
        self._lock_timeout = lock_timeout

    def run(
        self, what: str, query: str, parameters: tuple[object, ...] = (), *, tries: int = ATTEMPTS
    ) -> Any:  # noqa: ANN401 - whatever the function answers
        """Select one value in a transaction of its own; all of it is done, or nothing.

        Args:
            what: for messages: 'the switch'.
            query: selects one value; a jsonb with locked_at tells for how long others waited.
            parameters: of the query.
            tries: how often it may lose to other sessions.

        Raises:
            OperationalError: other sessions always came first; the message names them.
        """
        for self.attempts in range(1, tries + 1):
            try:
                with self._watch:
                    return self._once(query, parameters)
            except psycopg.Error as error:
                if error.sqlstate not in AGAIN:
                    raise
                if self.attempts == tries:
                    raise self._gives_up(what, error) from error
                seconds = pace.back_off(self.attempts)
                self.observer.note(
                    f"attempt {self.attempts} of {tries} gave way ({error.sqlstate}){self._by()}; "
                    f"again in {seconds:g} s"
                )
                time.sleep(seconds)
        raise AssertionError("tries is at least 1")

    def _once(self, query: str, parameters: tuple[object, ...]) -> Any:  # noqa: ANN401
        with self.connection.transaction():
            lock.require_held(self.connection, lock.DEPLOY)
            self.connection.execute(
                "select set_config('lock_timeout', %s, true)",
                (f"{max(1, round(self._lock_timeout * 1000))}ms",),
            )
            row = self.connection.execute(query.encode(), parameters).fetchone()
        answer = row[0] if row is not None else None
        if isinstance(answer, dict) and "locked_at" in answer:
            self.held_seconds = self._since(str(answer["locked_at"]))
        return answer

    def _since(self, moment: str) -> float:
        row = self.connection.execute(
            "select extract(epoch from clock_timestamp() - %s::timestamptz)::float8", (moment,)
        ).fetchone()
        return float(row[0]) if row is not None else 0.0

    def _by(self) -> str:
        return f", it waited for {self._watch.blocker}" if self._watch.blocker else ""

    def _gives_up(self, what: str, error: psycopg.Error) -> OperationalError:
        return OperationalError(
            f"{what} was not made: other sessions came first {self.attempts} times "
            f"({error.sqlstate}){self._by()}",
            next_step="end or wait for that session (select pg_terminate_backend(pid);), or choose "
            "a quieter hour, then run the command again; nothing was changed",
        )


@contextmanager
def switching(
    url: str, application: str, observer: Observer, lock_timeout: float
) -> Iterator[Switcher]:
    """Hold the locks of deploy and backfill for the time of a with block.

    Raises:
        UsageError: the URL is a transaction pooler's.
        OperationalError: somebody else is at work; no connection; the server refused.
        FindingsError: the database refuses, with the reasons.
    """
    with (
        translated(),
        lock.open_session(url, application) as connection,
        connect(url, autocommit=True, application_name=f"{application} watch") as eyes,
    ):
        lock.take(connection, lock.DEPLOY)
        lock.take(connection, lock.BACKFILL)
        require_ground(connection)
        yield Switcher(
            connection, Watch(eyes, lock.session_pid(connection)), observer, lock_timeout
        )


@contextmanager
def reading(url: str, application: str) -> Iterator[tuple[Connection, str]]:
    """A read-only snapshot, and the database's name without secrets."""
    with translated(), connect(url, autocommit=True, application_name=application) as connection:
        require_ground(connection)
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            yield connection, describe(url)


def require_ground(connection: Connection) -> None:
    """The functions are installed, and this role owns them.

    Raises:
        OperationalError: they are not, or it does not.
    """
    row = connection.execute(statement("cutover_ground")).fetchone()
    installed, is_owner = (bool(row[0]), bool(row[1])) if row is not None else (False, False)
    if not installed:
        raise OperationalError(
            "this database has not had the phase install_cutover",
            next_step="deploy it first: meterledger deploy ENV",
        )
    if not is_owner:
        raise OperationalError(
            "this role does not own the tables of the ledger",
            next_step="cut over as their owner, on Supabase the role postgres",
        )


def standing(connection: Connection) -> Standing | None:
    """The cutover that stands; None: electricity_readings is a table, or nothing at all.

    Raises:
        FindingsError: the catalog and ledger.cutovers tell different stories.
    """
    ground = connection.execute(statement("cutover_ground")).fetchone()
    is_view = ground is not None and ground[2] == "v"
    row = connection.execute(statement("cutover_standing")).fetchone()
    if is_view != (row is not None) or (ground is not None and is_view != ground[3]):
        raise FindingsError(
            "electricity_readings, its archive and ledger.cutovers disagree",
            next_step="restore what was renamed or dropped by hand; see meterledger doctor",
        )
    if row is None:
        return None
    return Standing(int(row[0]), _moment(row[1]), str(row[2]), row[4] and _moment(row[4]))


def verify_switch(connection: Connection) -> None:
    """Every phase up to the one that installs the switch holds; later ones may not be there yet.

    Raises:
        FindingsError: one does not.
    """
    verify(connection, [phase for phase in phases() if phase.version <= INSTALL])


@contextmanager
def translated() -> Iterator[None]:
    """Our words for what the server refuses."""
    try:
        yield
    except psycopg.Error as error:
        raise _explain(error) from error


def _explain(error: psycopg.Error) -> MeterledgerError:
    text = redact(str(error.diag.message_primary or error).strip().split("\n")[0])
    if (error.sqlstate or "").startswith("ML"):
        advice = (error.diag.message_detail or "").removeprefix("Next: ")
        return FindingsError(text.removeprefix("meterledger: "), next_step=advice or _NEXT)
    return OperationalError(f"the database server refused or went away: {text}", next_step=_NEXT)


def _moment(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"no moment: {value!r}")
    return value
