"""A rollout on a database of one's own, proven: what demo and rehearse have in common."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.connection import connect
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import Part, Section
from toolkit.isolation.run import prove_inside
from toolkit.local.server import Server
from toolkit.local.temporary import temporary_server
from toolkit.rollout.push import push
from toolkit.validation.report import CheckResult, ValidationReport
from toolkit.validation.run import counts, validate

# Everything up to this version prepares; what follows moves the data.
LAST_PREPARING_VERSION = "20261101000400"
# What was found by doing; the rest reads the catalog.
_DONE = (Section.PROBES, Section.ATTACKS)


class Observer(Protocol):
    """Who is told what happens; the command line shows it, tests collect it."""

    def step(self, name: str) -> None:
        """A step begins."""

    def progress(self, done: int, total: int) -> None:
        """How far the step is: rows, or whatever it is made of; a total of 0 is not known."""

    def note(self, text: str) -> None:
        """Something worth a line."""


@dataclass
class Stopwatch:
    """Seconds by step, in the order of the steps."""

    observer: Observer
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step, and tell the observer that it begins."""
        self.observer.step(name)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started


@dataclass(frozen=True)
class Proof:
    """What validation and the isolation proof found, and the counts.

    Attributes:
        counts: legacy_rows, migrated, merged, rejected, event_only and so on.
        validation: every check's result.
        isolation: the parts of the proof that the database alone can answer.
    """

    counts: dict[str, int]
    validation: ValidationReport
    isolation: tuple[Part, ...]

    @property
    def violations(self) -> tuple[str, ...]:
        """What somebody could do and must not, or the other way about; a sentence each."""
        return tuple(
            finding.text
            for part in self.isolation
            if part.section in _DONE
            for finding in part.findings
        )

    @property
    def probes(self) -> int:
        """How many cases were tried."""
        return sum(part.tally.probes for part in self.isolation)

    @property
    def clean(self) -> bool:
        """True when nothing failed and nobody reached another user's rows."""
        return self.validation.valid and not self.violations


@contextmanager
def fresh_database(keep_in: Path | None, name: str, watch: Stopwatch) -> Iterator[Server]:
    """A server with an empty database of Supabase's shape, for the time of a with block.

    Args:
        keep_in: folder of the server to use and to leave running; None: a temporary one.
        name: the database; one of that name is dropped first.
        watch: times the start.
    """
    with ExitStack() as stack:
        with watch.step("start"):
            if keep_in is None:
                server = stack.enter_context(temporary_server())
            else:
                server = Server(keep_in)
                for note in server.start().notes:
                    watch.observer.note(note)
            with connect(server.admin_url(), autocommit=True) as connection:
                connection.execute(
                    sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
                )
            server.create_database(name)
        yield server


def roll_out(
    url: str, time_zone: str, watch: Stopwatch, *, through: str | None = None, step: str = "migrate"
) -> tuple[str, ...]:
    """Push phases as one step; the names of the files that were applied."""
    with watch.step(step):
        report = push(url, time_zone=time_zone, through=through, on_phase=watch.observer.note)
    return report.applied


def prove(url: str, watch: Stopwatch) -> Proof:
    """Validate, then probe isolation; each check's result is a note to the observer."""

    def told(result: CheckResult) -> None:
        found = f": {result.count}" if result.count else ""
        watch.observer.note(f"{result.verdict.value:4} {result.title}{found}")

    with watch.step("validate"):
        validation = validate(url, on_check=told)
    with watch.step("isolation"), connect(url, autocommit=True) as connection:
        with connection.transaction(force_rollback=True):
            parts = prove_inside(connection, load_access())
        proof = Proof(counts(connection), validation, parts)
        for violation in proof.violations:
            watch.observer.note(f"fail {violation}")
        # An app has objects and rights of its own; `isolation` wants them declared.
        for part in parts:
            for finding in part.findings if part.section not in _DONE else ():
                watch.observer.note(f"note {finding.text}")
        return proof


def last_run(connection: psycopg.Connection[TupleRow]) -> dict[str, float]:
    """Seconds of the newest migration run by part: insert, validation, total."""
    row = connection.execute(
        "select seconds from ledger.migration_runs where kind = 'migrate' "
        "order by run_id desc limit 1"
    ).fetchone()
    return {name: float(value) for name, value in row[0].items()} if row else {}
