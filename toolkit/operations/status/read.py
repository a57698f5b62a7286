"""Reads a database's status in one read-only transaction, cheaply at a million rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

import psycopg
from psycopg.rows import TupleRow, class_row, dict_row

from toolkit.connection import describe, redact
from toolkit.operations.status.model import (
    Batches,
    Count,
    Cutover,
    Deployment,
    EventCount,
    Events,
    Lock,
    Objects,
    ReceiptNote,
    Refresh,
    Relation,
    Run,
    Status,
)
from toolkit.operations.status.work import Audit, Work
from toolkit.resources import statement
from toolkit.rollout.phases import phases

Connection = psycopg.Connection[TupleRow]
Row = TypeVar("Row")

DAYS = 30
HISTORY = 20
REFRESHES = 500
# A table of this size is counted in some milliseconds; of a larger one, about as much is read.
CHEAP_BYTES = 16 * 1024 * 1024
_LOCK_TIMEOUT = "2s"
_PATIENCE = {False: "20s", True: "15min"}


def read_status(
    connection: Connection, *, environment: str, url: str, exact: bool = False
) -> Status:
    """Where the database stands, as of one snapshot; nothing is changed, prepared or set for good.

    Exact: what the ledger's own small tables say, and counts of tables below 16 MB. Of larger
    ones rows are estimated by the statistics, events and recalculations from a sample, and near
    matches not counted, unless `exact` asks for it.

    Args:
        connection: as the owner, in autocommit and idle; through any pooler.
        environment: its name, for the report.
        url: of the connection, for the report; only user, host and database are kept.
        exact: count everything, which reads the tables whole.

    Raises:
        psycopg.OperationalError: the server went away. A question that cannot be answered,
            because of a lock or a missing right, becomes a note instead.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute(
            "select set_config(n, v, true) from unnest(%s::text[], %s::text[]) as s (n, v)",
            (["lock_timeout", "statement_timeout"], [_LOCK_TIMEOUT, _PATIENCE[exact]]),
        )
        return _Reader(connection, exact).read(environment, describe(url))


