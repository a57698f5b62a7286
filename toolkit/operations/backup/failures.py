"""Turns what the server, pg_dump or the disk says into one error with the next step."""

from __future__ import annotations

import errno
import re

import psycopg

from toolkit.connection import redact
from toolkit.errors import MeterledgerError, OperationalError, UsageError

APPLICATION_NAME = "meterledger backup"
LOCK_WAIT_MS = 5000

_BYPASS = (
    "back up as the role that owns the tables and bypasses row level security, which is postgres "
    "on Supabase (DATABASE_URL); as a superuser: alter role … bypassrls"
)
_LOCKED = (
    "something holds a lock that stops readers: end it or wait, then run the command again "
    "(select * from pg_stat_activity shows it)"
)
# What is looked for, the message, and what to do. pg_dump waits for locks by a statement timeout.
_WORDS: tuple[tuple[str, str, str], ...] = (
    (
        r"server version mismatch",
        "pg_dump is too old for this server",
        "install the client programs of the server's version, or name their folder in "
        "METERLEDGER_PG_BINDIR",
    ),
    (
        r"canceling statement due to (?:lock|statement) timeout",
        f"a table stayed locked for {LOCK_WAIT_MS / 1000:.0f} s",
        _LOCKED,
    ),
    (
        r"password authentication failed|no password supplied",
        "the password is wrong or missing",
        "check the password in DATABASE_URL",
    ),
    (
        r"server closed the connection|terminating connection|connection to server .* lost|"
        r"SSL SYSCALL|could not receive data|Connection refused|connection is lost|"
        r"consuming input failed|could not connect|connection to server",
        "the connection to the database was lost",
        "check that the server runs and the network holds, then run the command again",
    ),
)


def bound(role: str, tables: tuple[str, ...]) -> UsageError:
    """The error for a role whose dump row level security would empty."""
    return UsageError(
        f"row level security binds the role {role}: its backup would miss rows",
        next_step=_BYPASS,
        details=tables,
    )


def unreadable(role: str, tables: tuple[str, ...]) -> UsageError:
    """The error for a role that may not read what the backup must hold."""
    return UsageError(
        f"the role {role} may not read all that the backup must hold",
        next_step=_BYPASS,
        details=tables,
    )


def refused(error: psycopg.Error, doing: str) -> MeterledgerError:
    """The error for a server that refused while we were at work on its data."""
    text = " ".join((error.diag.message_primary or str(error)).split())
    if "row-level security policy for table" in text:
        return bound("of this URL", (text,))
    if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        return _worded(text, doing) or _worded("connection is lost", doing) or _plain(text, doing)
    return _worded(text, doing) or _plain(text, doing)


def dump_failed(words: str, code: int) -> MeterledgerError:
    """The error for what pg_dump said.

    Args:
        words: its stderr.
        code: its exit code.
    """
    lines = tuple(redact(line) for line in words.splitlines() if line.strip())
    if "row-level security policy for table" in words:
        return bound("of this URL", lines[-2:])
    error = _worded(words, "pg_dump")
    if error is None:
        last = lines[0] if lines else f"it ended with code {code}"
        error = _plain(last.removeprefix("pg_dump: ").removeprefix("error: "), "pg_dump")
    error.details = lines[-6:]
    return error


def not_written(error: OSError) -> OperationalError:
    """The error for a disk that does not take the backup."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OperationalError(
            "the disk is full: the backup was not made, and what had been written is removed",
            next_step="free some space, or name a folder on a larger disk in METERLEDGER_BACKUPS",
        )
    where = f" ({error.filename})" if error.filename else ""
    return OperationalError(
        f"the backup cannot be written: {error.strerror or error}{where}",
        next_step="check the owner of the backup folder, or name another in METERLEDGER_BACKUPS",
    )


def not_proven(error: OperationalError, name: str) -> OperationalError:
    """The error for a proof that could not go on: the backup itself is there."""
    return OperationalError(
        f"{error.message}; backup {name} was not proven",
        next_step=f"{error.next_step}; then back up again (meterledger backup prune removes "
        "this one)",
        details=error.details,
    )


def result_not_written(error: OSError, name: str) -> OperationalError:
    """The error for a disk that does not take a proof's result: the backup itself is there."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = "the disk is full" if full else f"{error.strerror or error}"
    return OperationalError(
        f"{what}: the proof's result cannot be written, and backup {name} stays unproven",
        next_step="free some space, or name a folder on a larger disk in METERLEDGER_BACKUPS, and "
        "back up again; meterledger backup prune removes this one",
    )


def _worded(text: str, doing: str) -> OperationalError | None:
    for pattern, message, next_step in _WORDS:
        if re.search(pattern, text):
            return OperationalError(f"{doing}: {message}", next_step=next_step)
    return None


def _plain(text: str, doing: str) -> OperationalError:
    return OperationalError(
        f"{doing}: {redact(text)}",
        next_step="mend the cause and run the same command again; nothing was left behind",
    )
