"""What must hold before a deploy changes anything; each check raises and changes nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import describe, redact
from toolkit.environments import record
from toolkit.environments.way import Way, way_of
from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.operations.deploy.lock import APPLICATION, at
from toolkit.operations.deploy.options import DeployOptions
from toolkit.operations.deploy.plan import DeployPlan
from toolkit.resources import statement
from toolkit.rollout.checksums import short
from toolkit.rollout.inspect import MigrationFile
from toolkit.rollout.phases import DATA_PHASE

Connection = psycopg.Connection[TupleRow]
# What the Supabase CLI calls its connections: the first is of version 3, and a client library's
# default name, so it alone proves nothing.
CLI_NAMES = ("@effect/sql-pg", "supabase", "supabase-cli", "Supabase CLI")
_RECOGNISABLE = 24  # characters of a statement; 'select 1' is everybody's
_COMPARED = 400  # of the 1,024 bytes that the server shows of a statement
_COMMENTS = re.compile(r"(?:\s+|--[^\n]*\n|/\*.*?\*/)*", re.S)
_POLL_SECONDS = 0.2
# All writers of users who have legacy rows wait while they move in one transaction. Measured: 6,500
# rows a second, so this many are done in two seconds, or within ten on a server five times slower;
# a client's own time-outs begin there.
MOST_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Backend:
    """A server process in which a push still works.

    Attributes:
        pid: of the server's process.
        name: of the application.
        since: when it connected.
        query_start: when its statement began; None where the role may not see it.
        statement: how the statement begins; empty where the role may not see it.
    """

    pid: int
    name: str
    since: datetime
    query_start: datetime | None
    statement: str


def require_pushable(plan: DeployPlan) -> None:
    """No file may be there that the CLI would half-apply, skip or not notice.

    Raises:
        FindingsError: with a line for each reason.
    """
    if not plan.refusals:
        return
    raise FindingsError(
        f"nothing was deployed: {len(plan.refusals)} reason"
        + ("s" if len(plan.refusals) > 1 else "")
        + " in migrations/",
        next_step="put an edited file back as it was applied, and write the change as a new file; "
        "give a statement that cannot share a transaction a file of its own; move what is no "
        "migration out of migrations/",
        details=plan.refusals,
    )


def require_vouched(plan: DeployPlan, vouched: Mapping[str, str] | None) -> None:
    """The files at hand must still be those that a receipt vouches for.

    Raises:
        FindingsError: with a line for each that is not.
    """
    if vouched is None:
        return
    here = {one.file.version: one.checksum for one in plan.files}
    names = {one.file.version: one.file.path.name for one in plan.files}
    other = sorted({v for v in {*here, *vouched} if here.get(v) != vouched.get(v)})
    if other:
        raise FindingsError(
            "nothing was deployed: the files at hand are not those that were vouched for",
            next_step="see who changes migrations/; put the files back, or prove them on staging "
            "and promote again",
            details=tuple(f"{names.get(v, v)}: {_differs(v, here, vouched)}" for v in other),
        )


def _differs(version: str, here: Mapping[str, str], vouched: Mapping[str, str]) -> str:
    if version not in here:
        return "vouched for, and not here"
    if version not in vouched:
        return "here, and not vouched for"
    return f"vouched for as {short(vouched[version])}, now {short(here[version])}"


def require_way(database_url: str) -> Way:
    """The connection must be one session from beginning to end; which way it takes.

    Raises:
        OperationalError: a pooler in transaction mode hands each transaction another session.
    """
    way = way_of(database_url)
    if way is Way.TRANSACTION:
        raise OperationalError(
            f"{describe(database_url)} is a transaction pooler: each transaction may get another "
            "session, so neither the deploy's lock nor its settings would hold",
            next_step="use the direct connection or the session pooler (port 5432) in DATABASE_URL",
        )
    return way


def require_writable(connection: Connection) -> None:
    """The server must take writes.

    Raises:
        OperationalError: it is a replica, or set read-only.
    """
    row = connection.execute(
        "select pg_is_in_recovery(), current_setting('transaction_read_only')::boolean"
    ).fetchone()
    replica, read_only = row if row is not None else (False, False)
    if replica:
        raise OperationalError(
            "the server is a read-only replica",
            next_step="point DATABASE_URL at the primary",
        )
    if read_only:
        raise OperationalError(
            "the database is set read-only (default_transaction_read_only)",
            next_step="find out why (a full disk makes Supabase do so), then: alter database … "
            "reset default_transaction_read_only",
        )


def require_environment(connection: Connection, name: str) -> None:
    """The database must not say that it is another environment.

    Raises:
        UsageError: it does.
    """
    record.require(connection, name)


def rows_at_once(connection: Connection, plan: DeployPlan) -> int:
    """Legacy rows that pushing the plan's files moves in one transaction, unless told to defer."""
    if not any(planned.file.version == DATA_PHASE for planned in plan.pending):
        return 0
    ground = connection.execute(statement("deploy_ground")).fetchone()
    has_legacy, has_lists, has_settings = ground if ground is not None else (False,) * 3
    if not has_legacy or (
        has_settings
        and connection.execute("select s.defer_backfill from ledger.settings as s").fetchone()
        == (True,)
    ):
        return 0
    row = connection.execute(
        "select count(*) from ledger.pending_readings"
        if has_lists
        else "select count(*) from public.electricity_readings"
    ).fetchone()
    return int(row[0]) if row is not None else 0


