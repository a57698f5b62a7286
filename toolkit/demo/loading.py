"""Puts a generated dataset into a database that has the legacy app's tables, by COPY."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from time import perf_counter

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.demo.expectation import Expectation, Tally
from toolkit.demo.generator import Dataset
from toolkit.demo.model import BatchRow, EventRow, Household, LoginRow, ProfileRow, ReadingRow
from toolkit.errors import OperationalError

Progress = Callable[[int, int], None]

BATCH_ROWS = 20_000  # legacy rows held at once; the heavy user comes in one piece
_TABLES = ("user_profiles", "electricity_readings")
_DUAL_WRITE_TABLES = ("token_events", "recalculation_batches")
_SPECIAL = re.compile(r"[\\\b\f\n\r\t\v]")
_ESCAPES = {
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


@dataclass(frozen=True)
class Loaded:
    """What went into the database.

    Attributes:
        expectation: what the migration must make of it.
        users, legacy_rows, events, batches: rows of auth.users, electricity_readings,
            token_events (voided and VOID ones among them) and recalculation_batches.
        seconds: generating, loading and analyzing together.
    """

    expectation: Expectation
    users: int
    legacy_rows: int
    events: int
    batches: int
    seconds: float


def load(
    connection: psycopg.Connection[TupleRow],
    dataset: Dataset,
    progress: Progress | None = None,
) -> Loaded:
    """Generates the dataset into an empty legacy app, in one transaction, then analyzes.

    Triggers and foreign keys are off meanwhile: some rows have no owner, and profiles come
    from the dataset.

    Args:
        connection: of a superuser (session_replication_role); a savepoint is used where a
            transaction is open.
        dataset: what to load; its date_type must be the deployment's.
        progress: called with (legacy rows loaded, legacy rows in all) after each batch.

    Raises:
        OperationalError: a table is missing, or is not empty.
    """
    started = perf_counter()
    loader = _Loader(connection, dataset.legacy_rows, progress)
    with connection.transaction():
        _check(connection, dataset)
        connection.execute("set local session_replication_role = replica")
        _stream(loader, dataset)
        connection.execute("set local session_replication_role = origin")
        for table in _expected_tables(dataset):
            connection.execute(sql.SQL("analyze {}").format(sql.Identifier("public", table)))
    return Loaded(
        loader.tally.expectation(),
        users=loader.users,
        legacy_rows=loader.legacy_rows,
        events=loader.events,
        batches=loader.batches,
        seconds=perf_counter() - started,
    )


class _Loader:
    """Writes batches of households and keeps the sums."""

    def __init__(
        self,
        connection: psycopg.Connection[TupleRow],
        total: int,
        progress: Progress | None,
    ) -> None:
        self._connection = connection
        self._total = total
        self._progress = progress
        self.tally = Tally()
        self.users = self.legacy_rows = self.events = self.batches = 0

    def write(self, batch: list[Household]) -> None:
        """Copies the households' rows, table by table, and counts them."""
        logins = [house.login for house in batch if house.login is not None]
        profiles = [house.profile for house in batch if house.profile is not None]
        readings = [reading.row for house in batch for reading in house.readings]
        events = [event.row for house in batch for event in house.events]
        changes = [change for house in batch for change in house.batches]
        self._copy(("auth", "users"), LoginRow._fields, logins)
        self._copy(("public", "user_profiles"), ProfileRow._fields, profiles)
        self._copy(("public", "electricity_readings"), ReadingRow._fields, readings)
        self._copy(("public", "token_events"), EventRow._fields, events)
        self._copy(("public", "recalculation_batches"), BatchRow._fields, changes)
        for house in batch:
            self.tally.add(house)
        self.users += len(logins)
        self.legacy_rows += len(readings)
        self.events += len(events)
        self.batches += len(changes)

    def report(self) -> None:
        """Tells how far it has come."""
        if self._progress is not None:
            self._progress(self.legacy_rows, self._total)

    def _copy(
        self,
        table: tuple[str, str],
        columns: tuple[str, ...],
        rows: Iterable[tuple[str | None, ...]],
    ) -> None:
        statement = sql.SQL("copy {} ({}) from stdin").format(
            sql.Identifier(*table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        lines = map(copy_line, rows)
        first = list(islice(lines, 1_000))
        if not first:
            return
        with self._connection.cursor().copy(statement) as copy:
            while first:
                copy.write("".join(first))
                first = list(islice(lines, 1_000))


def _stream(loader: _Loader, dataset: Dataset) -> None:
    """Generates a batch while the server takes the one before; at most two are held."""
    with ThreadPoolExecutor(max_workers=1) as writer:
        pending: Future[None] | None = None
        for batch in _batches(dataset.households()):
            if pending is not None:
                pending.result()
                loader.report()
            pending = writer.submit(loader.write, batch)
        if pending is not None:
            pending.result()
            loader.report()


def copy_line(row: tuple[str | None, ...]) -> str:
    """A row in COPY's text format."""
    if _SPECIAL.search("".join([value for value in row if value])) is not None:  # few rows
        row = tuple(value and _SPECIAL.sub(_escape, value) for value in row)
    return "\t".join(["\\N" if value is None else value for value in row]) + "\n"


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES[found[0]]


def _batches(households: Iterator[Household]) -> Iterator[list[Household]]:
    batch: list[Household] = []
    rows = 0
    for house in households:
        batch.append(house)
        rows += len(house.readings)
        if rows >= BATCH_ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _expected_tables(dataset: Dataset) -> tuple[str, ...]:
    return _TABLES + (_DUAL_WRITE_TABLES if dataset.spec.dual_write else ())


def _check(connection: psycopg.Connection[TupleRow], dataset: Dataset) -> None:
    for table in _expected_tables(dataset):
        name = sql.Identifier("public", table)
        found = connection.execute("select pg_catalog.to_regclass(%s)", (f"public.{table}",))
        if found.fetchone() == (None,):
            raise OperationalError(
                f"There is no table public.{table} to load into.",
                next_step="Create the legacy app's tables first, for this starting point.",
            )
        some = connection.execute(sql.SQL("select from {} limit 1").format(name)).fetchone()
        if some is not None:
            raise OperationalError(
                f"The table public.{table} holds rows already; demo data goes into an empty one.",
                next_step="Load into a fresh database.",
            )
