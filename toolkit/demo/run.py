"""The demonstration: generate, roll out, prove, show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.bootstrap import StartingPoint, create_legacy_app
from toolkit.connection import connect
from toolkit.demo.copying import copy_seconds, drop_twin, make_twin
from toolkit.demo.generator import generate
from toolkit.demo.loading import load
from toolkit.demo.model import Spec
from toolkit.demo.questions import Answers, ask
from toolkit.demo.scheduled import Scheduled, run_scheduled
from toolkit.local.server import Server
from toolkit.rollout.push import find_cli
from toolkit.trial import (
    LAST_PREPARING_VERSION,
    Observer,
    Proof,
    Stopwatch,
    fresh_database,
    last_run,
    prove,
    roll_out,
)

DATABASE = "demo"


@dataclass(frozen=True)
class DemoOptions:
    """What to demonstrate.

    Attributes:
        spec: the generated data.
        keep_in: folder of the server to leave running; None: a temporary one, deleted.
        compare_with_copy: also time a COPY of the same rows.
    """

    spec: Spec
    keep_in: Path | None = None
    compare_with_copy: bool = True


@dataclass(frozen=True)
class DemoReport:
    """What the demonstration showed.

    Attributes:
        server_version: for example '17.10'.
        phases_applied: names of the migration files.
        proof: counts, validation and isolation.
        as_planted: counts that differ from what the generator planned: name to (planned, found).
        answers: the operator's questions after the migration.
        scheduled: what the scheduled handlers answered.
        seconds: by step; insert and copy are the two sides of the comparison.
        url: how to connect, if the server was kept; it holds a password.
    """

    server_version: str
    phases_applied: tuple[str, ...]
    proof: Proof
    as_planted: dict[str, tuple[int, int]]
    answers: Answers
    scheduled: Scheduled
    seconds: dict[str, float]
    url: str | None

    @property
    def valid(self) -> bool:
        """True when everything is proven and the counts are as planted."""
        return self.proof.clean and not self.as_planted and self.scheduled.clean

    @property
    def rows_per_second(self) -> dict[str, float]:
        """Rows a second of the migration's insert statements and of the COPY."""
        rows = self.proof.counts["migrated"]
        return {
            name: rows / self.seconds[name] for name in ("insert", "copy") if self.seconds.get(name)
        }

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        counts = self.proof.counts
        rates = self.rows_per_second
        return {
            "server_version": self.server_version,
            "phases_applied": list(self.phases_applied),
            **{
                name: counts[name]
                for name in ("legacy_rows", "migrated", "merged", "rejected", "event_only")
            },
            "differences": self.proof.validation.differences,
            "isolation_violations": len(self.proof.violations),
            "isolation_probes": self.proof.probes,
            "valid": self.valid,
            "unlike_planted": {
                name: {"planted": pair[0], "found": pair[1]}
                for name, pair in self.as_planted.items()
            },
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "rows_per_second": {name: round(rate) for name, rate in rates.items()},
            "insert_to_copy_ratio": round(rates["insert"] / rates["copy"], 3)
            if len(rates) == 2
            else None,
            "answers": self.answers.as_object(),
            "scheduled": {"refresh": self.scheduled.refresh, "audit": self.scheduled.audit},
            "url": self.url,
        }


def run_demo(options: DemoOptions, observer: Observer) -> DemoReport:
    """Make a dual-write database, migrate it, prove the result, and answer the questions.

    Raises:
        OperationalError: no server, no CLI, no disk space, or a phase that raised.
    """
    find_cli()
    watch = Stopwatch(observer)
    with fresh_database(options.keep_in, DATABASE, watch) as server:
        url = server.url(DATABASE)
        drop_twin(server, DATABASE)
        planted = _generate(server, options.spec, watch)
        zone = options.spec.time_zone
        applied = roll_out(url, zone, watch, through=LAST_PREPARING_VERSION, step="expand")
        twin = None
        if options.compare_with_copy:
            with watch.step("twin"):
                twin = make_twin(server, DATABASE)
        applied += roll_out(url, zone, watch)
        with connect(url) as connection:
            inside = last_run(connection)
        watch.seconds["insert"] = inside.get("insert", 0.0)
        proof = prove(url, watch)
        if twin is not None:
            with watch.step("compare with COPY"):
                watch.seconds["copy"] = copy_seconds(server, DATABASE, twin)
        with watch.step("ask"), connect(url, autocommit=True) as connection:
            answers = ask(connection)
        with watch.step("scheduled work"):
            scheduled = run_scheduled(url, _unsaid)
        unlike = {
            name: (due, proof.counts[name])
            for name, due in planted.items()
            if due != proof.counts[name]
        }
        return DemoReport(
            server_version=server.binaries.version,
            phases_applied=applied,
            proof=proof,
            as_planted=unlike,
            answers=answers,
            scheduled=scheduled,
            seconds=watch.seconds,
            url=url if options.keep_in is not None else None,
        )


def _unsaid(_: str) -> None:
    """What handlers log is in their answers too."""


def _generate(server: Server, spec: Spec, watch: Stopwatch) -> dict[str, int]:
    """Fill the database with the generated rows; what the migration must make of them."""
    with watch.step("generate"):
        start = StartingPoint.DUAL_WRITE if spec.dual_write else StartingPoint.LEGACY_ONLY
        with connect(server.url(DATABASE)) as connection:
            create_legacy_app(connection, start, date_type=spec.date_type)
            connection.commit()
        with connect(server.admin_url(DATABASE)) as connection:
            loaded = load(connection, generate(spec), watch.observer.progress)
            connection.commit()
    expected = loaded.expectation.counts
    return {
        "legacy_rows": expected.legacy_rows,
        "migrated": expected.migrated,
        "merged": expected.merged,
        "rejected": expected.rejected,
        "event_only": expected.event_only,
        "view_rows": expected.view_rows,
    }
