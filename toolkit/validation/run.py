"""Runs every check of a post-migration validation against one database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

from toolkit.connection import connect, describe, redact
from toolkit.errors import ENVIRONMENT, FindingsError, OperationalError
from toolkit.resources import statement
from toolkit.rollout.phases import phases, verify
from toolkit.rollout.standing import Data, data, require_rollout
from toolkit.validation.as_user import (
    check_plan,
    check_positions_call,
    check_view_query,
    sample_user,
)
from toolkit.validation.catalogue import SQL_CHECKS
from toolkit.validation.recheck import due, seen_twice, shown
from toolkit.validation.report import CheckResult, Finding, ValidationReport, Verdict
from toolkit.validation.rows import row_checks

KEPT_FINDINGS = 5
# What a broken or half-granted object answers: a finding. Other errors stop the validation.
_BROKEN = ("42", "3F", "55000")
_DOCTOR = f"see what is gone and how to mend it: meterledger doctor {ENVIRONMENT}"
_REFRESH_LOCK = b"select pg_advisory_lock(hashtextextended('meterledger.refresh_readings_mv', 0))"

OnCheck = Callable[[CheckResult], None]
Check = Callable[[psycopg.Connection[TupleRow]], CheckResult]
Checks = Mapping[str, Check]

# As a report lists them; the caller's own follow.
_ORDER = (
    *("phases", "mv_refresh", *(check.name for check in SQL_CHECKS), "reference"),
    *("view_query", "positions_call", "plan"),
)


def validate(
    database_url: str,
    *,
    keep: int = KEPT_FINDINGS,
    on_check: OnCheck | None = None,
    sample: int | None = None,
    further: Checks | None = None,
) -> ValidationReport:
    """Run all checks, in one snapshot; nothing is changed but the materialized view refreshed.

    A row that a check finds is looked for again, in a second snapshot; one that is in order by
    then has moved meanwhile, and is no failure.

    Args:
        database_url: a direct or session connection, as the owner.
        keep: how many offending rows of each check to keep.
        on_check: called with each result as it comes, those that are looked at twice last.
        sample: the dear checks look at so many users, the same ones every time; None: at all.
        further: checks of the caller's, after the snapshot, in autocommit mode.

    Raises:
        OperationalError: no connection, or the database is not rolled out.
    """
    try:
        return _validate(database_url, keep, on_check, sample, further or {})
    except psycopg.Error as error:
        raise OperationalError(
            f"validation stopped: {redact(str(error.diag.message_primary or error))}",
            next_step="see that the server runs and that the role owns the tables, then validate "
            "again",
        ) from error


def _validate(
    database_url: str, keep: int, on_check: OnCheck | None, sample: int | None, further: Checks
) -> ValidationReport:
    started = time.monotonic()
    done: list[CheckResult] = []
    with connect(database_url, autocommit=True, application_name="meterledger validate") as open_:
        _require_phases(open_)
        doubtful: list[CheckResult] = []
        for result in _timed(open_, {"phases": _check_phases}):
            _tell(done, doubtful, result, keep, on_check)
        # Before the snapshot: who refreshes through the function skips meanwhile, and so never
        # changes under us what we are about to refresh.
        open_.execute(_REFRESH_LOCK)
        users = _sample(open_, sample)
        with open_.transaction():
            for result in _snapshot(open_, users):
                _tell(done, doubtful, result, keep, on_check)
        if doubtful:
            for result in _again(open_, users, doubtful):
                _add(done, shown(result, keep), on_check)
        for result in _timed(open_, further, whole=False):
            _add(done, result, on_check)
    ranks = {name: rank for rank, name in enumerate(_ORDER)}
    done.sort(key=lambda result: ranks.get(result.name, len(ranks)))
    return ValidationReport(describe(database_url), tuple(done), time.monotonic() - started)


def _snapshot(
    connection: psycopg.Connection[TupleRow], users: list[UUID] | None
) -> Iterator[CheckResult]:
    """All that is read in one snapshot; the connection is in a transaction that just began."""
    # Refreshed in the same snapshot, the materialized view owes nothing to live writes.
    connection.execute("set transaction isolation level repeatable read")
    yield from _timed(connection, {"mv_refresh": _check_mv})
    connection.execute("set transaction read only")
    yield from _timed(connection, _in_one_snapshot(connection, users))


def _again(
    connection: psycopg.Connection[TupleRow], users: list[UUID] | None, first: list[CheckResult]
) -> Iterator[CheckResult]:
    """The results that a second snapshot leaves of the first one's."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        for _ in _timed(connection, {"mv_refresh": _check_mv}):
            pass
        connection.execute("set transaction read only")
        checks = row_checks(users, _moved(connection)) | {"phases": _check_phases}
        second = {
            result.name: result
            for result in _timed(connection, {one.name: checks[one.name] for one in first})
        }
    for result in first:
        yield seen_twice(result, second[result.name])


