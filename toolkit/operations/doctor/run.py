"""Looks at everything, and applies the safe repairs, each in a transaction of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import redact
from toolkit.operations.doctor.checks import CHECKS
from toolkit.operations.doctor.history import state_of
from toolkit.operations.doctor.model import (
    Check,
    Diagnosis,
    Extent,
    Outcome,
    Question,
    Treatment,
    Trouble,
)

# What a broken or half-granted object answers: the check could not look.
_BROKEN = ("42", "3F", "55")
_NOT_THERE = ("42P01", "42883", "42703", "3F000", "42704")
# A repair may make the next one safe: grants wait for row level security.
_ROUNDS = 4
_LOCK_TIMEOUT = "5s"

OnCheck = Callable[[Check, int], None]


def diagnose(
    connection: psycopg.Connection[TupleRow],
    question: Question | None = None,
    *,
    on_check: OnCheck | None = None,
) -> Diagnosis:
    """Look for every trouble that is known; nothing is changed.

    Args:
        connection: as the owner, in autocommit mode.
        question: what some checks need to know.
        on_check: called with each check and how much it found.

    Returns:
        What was found. Where nothing was rolled out there is nothing to look at.
    """
    started = time.monotonic()
    state = state_of(connection)
    checks = () if state.extent is Extent.NOTHING else CHECKS
    troubles: list[Trouble] = []
    unseen: list[tuple[str, str]] = []
    looked: list[str] = []
    for check in checks:
        found: list[Trouble] = []
        try:
            with connection.transaction(force_rollback=True):
                # Behind a lock the doctor would wait for ever, and hold others up.
                connection.execute("select set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
                found = list(check.look(connection, question or Question()))
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith(_BROKEN):
                raise
            # What a later phase makes is not there yet; what is gone, the history check tells.
            if state.awaits and error.sqlstate in _NOT_THERE:
                continue
            unseen.append((check.name, redact(str(error.diag.message_primary or error))))
        looked.append(check.name)
        troubles += found
        if on_check is not None:
            on_check(check, len(found))
    info = connection.info
    return Diagnosis(
        database=f"{info.user}@{info.host}:{info.port}/{info.dbname}",
        state=state,
        troubles=tuple(troubles),
        unseen=tuple(unseen),
        checks=tuple(looked),
        seconds=time.monotonic() - started,
    )


def treat(
    connection: psycopg.Connection[TupleRow],
    diagnosis: Diagnosis,
    question: Question | None = None,
) -> tuple[Diagnosis, tuple[Treatment, ...]]:
    """Apply the safe repairs of a diagnosis, and look again.

    Args:
        connection: as the owner, in autocommit mode.
        diagnosis: what was found just now.
        question: as for the diagnosis.

    Returns:
        What is left, and what became of each repair that was tried.
    """
    tried: dict[Trouble, str] = {}
    for _ in range(_ROUNDS):
        due = [t for t in diagnosis.troubles if t.safe and t.sql and t not in tried]
        if not due:
            break
        for trouble in due:
            tried[trouble] = _apply(connection, trouble)
        diagnosis = diagnose(connection, question)
    left = set(diagnosis.troubles)
    return diagnosis, tuple(
        Treatment(trouble, _outcome(trouble, detail, left), detail)
        for trouble, detail in tried.items()
    )


def _outcome(trouble: Trouble, detail: str, left: set[Trouble]) -> Outcome:
    if detail:
        return Outcome.FAILED
    return Outcome.REMAINS if trouble in left else Outcome.FIXED


def _apply(connection: psycopg.Connection[TupleRow], trouble: Trouble) -> str:
    """Run one repair; the server's words where it refused, else nothing."""
    try:
        if trouble.alone:
            connection.execute("select set_config('lock_timeout', %s, false)", (_LOCK_TIMEOUT,))
            connection.execute(trouble.repair.encode())
            return ""
        with connection.transaction():
            connection.execute("select set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            connection.execute(trouble.repair.encode())
    except psycopg.Error as error:
        if connection.broken:
            raise
        return redact(str(error.diag.message_primary or error))
    return ""
