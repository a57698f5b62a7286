"""electricity_readings becomes a view: what stands in the way, the switch, the proof after it."""

from __future__ import annotations

import time
from collections.abc import Collection

from toolkit.connection import describe
from toolkit.errors import FindingsError, UsageError
from toolkit.operations.cutover.report import TOPICS, CutoverPlan, CutoverReport, Finding, Verdict
from toolkit.operations.cutover.switch import (
    ATTEMPTS,
    LOCK_TIMEOUT_SECONDS,
    Connection,
    reading,
    standing,
    switching,
    verify_switch,
)
from toolkit.resources import statement
from toolkit.trial import Observer

APPLICATION = "meterledger cutover"
_RANKS = {verdict: rank for rank, verdict in enumerate(Verdict)}


def plan_cutover(url: str, acknowledged: Collection[str] = ()) -> CutoverPlan:
    """What a cutover would meet, read in one read-only snapshot.

    Args:
        url: the database, as the owner.
        acknowledged: topics that the operator vouches for.

    Raises:
        UsageError: nobody knows what is acknowledged by such a word.
        OperationalError: no connection, or the cutover is not installed.
    """
    words = _known(acknowledged)
    with reading(url, APPLICATION) as (connection, database):
        return _plan(connection, database, words)


def run_cutover(
    url: str,
    observer: Observer,
    *,
    environment: str,
    acknowledged: Collection[str] = (),
    lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    attempts: int = ATTEMPTS,
) -> CutoverReport:
    """Make electricity_readings a view; killed at any moment, it is a table or a view, whole.

    Args:
        url: a direct or session connection, as the owner.
        observer: told of each step and each attempt.
        environment: its name, for the next step of a refusal.
        acknowledged: topics that the operator vouches for.
        lock_timeout: seconds that an attempt waits for others, who may wait behind it as long.
        attempts: how often it is tried.

    Raises:
        FindingsError: something stands in the way, or the proof afterwards fails.
        OperationalError: other sessions always came first, or the server went away.
        UsageError: an unknown topic, or the URL is a transaction pooler's.
    """
    started = time.monotonic()
    words = _known(acknowledged)
    with switching(url, APPLICATION, observer, lock_timeout) as switcher:
        observer.step("look for what stands in the way")
        plan = _plan(switcher.connection, describe(url), words)
        if plan.standing is not None:
            return CutoverReport(plan, already=True, cutover_id=plan.standing.cutover_id)
        require_ready(plan, environment)
        observer.step("switch")
        answer = switcher.run(
            "the switch", "select ledger.cut_over(%s::text[])", (sorted(words),), tries=attempts
        )
        observer.step("prove")
        rows, archived = _prove(switcher.connection, environment)
        return CutoverReport(
            plan,
            already=False,
            cutover_id=int(answer["cutover_id"]),
            views_moved=int(answer["views_moved"]),
            rows=rows,
            archived=archived,
            attempts=switcher.attempts,
            held_seconds=switcher.held_seconds,
            seconds=time.monotonic() - started,
        )


def require_ready(plan: CutoverPlan, environment: str) -> None:
    """Stop unless nothing refuses and everything is acknowledged.

    Raises:
        FindingsError: with the findings, and the command that acknowledges them.
    """
    if plan.ready:
        return
    details = tuple(
        f"{f.verdict.value}: {f.subject}: {f.text}; next: {f.next_step}"
        for f in (*plan.refusals, *plan.unacknowledged)
    )
    if plan.refusals:
        raise FindingsError(
            f"the cutover is refused: {len(plan.refusals)} "
            f"finding{'' if len(plan.refusals) == 1 else 's'} in the way",
            next_step=f"see to each, then look again: meterledger cutover {environment} --plan",
            details=details,
        )
    words = " ".join(f"--acknowledge {topic}" for topic in plan.topics)
    raise FindingsError(
        "the cutover waits for your word on what a view does not do",
        next_step=f"see to each, then: meterledger cutover {environment} {words}",
        details=details,
    )


def _plan(connection: Connection, database: str, words: frozenset[str]) -> CutoverPlan:
    done = standing(connection)
    if done is not None:
        return CutoverPlan(database, done, words)
    rows = connection.execute(statement("cutover_findings")).fetchall()
    findings = [Finding(str(row[0]), Verdict(row[1]), *map(str, row[2:])) for row in rows]
    findings.sort(key=lambda found: (_RANKS[found.verdict], found.topic, found.subject))
    return CutoverPlan(database, None, words, tuple(findings))


def _prove(connection: Connection, environment: str) -> tuple[int, int]:
    """The phases hold, the view shows the projection, every archived row is accounted for."""
    verify_switch(connection)
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        row = connection.execute(statement("cutover_proof")).fetchone()
        shown, projected, archived = map(int, row) if row is not None else (0, 0, 0)
        lost = connection.execute(statement("check_archive_kept")).fetchall()
    if shown != projected or lost:
        raise FindingsError(
            f"the cutover was made, and its proof fails: {shown:,} readings under the old name, "
            f"{projected:,} in the projection, {len(lost):,} archived rows that nothing stands for",
            next_step=f"go back (meterledger cutback {environment}) and report it as a defect",
            details=tuple(f"reading {row[1]} of user {row[0]}: {row[2]}" for row in lost[:20]),
        )
    return shown, archived


def _known(acknowledged: Collection[str]) -> frozenset[str]:
    words = frozenset(acknowledged)
    unknown = sorted(words - set(TOPICS))
    if unknown:
        raise UsageError(
            f"nothing is acknowledged by {', '.join(map(repr, unknown))}",
            next_step="say " + ", or ".join(f"{word} ({text})" for word, text in TOPICS.items()),
        )
    return words
