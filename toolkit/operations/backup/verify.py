"""Proves a backup that has been made, and says so in its manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.errors import OperationalError
from toolkit.local.binaries import Binaries
from toolkit.operations.backup.failures import not_proven, result_not_written
from toolkit.operations.backup.manifest import Manifest, write_manifest
from toolkit.operations.backup.prove import prove
from toolkit.trial import Observer


@dataclass(frozen=True)
class BackupReport:
    """What was made.

    Attributes:
        path: the backup's folder.
        manifest: what it says, with the proof's result.
        removed: half-written backups of killed commands that were removed first.
        proof_wanted: False after --no-verify.
        unproven: earlier backups that were found with an interrupted proof.
    """

    path: Path
    manifest: Manifest
    removed: tuple[str, ...]
    proof_wanted: bool
    unproven: tuple[str, ...] = ()

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "path": str(self.path),
            "removed_leftovers": list(self.removed),
            "proof_wanted": self.proof_wanted,
            "interrupted_proofs": list(self.unproven),
            **self.manifest.as_object(),
        }


def verify_backup(report: BackupReport, tools: Binaries, observer: Observer) -> BackupReport:
    """Prove a backup that has been made, and write the result into its manifest.

    Raises:
        OperationalError: the proof could not be carried out; the backup stays unverified.
    """
    observer.step("restore and compare")
    done: dict[str, int] = {}

    def told(table: str, rows: int) -> None:
        done[table] = rows
        observer.progress(sum(done.values()), report.manifest.facts.rows)

    try:
        proof = prove(report.path, report.manifest, tools, told)
    except OperationalError as error:
        raise not_proven(error, report.path.name) from error
    good = not proof.differences
    manifest = replace(
        report.manifest,
        verified=good,
        verified_at=datetime.now(UTC).isoformat(timespec="seconds") if good else None,
        differences=tuple(difference.text for difference in proof.differences),
        left_out=proof.left_out,
    )
    try:
        write_manifest(report.path, manifest)
    except OSError as error:
        raise result_not_written(error, report.path.name) from error
    return replace(report, manifest=manifest)