def require_few_at_once(rows: int, options: DeployOptions) -> None:
    """Many rows move in batches, or because the operator says so.

    Raises:
        UsageError: neither was said; with both ways out.
    """
    if rows <= MOST_ROWS_AT_ONCE or options.defer_backfill or options.one_transaction:
        return
    raise UsageError(
        f"this deploy would move {rows:,} legacy rows in one transaction, and every writer of "
        f"their users would wait for it (more than {MOST_ROWS_AT_ONCE:,} only if told)",
        next_step="move them in batches beside the app: --defer-backfill, then meterledger "
        "backfill; or, where nobody writes: --in-one-transaction",
    )


def pushing(connection: Connection, files: Sequence[MigrationFile]) -> tuple[Backend, ...]:
    """The server processes in which somebody's push still works, ours or not.

    Killing the CLI does not end its statement: the server works on, and records the file.
    """
    known = {
        _compact(one.text)
        for file in files
        for one in file.statements
        if len(one.text) >= _RECOGNISABLE and one.words[:1] != ("set",)
    }
    found = []
    for pid, name, since, query_start, query, migrates in connection.execute(
        statement("select_push_backends")
    ):
        if str(name).startswith(APPLICATION):
            continue
        ours = _compact(str(query)) in known
        if ours or (name in CLI_NAMES and migrates):
            line = redact(_bare(str(query)).splitlines()[0])[:100] if ours else ""
            found.append(Backend(int(pid), str(name), since, query_start, line))
    return tuple(found)


def require_quiet(
    connection: Connection,
    files: Sequence[MigrationFile],
    *,
    wait: float,
    note: Callable[[str], None],
) -> None:
    """Wait until no push works in the server any more.

    Args:
        wait: seconds.
        note: is told once for whom it waits.

    Raises:
        OperationalError: one still does; the message names it.
    """
    until = time.monotonic() + wait
    told = False
    while True:
        backends = pushing(connection, files)
        if not backends:
            return
        if time.monotonic() >= until:
            raise _still_pushing(backends)
        if not told:
            told = True
            for backend in backends:
                note(f"an earlier push still works in the server, waiting: {_words(backend)}")
        time.sleep(_POLL_SECONDS)


def _still_pushing(backends: tuple[Backend, ...]) -> OperationalError:
    first = backends[0]
    return OperationalError(
        f"an earlier push still works in the server: {_words(first)}",
        next_step="wait for it and deploy again, which continues after it; or end it first: "
        f"select pg_cancel_backend({first.pid})",
        details=tuple(_words(backend) for backend in backends[1:]),
    )


def _words(backend: Backend) -> str:
    name = backend.name or "unnamed"
    started = f", its statement since {at(backend.query_start)}" if backend.query_start else ""
    text = f": {backend.statement}" if backend.statement else ""
    return f"process {backend.pid} ({name}), connected since {at(backend.since)}{started}{text}"


def _bare(text: str) -> str:
    """Without the comments that the CLI leaves before a statement."""
    return _COMMENTS.sub("", text, count=1)


def _compact(text: str) -> str:
    return " ".join(_bare(text).split())[:_COMPARED]
