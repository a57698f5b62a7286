"""The CLI's and the server's errors in an operator's words: where, why, what now."""

from __future__ import annotations

import re

from toolkit.connection import redact
from toolkit.errors import OperationalError
from toolkit.rollout.inspect import MigrationFile
from toolkit.rollout.push_error import PushError

LOCK_TIMEOUT = "55P03"
CANCELLED = "57014"
DEADLOCK = "40P01"
_CONTINUE = "then deploy again: it continues with this file"
_HISTORY = "supabase_migrations.schema_migrations"
_LOST = re.compile(
    r"connection|ECONN|EPIPE|socket|terminat|closed|shutting down|starting up|recovery mode", re.I
)

# By SQLSTATE, or by its class of two: the cause, and the next step.
_WORDS: dict[str, tuple[str, str]] = {
    "42P07": (
        "something of that name is there already that no recorded phase has made",
        f"see whose it is (meterledger doctor); rename it or drop it, {_CONTINUE}",
    ),
    "42501": (
        "the role of the URL may not do this: it must own what the phases change",
        f"connect as the owner of the app's tables, on Supabase the role postgres, {_CONTINUE}",
    ),
    LOCK_TIMEOUT: (
        "somebody held a lock that it needs; it gave way each time, so that nobody queued for long",
        "end what holds the lock (select pg_terminate_backend(<pid>)) or choose a quieter hour, "
        f"{_CONTINUE}; --retries and --lock-timeout change how often and how long it waits",
    ),
    CANCELLED: (
        "it was cancelled: by a statement_timeout of the role or database, or by a person",
        f"alter role … set statement_timeout = 0 for the deploy if that is the limit, {_CONTINUE}",
    ),
    "23505": (
        "rows that must differ are the same: what stands there is no state that the file expects",
        f"correct the rows that it names, {_CONTINUE}",
    ),
    DEADLOCK: (
        "it and another session waited for each other",
        f"choose a quieter hour, {_CONTINUE}",
    ),
    "53100": (
        "the server's disk is full",
        f"make room on it or enlarge it (meterledger preflight estimates how much), {_CONTINUE}",
    ),
    "53300": ("the server has no connection left", f"close other clients, {_CONTINUE}"),
    "53": ("the server has run out of something", f"look at its log, make room, {_CONTINUE}"),
    "25006": (
        "the server takes no writes: a replica, or a database that is set read-only",
        f"point DATABASE_URL at the primary, {_CONTINUE}",
    ),
    "42P01": (
        "a table that it builds on is missing: an earlier phase did not run here, or was undone",
        f"meterledger doctor shows what is missing; repair it, {_CONTINUE}",
    ),
    "08": ("the connection to the server was lost", f"see that the server runs, {_CONTINUE}"),
    "57P": ("the server ended the connection", f"see that the server runs, {_CONTINUE}"),
    "ML001": ("a table has a shape that the rollout does not know", "do what it says"),
    "ML002": ("the data cannot move yet", "do what it says"),
    "ML003": ("there are rows that cannot be true", "correct or void them"),
    "ML004": ("a migrated row does not come back as it was", "report it as a defect"),
    "ML005": ("a phase that it builds on does not hold", "do what it says"),
    "ML006": ("what it would drop exists nowhere else", "save it, or stop here"),
}
_ANOTHER_PUSH = (
    "another push recorded the same file at the same moment",
    "let everybody deploy with this command, which takes turns; then deploy again",
)
_SILENT = (
    "the CLI ended without the server's word: it was killed, or lost its connection",
    f"see that the server runs, {_CONTINUE}",
)
_UNKNOWN = ("the server refused the statement", f"mend the cause, {_CONTINUE}")


def lost_connection(error: PushError) -> bool:
    """Whether the server or the way to it went away, so that nothing can be asked now."""
    state = error.sqlstate
    if state is None:
        return _LOST.search(error.reason) is not None
    return state.startswith(("08", "57P"))


def explain(
    error: PushError, file: MigrationFile, *, blockers: tuple[str, ...] = (), attempts: int = 1
) -> OperationalError:
    """One error for an operator.

    Args:
        error: what the CLI said.
        file: the one that failed.
        blockers: who held the locks that it waited for.
        attempts: how often it was tried.
    """
    if error.file is None and error.sqlstate is None and not lost_connection(error):
        return error  # the CLI itself could not work, and has said why
    cause, step = _words(error)
    tried = f" after {attempts} attempts" if attempts > 1 else ""
    state = f" ({error.sqlstate})" if error.sqlstate else ""
    kept = (
        "what it had built so far may be left, and is cleared away by the next deploy"
        if file.concurrent
        else "nothing of this file was kept; the files before it stay applied"
    )
    where = _where(error, file)
    return OperationalError(
        f"{file.path.name} failed{tried}: {redact(error.reason)}{state}",
        next_step=error.step or step,
        details=(
            *([where] if where else []),
            f"cause: {cause}",
            *(f"waited for {name}" for name in blockers),
            kept,
        ),
    )


def _words(error: PushError) -> tuple[str, str]:
    state = error.sqlstate
    if state is None:
        return _WORDS["08"] if lost_connection(error) else _SILENT
    if state == "23505" and (
        _HISTORY in error.statement_text or "schema_migrations_pkey" in error.reason
    ):
        return _ANOTHER_PUSH
    for known in (state, state[:3], state[:2]):
        if known in _WORDS:
            return _WORDS[known]
    if state.startswith("42"):
        return ("the database is not as the file expects it", _UNKNOWN[1])
    return _UNKNOWN


def _where(error: PushError, file: MigrationFile) -> str:
    """Which statement, on which line, and how it begins."""
    number = error.statement
    if number is None:
        return ""
    if number > len(file.statements):
        return "after its last statement, while the CLI wrote its history"
    statement = file.statements[number - 1]
    first = redact(statement.first_line)[:100]
    return f"statement {number} of {len(file.statements)}, line {statement.line}: {first}"
