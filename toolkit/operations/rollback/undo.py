"""Takes the migrated data back in batches of whole users, so that no writer waits for long."""

from __future__ import annotations

from uuid import UUID

from toolkit.connection import connect
from toolkit.operations.backfill import lock
from toolkit.operations.backfill.batches import Batches
from toolkit.operations.backfill.options import BackfillOptions
from toolkit.operations.backfill.waiter import Waiter
from toolkit.operations.backfill.watch import Watch
from toolkit.operations.rollback.counting import Connection
from toolkit.trial import Observer

# The step that follows undoes what is left in one transaction, with the phase's row in the history.
LEFT_FOR_THE_END = 500


class Undo(Batches):
    """The batches of one rollback; given again, it goes on where it was killed.

    Forward sync stays on meanwhile: what a legacy client writes about a user whose turn is over
    becomes an event, and the end takes it back; the legacy row stays in any case.
    """

    PAGE = "rollback_page"

    def run(self) -> None:
        """Undo, until what is left is little or does not get less.

        Raises:
            OperationalError: a batch always lost to other sessions.
        """
        left = self._total = self._listed()
        if left == 0:
            return
        row = self._connection.execute("select ledger.start_undo()").fetchone()
        self.run_id = row[0] if row else None
        self._observer.note(f"run {self.run_id}: {left:,} rows go back, in batches of whole users")
        self._observer.progress(0, left)
        self._analyze("analyze ledger.migrated_readings, public.token_events")
        while left:
            self._walk()
            before, left = left, self._listed()
            if left <= LEFT_FOR_THE_END or left >= before:
                return

    def _work(self, users: list[UUID | None]) -> dict[str, int]:
        row = self._connection.execute(
            "select ledger.undo_users(%s, %s::uuid[])", (self.run_id, users)
        ).fetchone()
        return row[0] if row else {}

    def _rows(self, found: dict[str, int]) -> int:
        return int(found.get("unlisted", 0))

    def _listed(self) -> int:
        row = self._connection.execute("select count(*) from ledger.migrated_readings").fetchone()
        return int(row[0]) if row else 0


def undo_in_batches(
    connection: Connection, url: str, application: str, options: BackfillOptions, observer: Observer
) -> int:
    """Take the data of all users back; how many batches it took.

    Args:
        connection: holds the backfill's lock, in autocommit mode.
        url: for a second connection, which sees who waits.
        application: what pg_stat_activity shows of that one.
        options: limits and throttles.
        observer: told of progress and retries.
    """
    there = connection.execute(
        "select to_regclass('ledger.migrated_readings') is not null"
    ).fetchone()
    if there != (True,):
        return 0
    with connect(url, autocommit=True, application_name=f"{application} watch") as eyes:
        watch = Watch(eyes, lock.session_pid(connection))
        undo = Undo(connection, watch, options, observer, Waiter(options, watch, observer))
        undo.run()
        return undo.batches
