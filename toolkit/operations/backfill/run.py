"""Moves the data in batches, each its own transaction; everything to resume is in the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import connect, describe, redact
from toolkit.errors import FindingsError, MeterledgerError, OperationalError
from toolkit.operations.backfill import lock
from toolkit.operations.backfill.mover import Mover, TimeUpError
from toolkit.operations.backfill.options import BackfillOptions, BackfillPlan, BackfillReport
from toolkit.operations.backfill.waiter import Waiter
from toolkit.operations.backfill.watch import Watch
from toolkit.resources import statement
from toolkit.rollout.standing import require_rollout
from toolkit.trial import Observer

APPLICATION = "meterledger backfill"
_AGAIN = "run the same command again: it goes on where this one stopped"


def plan_backfill(url: str) -> BackfillPlan:
    """What a backfill would find; changes nothing.

    Raises:
        OperationalError: no connection, or the database cannot be backfilled as it is.
    """
    with _translated(), connect(url, autocommit=True, application_name=APPLICATION) as connection:
        return _plan(connection, describe(url))


def run_backfill(url: str, options: BackfillOptions, observer: Observer) -> BackfillReport:
    """Move what is pending, prove it, close the run; or stop at a batch boundary when time is up.

    Safe to kill at any moment and to run again: a batch is whole or not there, and an
    unfinished run is continued.

    Args:
        url: a direct or session connection, as the owner.
        options: limits and throttles.
        observer: told of progress, pauses and retries.

    Raises:
        FindingsError: something stands in the way (ML002), or a row does not come back (ML004).
        OperationalError: another backfill runs, the phases are missing, the server went away.
        UsageError: the URL cannot be parsed, or is a transaction pooler's.
    """
    with (
        _translated(),
        lock.open_session(url, APPLICATION) as connection,
        connect(url, autocommit=True, application_name=f"{APPLICATION} watch") as eyes,
    ):
        _require(connection)
        lock.take(connection, lock.BACKFILL)
        plan = _plan(connection, describe(url))
        watch = Watch(eyes, lock.session_pid(connection))
        mover = Mover(connection, watch, options, observer, Waiter(options, watch, observer))
        observer.step("backfill")
        finished = False
        try:
            mover.leave_time()
            if plan.done:
                observer.note(f"nothing to do: run {plan.finished_run} moved and proved everything")
                mover.run_id, finished = plan.finished_run, True
            else:
                mover.begin(plan)
                mover.move()
                finished = mover.finish()
        except TimeUpError:
            observer.note("time is up: stopped between two batches")
        return _report(mover, plan, _plan(connection, plan.database), finished)


def _report(
    mover: Mover, before: BackfillPlan, after: BackfillPlan, finished: bool
) -> BackfillReport:
    return BackfillReport(
        database=before.database,
        run_id=mover.run_id,
        resumed=before.open_run is not None,
        finished=finished,
        batches=mover.batches,
        migrated=mover.counts["migrated"],
        completed=mover.counts["completed"],
        merged=mover.counts["merged"],
        rejected=mover.counts["rejected"],
        retries=mover.retries,
        legacy_rows=after.legacy_rows,
        pending_rows=after.pending_rows,
        seconds=mover.waiter.elapsed(),
        paused_seconds=mover.waiter.paused_seconds,
    )


def _plan(connection: psycopg.Connection[TupleRow], database: str) -> BackfillPlan:
    _require(connection)
    rows = connection.execute(statement("backfill_pending")).fetchone() or (0, 0, 0)
    found = connection.execute(statement("backfill_open_run")).fetchone()
    finished = connection.execute(statement("backfill_finished_run")).fetchone()
    return BackfillPlan(
        database=database,
        pending_rows=rows[0],
        pending_users=rows[1],
        legacy_rows=rows[2],
        open_run=found[0] if found else None,
        finished_run=finished[0] if finished else None,
    )


def _require(connection: psycopg.Connection[TupleRow]) -> None:
    """The functions are there, this role owns them, and the legacy table is still a table."""
    row = connection.execute(statement("backfill_ground")).fetchone()
    is_owner, is_table = row if row is not None else (None, False)
    if is_owner is False:
        raise OperationalError(
            "this role does not own the tables of the ledger",
            next_step="backfill as their owner, on Supabase the role postgres",
        )
    require_rollout(connection, through="install_data_migration")
    if not is_table:
        raise OperationalError(
            "electricity_readings is no table any more: the app has been cut over",
            next_step="nothing is left to backfill; cut back first if you mean to",
        )


@contextmanager
def _translated() -> Iterator[None]:
    """Our words for what the server refuses."""
    try:
        yield
    except psycopg.Error as error:
        raise _explain(error) from error


def _explain(error: psycopg.Error) -> MeterledgerError:
    message = redact(str(error.diag.message_primary or error).strip().split("\n")[0])
    advice = (error.diag.message_detail or "").removeprefix("Next: ")
    text = message.removeprefix("meterledger: ")
    if error.sqlstate == "ML004":
        return FindingsError(
            text,
            next_step="the batches stay and the run stays open: keep the database as it is, list "
            "the rows with select * from ledger.migration_differences(), and report them",
        )
    if (error.sqlstate or "").startswith("ML"):
        return FindingsError(text, next_step=advice or _AGAIN)
    if error.sqlstate == "25006":
        return OperationalError(
            "the server takes no writes: it is read-only",
            next_step="find out why (a full disk makes a hosted database read-only), then "
            + _AGAIN,
        )
    return OperationalError(f"the backfill stopped: {text}", next_step=_AGAIN)
