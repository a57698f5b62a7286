"""The steps of a rollout on one environment, each as one red or green result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from toolkit.connection import connect, describe
from toolkit.environments import record
from toolkit.errors import named
from toolkit.isolation.declaration import load_access
from toolkit.isolation.run import prove_isolation
from toolkit.operations.backfill.options import BackfillOptions
from toolkit.operations.backfill.run import run_backfill
from toolkit.operations.backup.listing import newest_verified
from toolkit.operations.backup.make import make_backup
from toolkit.operations.deploy.options import DeployOptions
from toolkit.operations.deploy.run import run_deploy
from toolkit.operations.drift.check import drift_check
from toolkit.operations.preflight.options import options as preflight_options
from toolkit.operations.preflight.report import CheckItem, Verdict
from toolkit.operations.preflight.run import preflight as run_preflight
from toolkit.settings import LOCAL, Environment
from toolkit.trial import Observer
from toolkit.validation.run import validate

FRESH = timedelta(hours=1)  # a backup that this very rollout may have made before it was stopped


@dataclass(frozen=True)
class StepResult:
    """How one step ended.

    Attributes:
        name: of the step.
        green: whether the rollout may go on.
        summary: one line for people.
        findings: what is wrong, a line each.
        notes: what a person should look at, a line each.
        pending: it is not green only because an earlier step has not done its work yet.
        facts: for the receipt and for --json.
        seconds: how long it took; set by the run.
    """

    name: str
    green: bool
    summary: str
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    pending: bool = False

    @property
    def colour(self) -> str:
        """How it ended in a word."""
        return "green" if self.green else "pending" if self.pending else "RED"


@dataclass(frozen=True)
class Job:
    """What is rolled out, and where.

    Attributes:
        environment: with what is known of it.
        url: of its database, as the owner.
        observer: who is told.
        time_zone: the app's, as the operator says; None: as the environment or the database has it.
        acknowledged: words of the checklist that the operator vouches for.
        receipt: the file of the environment before it; None where none is demanded.
        verify_receipt: raises unless that receipt is genuine.
        access: further files of declared access.
        vouched: version → checksum of the files that the receipt vouches for.
    """

    environment: Environment
    url: str
    observer: Observer
    time_zone: str | None = None
    acknowledged: tuple[str, ...] = ()
    receipt: Path | None = None
    verify_receipt: Callable[[Path], object] | None = None
    access: tuple[Path, ...] = ()
    vouched: Mapping[str, str] | None = None

    @property
    def zone(self) -> str | None:
        """The zone to confirm, where one is named."""
        return self.time_zone or self.environment.time_zone


def preflight(job: Job) -> StepResult:
    """The checklist; warnings are for people, failures stop."""
    report = run_preflight(
        job.url,
        preflight_options(
            job.environment.name,
            # The backup is the next step's own.
            protected=False,
            time_zone=job.zone,
            backup_folder=job.environment.backup_folder,
            receipt=job.receipt,
            verify_receipt=job.verify_receipt,
            acknowledged=job.acknowledged,
        ),
    )
    red = [item for item in report.items if item.verdict is Verdict.FAIL]
    warned = [item for item in report.items if item.verdict is Verdict.WARN]
    return StepResult(
        "preflight",
        not red,
        f"{len(report.items)} items: {len(red)} failed, {len(warned)} to look at",
        tuple(_item(item, job.environment.name) for item in red),
        tuple(_item(item, job.environment.name) for item in warned),
    )


def _item(item: CheckItem, environment: str) -> str:
    return f"{item.title}: {item.detail} (next: {named(item.next_step, environment)})"


def backup(job: Job) -> StepResult:
    """A proven backup; one of within the hour is taken, so that a stopped run goes on at once."""
    root, name = job.environment.backup_folder, job.environment.name
    if root is None:
        return StepResult("backup", False, "there is no folder for backups")
    there = newest_verified(root, name)
    age = there.age() if there is not None else None
    # The name of an environment says nothing of a database that was once behind it.
    manifest = there.manifest if there is not None else None
    of_this = manifest is not None and manifest.database == describe(job.url)
    if there is not None and of_this and age is not None and age < FRESH:
        minutes = int(age.total_seconds() // 60)
        return StepResult(
            "backup", True, f"{there.name}, proven, {minutes} minutes old", facts=_path(there.path)
        )
    report = make_backup(job.url, name, root, observer=job.observer)
    proven = report.manifest.verified
    return StepResult(
        "backup",
        proven,
        f"{report.path.name}, {'proven by restoring it' if proven else 'NOT proven'}",
        () if proven else ("the restored copy is not what was dumped",),
        facts=_path(report.path),
    )


def deploy(job: Job) -> StepResult:
    """The phases, but for the data, which moves in batches."""
    report = run_deploy(
        job.url,
        DeployOptions(
            environment=job.environment.name,
            time_zone=job.zone,
            defer_backfill=True,
            vouched=job.vouched,
        ),
        job.observer,
    )
    return StepResult(
        "deploy",
        True,
        f"{len(report.applied)} files applied, {len(report.adopted)} found applied and recorded",
        facts={"applied": [file.version for file in report.applied]},
    )


def backfill(job: Job) -> StepResult:
    """The data, in batches beside the app."""
    report = run_backfill(job.url, BackfillOptions(), job.observer)
    return StepResult(
        "backfill",
        report.finished,
        f"{report.migrated:,} migrated, {report.merged:,} merged, {report.rejected:,} rejected",
        () if report.finished else (f"{report.pending_rows:,} rows are pending",),
        facts=report.as_object(),
    )


def validation(job: Job) -> StepResult:
    """Every check of a validation, and the catalog against what the migrations give."""
    report = validate(job.url, further={"drift": drift_check(on_step=job.observer.note)})
    name = job.environment.name
    waiting = "".join(f", {check.count:,} {check.title}" for check in report.pending)
    return StepResult(
        "validate",
        report.valid,
        f"{len(report.checks)} checks, {report.differences} differences{waiting}",
        tuple(
            f"{check.title}: {check.count} (next: {named(check.next_step, name)})"
            for check in (*report.failed, *report.pending)
        ),
        pending=bool(report.pending) and not report.failed,
        facts={
            "valid": report.valid,
            "differences": report.differences,
            "pending": sum(check.count for check in report.pending),
            "checks": {check.name: check.verdict.value for check in report.checks},
            "fingerprint": next(
                (c.figures.get("sha256", "") for c in report.checks if c.name == "drift"), ""
            ),
        },
    )


def isolation(job: Job) -> StepResult:
    """The declared access, tried and attacked, and Supabase's advisors."""
    report = prove_isolation(job.url, load_access(*job.access))
    tally = report.tally
    return StepResult(
        "isolation",
        report.isolated,
        f"{tally.probes:,} probes, {len(report.findings)} findings",
        tuple(f"{finding.section}: {finding.text}" for finding in report.findings[:10]),
        facts={
            "isolated": report.isolated,
            "probes": tally.probes,
            "denials": tally.denials,
            "vacuous": tally.vacuous,
            "findings": len(report.findings),
            "server_version": report.server_version,
        },
    )


def recorded(job: Job) -> None:
    """Stop at a database that says it is another environment.

    Raises:
        UsageError: it does.
    """
    if job.environment.name == LOCAL:
        return
    with connect(job.url, autocommit=True) as connection:
        record.require(connection, job.environment.name)


def _path(path: Path) -> dict[str, str]:
    return {"backup": str(path)}


STEPS: Mapping[str, Callable[[Job], StepResult]] = {
    "preflight": preflight,
    "backup": backup,
    "deploy": deploy,
    "backfill": backfill,
    "validate": validation,
    "isolation": isolation,
}
