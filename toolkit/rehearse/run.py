"""The rehearsal: the whole rollout on a copy of the user's own data, and what it would do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolkit.connection import connect
from toolkit.errors import FindingsError, OperationalError
from toolkit.rehearse.report import Progress, RestoreReport
from toolkit.rehearse.restore import restore_dump
from toolkit.rollout.push import find_cli
from toolkit.trial import (
    Observer,
    Proof,
    Stopwatch,
    fresh_database,
    last_run,
    prove,
    roll_out,
)

DATABASE = "rehearsal"


@dataclass(frozen=True)
class RehearsalReport:
    """What the rollout would make of the dumped database.

    Attributes:
        server_version: of the server it was rehearsed on.
        phases_applied: names of the migration files.
        restored: what the dump held, and what of it cannot be had here.
        proof: counts, validation and isolation.
        seconds: by step.
        url: how to connect, if the database was kept; it holds a password.
    """

    server_version: str
    phases_applied: tuple[str, ...]
    restored: RestoreReport
    proof: Proof
    seconds: dict[str, float]
    url: str | None

    @property
    def clean(self) -> bool:
        """True when every phase went through and everything is proven."""
        return self.proof.clean

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        counts = self.proof.counts
        return {
            "server_version": self.server_version,
            "phases_applied": list(self.phases_applied),
            **{
                name: counts[name]
                for name in ("legacy_rows", "migrated", "merged", "rejected", "event_only")
            },
            "near_matches": self.proof.validation.result("near_matches").count,
            "differences": self.proof.validation.differences,
            "isolation_violations": len(self.proof.violations),
            "isolation_probes": self.proof.probes,
            "valid": self.proof.validation.valid,
            "clean": self.clean,
            "restored": {**asdict(self.restored), "seconds": round(self.restored.seconds, 3)},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "url": self.url,
        }


def rehearse(
    dump: Path, time_zone: str, keep_in: Path | None, observer: Observer
) -> RehearsalReport:
    """Restore a dump into a scratch database, roll out, prove; nothing else is touched.

    Args:
        dump: a pg_dump in custom, directory, tar or plain format; a file may be gzipped.
        time_zone: the zone that the app's users live by.
        keep_in: folder of the server to leave running; None: a temporary one, deleted.
        observer: told of steps, rows and notes.

    Raises:
        FindingsError: a phase refuses this database; the message says why.
        UsageError, OperationalError: the dump, the server or the CLI is at fault.
    """
    find_cli()
    watch = Stopwatch(observer)
    with fresh_database(keep_in, DATABASE, watch) as server:
        with watch.step("restore"):
            admin_url = server.admin_url(DATABASE)
            restored = restore_dump(dump, admin_url, server.binaries, _rows(observer))
        url = server.url(DATABASE)
        try:
            applied = roll_out(url, time_zone, watch)
        except OperationalError as error:
            raise FindingsError(
                f"the rollout would stop: {error.message}",
                next_step=error.next_step,
                details=error.details,
            ) from error
        proof = prove(url, watch)
        with connect(url) as connection:
            watch.seconds["insert"] = last_run(connection).get("insert", 0.0)
        return RehearsalReport(
            server_version=server.binaries.version,
            phases_applied=applied,
            restored=restored,
            proof=proof,
            seconds=watch.seconds,
            url=url if keep_in is not None else None,
        )


def _rows(observer: Observer) -> Progress:
    told: dict[str, int] = {}

    def tell(table: str, rows: int) -> None:
        told[table] = rows
        observer.progress(sum(told.values()), 0)

    return tell