def _sample(connection: psycopg.Connection[TupleRow], size: int | None) -> list[UUID] | None:
    if size is None:
        return None
    rows = connection.execute(statement("select_sample_users"), {"limit": size}).fetchall()
    return [user for (user,) in rows]


def counts(connection: psycopg.Connection[TupleRow]) -> dict[str, int]:
    """The operator's counts.

    Rows: legacy_rows, migrated, merged, rejected, event_only, events, view_rows, mv_rows.
    Bytes: mv_bytes, projection_bytes.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        row: dict[str, Any] | None = cursor.execute(statement("select_counts")).fetchone()
    return {name: int(value) for name, value in (row or {}).items()}


def _in_one_snapshot(connection: psycopg.Connection[TupleRow], users: list[UUID] | None) -> Checks:
    checks = row_checks(users, _moved(connection))
    as_user = {
        "view_query": check_view_query,
        "positions_call": check_positions_call,
        "plan": check_plan,
    }
    try:
        with connection.transaction():
            user = sample_user(connection)
    except psycopg.Error as error:
        return checks | dict.fromkeys(as_user, partial(_reraise, error=error))
    if user is not None:
        checks |= {name: partial(check, user=user) for name, check in as_user.items()}
    return checks


def _moved(connection: psycopg.Connection[TupleRow]) -> bool:
    return data(connection) is Data.MOVED


def _timed(
    connection: psycopg.Connection[TupleRow], checks: Checks, *, whole: bool = True
) -> Iterator[CheckResult]:
    """Run checks, each in a transaction or a savepoint unless it is to see to that itself."""
    for name, check in checks.items():
        started = time.monotonic()
        try:
            with connection.transaction() if whole else nullcontext():
                result = check(connection)
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith(_BROKEN):
                raise
            result = _could_not_run(name, error)
        yield replace(result, seconds=time.monotonic() - started)


def _could_not_run(name: str, error: psycopg.Error) -> CheckResult:
    return CheckResult(
        name=name,
        title=f"{name} could not be checked",
        verdict=Verdict.FAIL,
        count=1,
        findings=(Finding(None, None, str(error.diag.message_primary or error)),),
        next_step=_DOCTOR,
    )


def _reraise(_: psycopg.Connection[TupleRow], *, error: psycopg.Error) -> CheckResult:
    raise error


def _tell(
    done: list[CheckResult],
    doubtful: list[CheckResult],
    result: CheckResult,
    keep: int,
    on_check: OnCheck | None,
) -> None:
    """A result that is certain is told; one that must be looked at again waits."""
    if due([result]):
        doubtful.append(result)
    else:
        _add(done, shown(result, keep), on_check)


def _add(done: list[CheckResult], result: CheckResult, on_check: OnCheck | None) -> None:
    done.append(result)
    if on_check is not None:
        on_check(result)


def _require_phases(connection: psycopg.Connection[TupleRow]) -> None:
    events = connection.execute(
        "select pg_has_role(c.relowner, 'usage') from pg_class as c "
        "where c.oid = to_regclass('public.token_events')"
    ).fetchone()
    if events == (False,):
        raise OperationalError(
            "this role does not own the tables, and may not see every row",
            next_step="validate as their owner, on Supabase the role postgres",
        )
    # What is gone turns its checks red.
    require_rollout(connection, whole=False)


def _check_phases(connection: psycopg.Connection[TupleRow]) -> CheckResult:
    findings = []
    for phase in phases():
        try:
            verify(connection, (phase,))
        except FindingsError as error:
            findings.append(Finding(None, None, f"{error.message}; {error.next_step}"))
    return CheckResult(
        name="phases",
        title="every phase holds",
        verdict=Verdict.FAIL if findings else Verdict.OK,
        count=len(findings),
        findings=tuple(findings),
        next_step=f"mend what the finding names; {_DOCTOR}" if findings else "",
        figures={"phases": len(phases())},
    )


def _check_mv(connection: psycopg.Connection[TupleRow]) -> CheckResult:
    """Refresh the materialized view; a refresh that is under way elsewhere is waited for."""
    try:
        with connection.transaction():
            connection.execute(
                "refresh materialized view concurrently public.electricity_readings_mv"
            )
            figures = counts(connection)
    except psycopg.Error as error:
        return CheckResult(
            name="mv_refresh",
            title="the materialized view refreshes beside its readers",
            verdict=Verdict.FAIL,
            count=1,
            findings=(Finding(None, None, str(error.diag.message_primary or error)),),
            next_step="it needs its owner, its unique index and to be filled: see the phases check",
        )
    return CheckResult(
        name="mv_refresh",
        title="the materialized view refreshes beside its readers",
        verdict=Verdict.OK,
        figures={name: figures[name] for name in ("mv_rows", "mv_bytes", "projection_bytes")},
    )
