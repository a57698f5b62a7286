"""Runs the checklist: each item in a short read-only transaction of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import connect, describe, redact
from toolkit.errors import OperationalError
from toolkit.operations.preflight import (
    activity,
    data,
    estimates,
    evidence,
    pooler,
    scripts,
    server,
    shapes,
)
from toolkit.operations.preflight.context import Check, Context, scene
from toolkit.operations.preflight.options import Options
from toolkit.operations.preflight.report import CheckItem, PreflightReport, Verdict

# Access share is all that is asked for; behind somebody who waits for more, not for long.
_LOCK_TIMEOUT = "2s"

CHECKS: Mapping[str, Check] = {
    "version": server.version,
    "writable": server.writable,
    "extensions": server.extensions,
    "settings": server.settings,
    "connections": server.connections,
    "pooler": pooler.pooler,
    "permissions": shapes.permissions,
    "dependencies": shapes.dependencies,
    "legacy_dependents": shapes.legacy_dependents,
    "event_dependents": shapes.event_dependents,
    "client_upserts": shapes.client_upserts,
    "time_zone": data.time_zone,
    "rejects": data.rejects,
    "duplicate_days": data.duplicate_days,
    "near_duplicates": data.near_duplicates,
    "event_references": data.event_references,
    "impossible_events": data.impossible_events,
    "long_transactions": activity.long_transactions,
    "prepared_transactions": activity.prepared_transactions,
    "replication_slots": activity.replication_slots,
    "lock_waits": activity.lock_waits,
    "maintenance": activity.maintenance,
    "disk": estimates.disk,
    "duration": estimates.duration,
    "backup": evidence.backup,
    "receipt": evidence.receipt,
    "scripts": scripts.scripts,
    "squawk": scripts.squawk,
}

OnItem = Callable[[CheckItem], None]


def preflight(
    database_url: str, options: Options, *, on_item: OnItem | None = None
) -> PreflightReport:
    """Go through the checklist; nothing is changed, and no lock is held from item to item.

    Args:
        database_url: as the role that is going to migrate.
        options: what the operator says.
        on_item: called with each item as it comes.

    Raises:
        UsageError: the URL cannot be parsed.
        OperationalError: no connection, or it was lost.
    """
    started = time.monotonic()
    done: list[CheckItem] = []
    with _context(database_url, options) as context:
        for name, check in CHECKS.items():
            item = run_check(name, check, context)
            done.append(item)
            if on_item is not None:
                on_item(item)
    return PreflightReport(
        options.environment, describe(database_url), tuple(done), time.monotonic() - started
    )


def look(database_url: str, options: Options, name: str) -> CheckItem:
    """One item of the checklist alone.

    Args:
        database_url: as for preflight().
        options: as for preflight().
        name: of the item.
    """
    with _context(database_url, options) as context:
        return run_check(name, CHECKS[name], context)


@contextmanager
def _context(database_url: str, options: Options) -> Iterator[Context]:
    # Nothing is prepared: a pooler in transaction mode is to be recognised, not stumbled over.
    with connect(
        database_url, autocommit=True, application_name="meterledger preflight", prepare=False
    ) as connection:
        connection.read_only = True
        connection.deferrable = True
        try:
            with _reading(connection, options.patience):
                found = scene(connection)
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
            raise OperationalError(
                "the tables could not be counted: "
                f"{redact(str(error.diag.message_primary or error))}",
                next_step="see who holds a lock on them (pg_locks), or give it longer: --patience",
            ) from error
        yield Context(connection, database_url, found, options)


def run_check(name: str, check: Check, context: Context) -> CheckItem:
    """One item; where its statement is refused, that is what the item says.

    Raises:
        OperationalError: the connection is gone.
    """
    try:
        with _reading(context.connection, context.options.patience):
            return check(context)
    except psycopg.Error as error:
        if context.connection.closed:
            raise OperationalError(
                f"the connection was lost during the item {name}",
                next_step="see that the server runs, then run meterledger preflight again",
            ) from error
        return _not_checked(name, check, error)


@contextmanager
def _reading(connection: psycopg.Connection[TupleRow], patience: int) -> Iterator[None]:
    """A transaction that cannot write, wait long or be answered with a filtered table."""
    with connection.transaction():
        connection.execute(
            "select set_config('statement_timeout', %s, true), "
            "set_config('lock_timeout', %s, true), set_config('row_security', 'off', true)",
            (f"{patience}s", _LOCK_TIMEOUT),
        )
        yield


def _not_checked(name: str, check: Check, error: psycopg.Error) -> CheckItem:
    reason = redact(str(error.diag.message_primary or error))
    title = (check.__doc__ or name).partition("\n")[0]
    if isinstance(error, psycopg.errors.QueryCanceled):
        return CheckItem(
            name, title, Verdict.WARN, "it took too long to find out", "give it longer: --patience"
        )
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return CheckItem(
            name, title, Verdict.WARN, "somebody holds a lock that does not even let it read",
            "see the items lock_waits and long_transactions, then run it again",
        )  # fmt: skip
    return CheckItem(
        name,
        title,
        Verdict.FAIL,
        f"it could not be checked: {reason}",
        "see what the items permissions, dependencies and time_zone say",
    )
