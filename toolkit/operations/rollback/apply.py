"""One step of a rollback: counted again under lock, taken back, tried again where it must wait."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.connection import redact
from toolkit.errors import FindingsError, MeterledgerError, OperationalError
from toolkit.operations.backfill import lock, pace
from toolkit.operations.backfill.batches import AGAIN
from toolkit.operations.rollback.counting import BASELINE, EVENTS, facts
from toolkit.operations.rollback.holdings import kinds_lost_with
from toolkit.operations.rollback.report import RollbackPlan
from toolkit.operations.rollback.steps import Step
from toolkit.rollout.phases import roll_back
from toolkit.trial import Observer

Connection = psycopg.Connection[TupleRow]
MOST_FAILURES = 8
_GOES_ON = "given again, the rollback goes on where it stopped"
# What a step counts before it drops it; nobody may write there in between.
_LOCKED = {
    EVENTS: ("token_events", "recalculation_batches"),
    BASELINE: ("electricity_readings", "user_profiles"),
}


class Applier:
    """Takes the steps of one plan back.

    Attributes:
        retries: steps that lost to another session and were tried again.
        batches: in which the data went back, before the step that says so.
    """

    def __init__(
        self,
        connection: Connection,
        plan: RollbackPlan,
        observer: Observer,
        undo: Callable[[], int],
    ) -> None:
        """Prepare; nothing is touched yet.

        Args:
            connection: holds the deploy lock, in autocommit mode.
            plan: what was allowed.
            observer: told of each step and each retry.
            undo: takes the data back in batches, as far as it goes; how many these were.
        """
        self._connection = connection
        self._plan = plan
        self._observer = observer
        self._undo = undo
        self.retries = 0
        self.batches = 0

    def take_back(self, step: Step) -> None:
        """Reverse one phase; nothing or all of it is done, but for the batches of the data.

        Raises:
            FindingsError: more or less would be lost than the plan said, or others depend on it.
            OperationalError: it always lost to other sessions, or the server went away.
        """
        self._observer.step(f"roll back {step.phase.name}")
        if step.is_data:
            self.batches = self._undo()
        for failures in range(1, MOST_FAILURES + 1):
            try:
                self._once(step)
            except MeterledgerError as error:
                cause = error.__cause__
                if not isinstance(cause, psycopg.Error):
                    raise
                if cause.sqlstate not in AGAIN:
                    raise self._explained(step, error, cause) from cause
                if failures == MOST_FAILURES:
                    raise self._always_lost(step, cause) from cause
                self._wait(cause, failures)
            else:
                return

    def _once(self, step: Step) -> None:
        if _is_concurrent(step):
            # Such a statement shares no transaction; it loses nothing, and may be repeated.
            lock.require_held(self._connection, lock.DEPLOY)
            roll_back(self._connection, step.phase)
            self._note_in_deployments(step)
            return
        try:
            with self._connection.transaction():
                lock.require_held(self._connection, lock.DEPLOY)
                self._recount(step)
                roll_back(self._connection, step.phase)
                self._note_in_deployments(step)
        except psycopg.Error as error:
            raise OperationalError(
                f"{step.title} was not rolled back: {_line(error)}", next_step=_GOES_ON
            ) from error

    def _recount(self, step: Step) -> None:
        """What would be lost now is what the plan said; then what may go is taken away."""
        version = step.phase.version
        known = facts(self._connection, {s.phase.version for s in self._plan.steps})
        for table in _LOCKED.get(version, ()):
            if f"public.{table}" in known.created:
                self._connection.execute(
                    sql.SQL("lock table {} in access exclusive mode").format(
                        sql.Identifier("public", table)
                    )
                )
        planned = {h.name: h.count for h in self._plan.losses if h.version == version}
        counted_here = {h.name for h in self._plan.losses if h.version != version}
        for kind in kinds_lost_with(version):
            if kind.name in counted_here:
                continue  # an earlier step counted it, and lost it
            count = kind.count(self._connection, known)
            if count != planned.get(kind.name, 0):
                raise FindingsError(
                    f"{step.title} would lose {count:,} {kind.title}; the plan had said "
                    f"{planned.get(kind.name, 0):,}",
                    next_step="somebody is writing: make a new plan (--plan), then roll back again",
                )
            for command in kind.discard if count else ():
                self._connection.execute(command.encode())

    def _note_in_deployments(self, step: Step) -> None:
        there = self._connection.execute("select to_regclass('ledger.deployments')").fetchone()
        if there is not None and there[0] is not None:
            self._connection.execute(
                "update ledger.deployments set details = details"
                " || jsonb_build_object('rolled_back_at', now(), 'rolled_back_by', session_user)"
                " where version = %s and not details ? 'rolled_back_at'",
                (step.phase.version,),
            )

    def _wait(self, cause: psycopg.Error, failures: int) -> None:
        self.retries += 1
        seconds = pace.back_off(failures)
        self._observer.note(
            f"another session came first ({cause.sqlstate}); again in {seconds:g} s"
        )
        time.sleep(seconds)

    def _always_lost(self, step: Step, cause: psycopg.Error) -> OperationalError:
        return OperationalError(
            f"{step.title} was not rolled back: other sessions came first {MOST_FAILURES} times "
            f"({cause.sqlstate})",
            next_step=f"look at pg_stat_activity for long transactions; {_GOES_ON}",
        )

    def _explained(
        self, step: Step, error: MeterledgerError, cause: psycopg.Error
    ) -> MeterledgerError:
        state = cause.sqlstate or ""
        if state == "ML006":
            return error
        if state == "2BP01":
            return FindingsError(
                f"{step.title} was not rolled back: other objects depend on what it made",
                next_step="drop them and create them again afterwards; " + _GOES_ON,
                details=tuple(redact(cause.diag.message_detail or "").splitlines()[:20]),
            )
        if state.startswith(("ML", "23", "42")):
            return FindingsError(
                f"{step.title} was not rolled back: {_line(cause)}",
                next_step=(cause.diag.message_detail or "").removeprefix("Next: ") or _GOES_ON,
            )
        return OperationalError(
            f"{step.title} was not rolled back: {_line(cause)}", next_step=_GOES_ON
        )


def _is_concurrent(step: Step) -> bool:
    text = step.phase.rollback.read_text(encoding="utf-8").lower()
    return any(line.startswith("drop index concurrently") for line in text.splitlines())


def _line(error: psycopg.Error) -> str:
    return redact(str(error.diag.message_primary or error).strip().split("\n")[0])
