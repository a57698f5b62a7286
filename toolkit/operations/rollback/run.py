"""Takes phases back: says first what would be lost, then goes, a transaction a phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import connect, describe, redact
from toolkit.errors import FindingsError, MeterledgerError, OperationalError
from toolkit.operations.backfill import BackfillOptions, lock
from toolkit.operations.rollback.apply import Applier
from toolkit.operations.rollback.counting import EVENTS, KEYS, Facts, facts, shared_ids
from toolkit.operations.rollback.holdings import count_holdings
from toolkit.operations.rollback.report import Obstacle, RollbackPlan, RollbackReport
from toolkit.operations.rollback.steps import find_target, steps_to
from toolkit.operations.rollback.undo import undo_in_batches
from toolkit.rollout.phases import phases
from toolkit.trial import Observer

APPLICATION = "meterledger rollback"
Connection = psycopg.Connection[TupleRow]


def plan_rollback(url: str, to: str) -> RollbackPlan:
    """What a rollback would take back and would lose, read in one read-only snapshot.

    Args:
        url: the database, as the owner.
        to: data, nothing, or the version or name of the phase that stays the last one.

    Raises:
        UsageError: there is no such phase.
        OperationalError: no connection, or a history that does not fit what is there.
    """
    target = find_target(to, phases())
    with _translated(), connect(url, autocommit=True, application_name=APPLICATION) as connection:
        return _plan(connection, describe(url), target)


def run_rollback(
    url: str,
    to: str,
    observer: Observer,
    *,
    allow_loss: int | None = None,
    pace: BackfillOptions | None = None,
) -> RollbackReport:
    """Take phases back, the data first, then the schema, newest first, each in one transaction.

    The data goes in batches of whole users before its own transaction, which writes the history.
    Interrupted anywhere, it goes on when it is given again: what is done, the CLI's history says.

    Args:
        url: a direct or session connection, as the owner.
        to: data, nothing, or the version or name of the phase that stays the last one.
        observer: told of each step and each retry.
        allow_loss: the number of rows that may be lost, exactly.
        pace: how the batches keep out of the app's way; as a backfill, if left out.

    Raises:
        FindingsError: rows would be lost and the number was not allowed, or something stands
            in the way; nothing was changed by the step that says so.
        OperationalError: somebody else is at work, or the server went away.
        UsageError: there is no such phase, or the URL is a transaction pooler's.
    """
    started = time.monotonic()
    target = find_target(to, phases())
    with _translated(), lock.open_session(url, APPLICATION) as connection:
        lock.take(connection, lock.DEPLOY)
        lock.take(connection, lock.BACKFILL)
        plan = _plan(connection, describe(url), target)
        require_allowed(plan, allow_loss)
        applier = Applier(
            connection,
            plan,
            observer,
            lambda: undo_in_batches(
                connection, url, APPLICATION, pace or BackfillOptions(), observer
            ),
        )
        for step in plan.steps:
            applier.take_back(step)
        return RollbackReport(
            plan=plan,
            undone=tuple(step.phase.name for step in plan.steps),
            batches=applier.batches,
            retries=applier.retries,
            seconds=time.monotonic() - started,
        )


def require_allowed(plan: RollbackPlan, allow_loss: int | None) -> None:
    """Stop unless nothing is lost, or exactly as many rows as were allowed.

    Raises:
        FindingsError: with the list and the number.
    """
    if plan.obstacles:
        raise FindingsError(
            f"the rollback cannot be done: {'; '.join(o.text for o in plan.obstacles)}",
            next_step="; ".join(o.next_step for o in plan.obstacles),
        )
    if plan.lost == (allow_loss or 0):
        return
    lines = tuple(f"{held.count:,} {held.title}" for held in plan.losses)
    if allow_loss is None:
        raise FindingsError(
            f"this rollback would lose {plan.lost:,} rows that exist nowhere else",
            next_step="save them (meterledger backup), or roll back less far, or, if they may go: "
            f"--allow-loss {plan.lost}",
            details=lines,
        )
    raise FindingsError(
        f"this rollback would lose {plan.lost:,} rows, and {allow_loss:,} were allowed",
        next_step="look at the plan again; if these may go: "
        + (f"--allow-loss {plan.lost}" if plan.lost else "leave --allow-loss out"),
        details=lines,
    )


def _plan(connection: Connection, database: str, target: str) -> RollbackPlan:
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        applied = _applied(connection)
        steps = steps_to(target, phases(), applied, data_is_there=_data_is_there(connection))
        order = [step.phase.version for step in steps]
        known = facts(connection, order)
        obstacles = tuple(_obstacles(connection, known)) if steps else ()
        # What stands in the way may keep the counting from being done.
        holdings = () if obstacles else count_holdings(connection, known, order)
    return RollbackPlan(database, target, steps, holdings, obstacles)


def _applied(connection: Connection) -> frozenset[str]:
    """The versions in the CLI's history."""
    there = connection.execute(
        "select to_regclass('supabase_migrations.schema_migrations') is not null,"
        " to_regclass('ledger.settings') is not null"
    ).fetchone() or (False, False)
    rows = (
        connection.execute("select version from supabase_migrations.schema_migrations").fetchall()
        if there[0]
        else []
    )
    applied = frozenset(str(version) for (version,) in rows)
    if there[1] and not applied & {phase.version for phase in phases()}:
        raise OperationalError(
            "the phases are in this database, and the CLI's history knows nothing of them",
            next_step="let meterledger doctor look at it first",
        )
    return applied


def _data_is_there(connection: Connection) -> bool:
    there = connection.execute("select to_regclass('ledger.migrated_readings')").fetchone()
    if there is None or there[0] is None:
        return False
    row = connection.execute(
        "select exists (select from ledger.migrated_readings)"
        " or exists (select from ledger.migration_rejects)"
    ).fetchone()
    return row == (True,)


def _obstacles(connection: Connection, known: Facts) -> Iterator[Obstacle]:
    kind = connection.execute(
        "select c.relkind::text from pg_class as c"
        " where c.oid = to_regclass('public.electricity_readings')"
    ).fetchone()
    if kind == ("v",):
        yield Obstacle(
            "electricity_readings is a view: the app has been cut over",
            "cut back first (meterledger cutback), which merges what was written since into the "
            "table; then roll back",
        )
        return
    if KEYS in known.going and (shared := shared_ids(connection, known)):
        yield Obstacle(
            f"{shared:,} ids are shared by events of several users, and the key that was found, "
            "of id alone, cannot hold them",
            f"stop the rollback before the key: --to {KEYS}, or void and clear these events",
        )
    if EVENTS in known.going and "ledger.found_objects" not in known.relations:
        yield Obstacle(
            "ledger.found_objects is missing, so nobody knows what was there before",
            "restore the schema ledger from a backup first",
        )


@contextmanager
def _translated() -> Iterator[None]:
    """Our words for what the server refuses outside a step."""
    try:
        yield
    except psycopg.Error as error:
        raise _explain(error) from error


def _explain(error: psycopg.Error) -> MeterledgerError:
    text = redact(str(error.diag.message_primary or error).strip().split("\n")[0])
    return OperationalError(
        f"the rollback stopped: {text}",
        next_step="run it as the tables' owner; given again, it goes on where it stopped",
    )
