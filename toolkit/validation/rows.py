"""The checks over rows: one statement each, and the recomputation outside the database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.resources import statement
from toolkit.validation.catalogue import SQL_CHECKS, SqlCheck
from toolkit.validation.recheck import REMEMBERED
from toolkit.validation.recompute import recompute
from toolkit.validation.report import CheckResult, Finding, Verdict

Check = Callable[[psycopg.Connection[TupleRow]], CheckResult]


def row_checks(users: list[UUID] | None, moved: bool) -> dict[str, Check]:
    """All of them by name; each remembers its findings up to a limit (recheck.REMEMBERED).

    A row that waits for the backfill is pending until it has moved every row, and a defect then.

    Args:
        users: whom the dear ones look at; everybody where it is None.
        moved: whether the data migration says that it moved everything.
    """
    checks: dict[str, Check] = {check.name: _sql_check(check, users, moved) for check in SQL_CHECKS}
    checks["reference"] = partial(_check_reference, users=users)
    return checks


def _sql_check(check: SqlCheck, users: list[UUID] | None, moved: bool) -> Check:
    next_step = check.next_step if moved else check.while_moving or check.next_step

    def run(connection: psycopg.Connection[TupleRow]) -> CheckResult:
        if why := _beside_the_point(connection, check):
            return CheckResult(check.name, f"{check.title}: {why}", Verdict.OK)
        rows = connection.execute(
            sql.SQL(
                "select f.user_id::text, f.row_id::text, f.finding, count(*) over () "
                "from ({}) as f limit {}"
            ).format(_body(check.statement), REMEMBERED),
            {"users": users, "moved": moved},
        ).fetchall()
        count = rows[0][3] if rows else 0
        return CheckResult(
            name=check.name,
            title=check.title,
            verdict=check.found if count else Verdict.OK,
            count=count,
            findings=tuple(Finding(*row[:3]) for row in rows),
            next_step=next_step if count else "",
            figures=_sampled(users) if check.sampled else {},
        )

    return run


def _beside_the_point(connection: psycopg.Connection[TupleRow], check: SqlCheck) -> str:
    """Why there is nothing to check as things stand; empty where there is."""
    if not (check.of_table or check.of_archive):
        return ""
    row = connection.execute(
        "select to_regclass('ledger.electricity_readings_archive') is not null"
    ).fetchone()
    archived = row == (True,)
    if check.of_table and archived:
        return "nothing to compare since the cutover"
    return "" if archived or check.of_table else "there is none before a cutover"


def _body(name: str) -> sql.SQL:
    # A file of ours, not input; the newline ends a comment on its last line.
    return sql.SQL(statement(name).decode() + "\n")


def _sampled(users: list[UUID] | None) -> dict[str, int]:
    return {} if users is None else {"users": len(users)}


def _check_reference(
    connection: psycopg.Connection[TupleRow], users: list[UUID] | None
) -> CheckResult:
    compared, wrong, findings = recompute(connection, REMEMBERED, users)
    return CheckResult(
        name="reference",
        title="positions recomputed outside the database, by an independent fold",
        verdict=Verdict.FAIL if wrong else Verdict.OK,
        count=wrong,
        findings=findings,
        next_step="this is a defect: report the rows" if wrong else "",
        figures={"positions": compared, **_sampled(users)},
    )
