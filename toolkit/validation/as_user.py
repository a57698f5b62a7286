"""What a signed-in user gets: the questions that clients ask, through row level security."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from toolkit.resources import statement
from toolkit.validation.report import CheckResult, Finding, Verdict

PAGE_ROWS = 100
_NOBODY = UUID(int=0)


@contextmanager
def acting_as(
    connection: psycopg.Connection[TupleRow], role: str, user_id: UUID | None = None
) -> Iterator[None]:
    """Act as an API role with the claims that PostgREST would set; undone at the end.

    Args:
        connection: of a role that may become the API role, inside a transaction.
        role: anon, authenticated or service_role.
        user_id: the signed-in user.
    """
    claims = {"role": role} | ({"sub": str(user_id)} if user_id is not None else {})
    with connection.transaction(force_rollback=True):
        connection.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            (role, json.dumps(claims)),
        )
        yield


def sample_user(connection: psycopg.Connection[TupleRow]) -> UUID | None:
    """A user with a typical amount of readings; None where nobody has any."""
    row = connection.execute(statement("select_sample_user")).fetchone()
    return row[0] if row else None


def check_view_query(connection: psycopg.Connection[TupleRow], user: UUID) -> CheckResult:
    """A page of the newest readings, as the user, is what the projection holds for that user."""
    page = {"limit": PAGE_ROWS}
    with acting_as(connection, "authenticated", user):
        connection.execute(statement("select_newest_readings"), page)
        started = time.perf_counter()
        rows = connection.execute(statement("select_newest_readings"), page).fetchall()
        milliseconds = 1000 * (time.perf_counter() - started)
    expected = connection.execute(
        "select * from ledger.readings where user_id = %s "
        "order by date desc, created_at desc, id desc limit %s",
        (user, PAGE_ROWS),
    ).fetchall()
    findings: tuple[Finding, ...] = ()
    if rows != expected or not rows:
        text = f"{len(rows)} rows where {len(expected)} are due"
        findings = (Finding(str(user), None, text),)
    return _result(
        "view_query",
        "a signed-in user's newest readings through electricity_readings_v",
        findings,
        rows=len(rows),
        milliseconds=round(milliseconds, 2),
    )


def check_positions_call(connection: psycopg.Connection[TupleRow], user: UUID) -> CheckResult:
    """The position call answers for oneself in full, and for anybody else with nothing."""
    other = connection.execute(
        "select user_id from ledger.readings where user_id <> %s limit 1", (user,)
    ).fetchone()
    counting = "select count(*) from public.calculate_user_positions(%s)"
    with acting_as(connection, "authenticated", user):
        own = _number(connection, counting, user)
        seen = _number(connection, "select count(*) from public.electricity_readings_v")
        others = _number(connection, counting, other[0] if other else _NOBODY)
    findings = []
    if own != seen or own == 0:
        findings.append(Finding(str(user), None, f"{own} positions for {seen} readings"))
    if others:
        findings.append(Finding(str(user), None, f"{others} positions of another user"))
    return _result(
        "positions_call",
        "calculate_user_positions, for oneself and for another user",
        tuple(findings),
        positions=own,
    )


def check_plan(connection: psycopg.Connection[TupleRow], user: UUID) -> CheckResult:
    """The index delivers the newest readings in their order, without a sort.

    Scans of whole tables and sorts are made dear for the question, since on a small table
    they are what the planner rightly takes; without the index there is no other way.
    """
    with acting_as(connection, "authenticated", user):
        connection.execute(
            "select set_config(setting, 'off', true) from unnest(array["
            "'enable_seqscan', 'enable_bitmapscan', 'enable_sort', 'enable_incremental_sort'"
            "]) as setting"
        )
        row = connection.execute(statement("explain_newest_readings")).fetchone()
    nodes = list(_nodes(row[0][0]["Plan"])) if row else []
    kinds = [node["Node Type"] for node in nodes]
    index = next((node["Index Name"] for node in nodes if "Index Name" in node), None)
    findings: tuple[Finding, ...] = ()
    if index != "readings_newest" or any("Sort" in kind for kind in kinds):
        findings = (Finding(None, None, "the plan is " + " < ".join(kinds)),)
    return _result(
        "plan", "the index answers the view query", findings, plan=" < ".join(kinds), index=index
    )


def _result(name: str, title: str, findings: tuple[Finding, ...], **figures: object) -> CheckResult:
    return CheckResult(
        name=name,
        title=title,
        verdict=Verdict.FAIL if findings else Verdict.OK,
        count=len(findings),
        findings=findings,
        next_step="compare the phases with the database: push again, then validate"
        if findings
        else "",
        figures=figures,
    )


def _number(connection: psycopg.Connection[TupleRow], query: str, *values: object) -> int:
    row = connection.execute(query.encode(), values or None).fetchone()
    return int(row[0]) if row else 0


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