class _Reader:
    """One reading: the questions, each in a savepoint, and what could not be answered."""

    def __init__(self, connection: Connection, exact: bool) -> None:
        self._connection = connection
        self._exact = exact
        self._notes: list[str] = []
        self._sizes: dict[str, Relation] = {}

    def read(self, environment: str, database: str) -> Status:
        objects = self._objects()
        settings = self._settings() if objects.settings else {}
        archive = {"archive": objects.archive}
        relations = self._rows(Relation, "sizes", archive)
        self._sizes = {relation.name: relation for relation in relations}
        newest = {"limit": HISTORY}
        zone = settings.get("time_zone") or "UTC"
        status = Status(
            environment=environment,
            database=database,
            taken_at=objects.clock,
            exact=self._exact,
            days=DAYS,
            objects=objects,
            recorded=settings.get("environment"),
            time_zone=settings.get("time_zone"),
            deployments=self._rows(Deployment, "deployments", newest, objects.deployments),
            runs=self._rows(Run, "runs", newest, objects.runs),
            receipts=self._rows(ReceiptNote, "receipts", newest, objects.receipts),
            relations=relations,
            refreshes=self._rows(Refresh, "refreshes", {"limit": REFRESHES}, objects.refresh_log),
            scheduled_audits=self._rows(Audit, "audits", {"limit": REFRESHES}, objects.work),
            work=next(iter(self._rows(Work, "work", there=objects.work)), None),
            locks=self._rows(Lock, "locks"),
        )
        if objects.cutovers:
            for row in self._rows_of("cutover", "cutover_standing"):
                status = replace(status, cutover=Cutover(*row))
        status = self._with_history(status)
        if objects.deployments:
            for row in self._rows_of("rolled back", "standing_rolled_back_at"):
                status = replace(status, rolled_back_at=row[0])
        status = self._with_activity(status, zone)
        status = self._with_review(status)
        return replace(self._with_pending(status), notes=tuple(self._notes))

    def _objects(self) -> Objects:
        with self._connection.cursor(row_factory=class_row(Objects)) as cursor:
            found = cursor.execute(statement("status_objects")).fetchone()
        if found is None:  # a select without a from gives a row
            raise psycopg.OperationalError("the catalog gave no answer")
        return found

    def _settings(self) -> Mapping[str, Any]:
        def ask() -> Mapping[str, Any]:
            with self._connection.cursor(row_factory=dict_row) as cursor:
                return cursor.execute(statement("status_settings")).fetchone() or {}

        return self._ask("settings", ask) or {}

    def _with_history(self, status: Status) -> Status:
        there = set()
        if status.objects.history:
            there = {row[0] for row in self._plain("history")}
        applied = tuple(p.name for p in phases() if p.version in there)
        missing = tuple(p.name for p in phases() if p.version not in there)
        return replace(status, applied=applied, missing=missing)

    def _with_activity(self, status: Status, zone: str) -> Status:
        wanted = {"days": DAYS, "time_zone": zone}
        if status.objects.events:
            rows, share = self._sampled("events", "public.token_events", wanted)
            status = replace(status, events=None if rows is None else _events(rows, share))
        if status.objects.batches:
            rows, share = self._sampled("batches", "public.recalculation_batches", wanted)
            batches = tuple(
                Batches(day, kind, _scaled(count, share), _scaled(events, share))
                for day, kind, count, events in rows or ()
            )
            status = replace(status, batches=batches, batches_exact=share == 1.0)
        return status

    def _with_review(self, status: Status) -> Status:
        if status.objects.rejects:
            for row in self._plain("rejects"):
                status = replace(status, rejects_open=row[0], rejects_waived=row[1])
        if status.objects.unsettled:
            for row in self._plain("set_aside"):
                status = replace(status, set_aside=row[0])
        if status.objects.decisions and self._cheap(
            "public.token_events", "public.electricity_readings"
        ):
            # The statement of the review itself, which counts all pairs beside the first one.
            wanted = {"event_id": None, "reading_id": None, "limit": 1}
            found = self._ask(
                "near matches",
                lambda: self._connection.execute(statement("review_matches"), wanted).fetchall(),
            )
            if found is not None:
                status = replace(status, near_matches=int(found[0][-1]) if found else 0)
        return status

    def _with_pending(self, status: Status) -> Status:
        legacy = self._legacy(status.objects)
        if legacy is None:
            return status
        status = replace(status, legacy_rows=legacy)
        if not status.objects.migrated:
            return replace(status, pending=legacy)
        if self._cheap("public.electricity_readings", "ledger.migrated_readings"):
            rows = self._plain("pending")
            return replace(status, pending=Count(int(rows[0][0]), True)) if rows else status
        # A finished run proved that none was left, and the sync leaves none since.
        left = 0
        if not (status.runs and status.runs[0].kind == "migrate" and status.runs[0].finished_at):
            done = self._sizes["ledger.migrated_readings"].estimated_rows
            left = max(legacy.rows - done - (status.rejects_open or 0), 0)
        return replace(status, pending=Count(left, False))

    def _legacy(self, objects: Objects) -> Count | None:
        """The legacy rows; None where the name is a view or nothing."""
        relation = self._sizes.get("public.electricity_readings")
        if objects.legacy_kind not in ("r", "p") or relation is None:
            return None
        if not self._cheap("public.electricity_readings"):
            return Count(relation.estimated_rows, False)
        found = self._ask(
            "legacy rows",
            lambda: self._connection.execute(
                "select count(*) from public.electricity_readings"
            ).fetchone(),
        )
        return None if found is None else Count(int(found[0]), True)

    def _cheap(self, *names: str) -> bool:
        """Whether the tables may be read whole."""
        sizes = [self._sizes[name].heap_bytes for name in names if name in self._sizes]
        return self._exact or sum(sizes) <= CHEAP_BYTES

    def _sampled(
        self, name: str, table: str, wanted: Mapping[str, object]
    ) -> tuple[list[TupleRow] | None, float]:
        """The rows of a question about a table, and which share of its pages was read."""
        relation = self._sizes.get(table)
        share = 1.0
        if relation is not None and not self._cheap(table):
            share = CHEAP_BYTES / relation.heap_bytes
        found = self._ask(
            name,
            lambda: self._connection.execute(
                statement(f"status_{name}"), {**wanted, "percent": 100 * share}
            ).fetchall(),
        )
        return found, share

    def _rows(
        self,
        kind: type[Row],
        name: str,
        parameters: Mapping[str, object] | None = None,
        there: bool = True,
    ) -> tuple[Row, ...]:
        def ask() -> tuple[Row, ...]:
            with self._connection.cursor(row_factory=class_row(kind)) as cursor:
                return tuple(cursor.execute(statement(f"status_{name}"), parameters).fetchall())

        return (self._ask(name, ask) or ()) if there else ()

    def _plain(self, name: str) -> list[TupleRow]:
        return self._rows_of(name, f"status_{name}")

    def _rows_of(self, name: str, stem: str) -> list[TupleRow]:
        return self._ask(name, lambda: self._connection.execute(statement(stem)).fetchall()) or []

    def _ask(self, name: str, question: Callable[[], Row]) -> Row | None:
        """The answer, or a note that there is none; a lost connection is no answer at all."""
        try:
            with self._connection.transaction():
                return question()
        except psycopg.Error as error:
            if self._connection.closed or error.sqlstate is None:
                raise
            why = redact(error.diag.message_primary or type(error).__name__)
            self._notes.append(f"{name}: not read: {why}")
            return None


def _events(rows: list[TupleRow], share: float) -> Events:
    by_type: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    by_day: dict[date, int] = {}
    for kind, voided, day, count in rows:
        if kind is not None:
            by_type[str(kind)][int(voided)] = _scaled(count, share)
        elif day is not None:
            by_day[day] = _scaled(count, share)
    counts = (EventCount(kind, active, gone) for kind, (active, gone) in sorted(by_type.items()))
    return Events(tuple(counts), dict(sorted(by_day.items())), share == 1.0)


def _scaled(count: int, share: float) -> int:
    return round(int(count) / share)
