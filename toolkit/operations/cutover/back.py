"""electricity_readings becomes the table again, with every write that was made since in it."""

from __future__ import annotations

import time

from toolkit.connection import describe
from toolkit.errors import FindingsError
from toolkit.operations.cutover.report import CutbackPlan, CutbackReport, Unfit
from toolkit.operations.cutover.switch import (
    ATTEMPTS,
    LOCK_TIMEOUT_SECONDS,
    Connection,
    Switcher,
    reading,
    standing,
    switching,
    verify_switch,
)
from toolkit.resources import statement
from toolkit.trial import Observer

APPLICATION = "meterledger cutback"
BATCH_USERS = 500
KEPT = 20


def plan_cutback(url: str) -> CutbackPlan:
    """What a cutback would do, read in one read-only snapshot.

    Raises:
        OperationalError: no connection, or the cutover is not installed.
    """
    with reading(url, APPLICATION) as (connection, database):
        return _plan(connection, database)


def run_cutback(
    url: str,
    observer: Observer,
    *,
    environment: str,
    set_aside: int = 0,
    batch_users: int = BATCH_USERS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    attempts: int = ATTEMPTS,
) -> CutbackReport:
    """Merge the readings into the archived table beside running writers, then switch.

    Killed at any moment, electricity_readings is a view or a table, whole; given again, it goes
    on with the users who are not merged yet.

    Args:
        url: a direct or session connection, as the owner.
        observer: told of each step, of progress and of each attempt.
        environment: its name, for the next step of a refusal.
        set_aside: the number of readings that the table cannot take back, exactly.
        batch_users: how many users are merged in one transaction.
        lock_timeout: seconds that an attempt of the switch waits for others.
        attempts: how often it is tried.

    Raises:
        FindingsError: the number is another one, or what came back is not what the view showed.
        OperationalError: other sessions always came first, or the server went away.
        UsageError: the URL is a transaction pooler's.
    """
    started = time.monotonic()
    with switching(url, APPLICATION, observer, lock_timeout) as switcher:
        observer.step("look for what the table cannot take back")
        plan = _plan(switcher.connection, describe(url))
        if plan.standing is None:
            return CutbackReport(plan, already=True)
        require_number(plan, set_aside, environment)
        merged = _merge(switcher, plan, batch_users)
        observer.step("compare")
        _compare(switcher.connection, environment)
        observer.step("switch")
        answer = switcher.run(
            "the switch", "select ledger.cut_back(%s)", (set_aside,), tries=attempts
        )
        observer.step("prove")
        _prove(switcher.connection)
        return CutbackReport(
            plan,
            already=False,
            merged_before=merged,
            merged_in_switch=int(answer["users_merged"]),
            set_aside=int(answer["set_aside"]),
            attempts=switcher.attempts,
            held_seconds=switcher.held_seconds,
            seconds=time.monotonic() - started,
        )


def require_number(plan: CutbackPlan, set_aside: int, environment: str) -> None:
    """Stop unless the operator named the number of readings that the table cannot take back.

    Raises:
        FindingsError: with the list, and the number.
    """
    if plan.unfit_count == set_aside:
        return
    option = f" --set-aside {plan.unfit_count}" if plan.unfit_count else ""
    raise FindingsError(
        f"the table cannot take {plan.unfit_count:,} readings back, and {set_aside:,} may be set "
        "aside",
        next_step="correct them in the app; or, to keep them as events and in ledger.set_aside: "
        f"meterledger cutback {environment}{option}",
        details=tuple(
            f"reading {one.reading_id} of user {one.user_id}: {one.problem}" for one in plan.unfit
        ),
    )


def _plan(connection: Connection, database: str) -> CutbackPlan:
    done = standing(connection)
    if done is None:
        return CutbackPlan(database, None)
    users, unmerged = _unmerged(connection)
    rows = connection.execute(statement("cutback_obstacles"), {"limit": KEPT}).fetchall()
    return CutbackPlan(
        database,
        done,
        users,
        unmerged,
        int(rows[0][3]) if rows else 0,
        tuple(Unfit(str(row[0]), str(row[1]), str(row[2])) for row in rows),
    )


def _unmerged(connection: Connection) -> tuple[int, int]:
    row = connection.execute(statement("cutback_unmerged")).fetchone()
    return (int(row[0]), int(row[1])) if row is not None else (0, 0)


def _merge(switcher: Switcher, plan: CutbackPlan, batch_users: int) -> int:
    """Batch after batch, until few enough are left for the switch; how many users were merged."""
    observer, merged = switcher.observer, 0
    observer.step("merge")
    while True:
        observer.progress(min(plan.users - plan.unmerged + merged, plan.users), plan.users)
        count = int(
            switcher.run("a batch", "select ledger.prepare_cutback(%s)", (batch_users,)) or 0
        )
        merged += count
        # Live writers bring users back for as long as they write: the last ones go in the switch.
        if count < batch_users or merged > 3 * plan.users:
            return merged


def _compare(connection: Connection, environment: str) -> None:
    """The archived table holds what the view shows, of all who have written nothing since.

    The switch merges and counts the others. A user whose version is the same then has the same
    rows, so this comparison, outside of the lock, is of the state that comes back.
    """
    row = connection.execute(statement("cutback_proof")).fetchone()
    wrong = int(row[0]) if row is not None else 0
    if wrong:
        raise FindingsError(
            f"{wrong:,} rows of the archived table are not what the view shows",
            next_step=f"report it as a defect; {environment} stays with the view",
        )


def _prove(connection: Connection) -> None:
    """The phases hold, and every row of the table comes back from its event."""
    verify_switch(connection)
    rows = connection.execute(statement("cutback_after"), {"limit": KEPT}).fetchall()
    if rows:
        raise FindingsError(
            f"electricity_readings is the table again, and {int(rows[0][3]):,} of its rows are not "
            "what their events say",
            next_step="keep the database as it is and report it as a defect",
            details=tuple(f"reading {row[1]} of user {row[0]}: {row[2]}" for row in rows),
        )
