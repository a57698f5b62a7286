"""Items about the phase files: what they are, what they lock, what a linter says of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit import settings
from toolkit.operations.preflight.context import Context, skipped
from toolkit.operations.preflight.report import CheckItem, Finding, Verdict, judged
from toolkit.rollout.checksums import checksum, recorded
from toolkit.rollout.phases import Phase, phases

_LOCKS = re.compile(r"^-- Locks:(?P<text>.*(?:\n--   .*)*)", re.M)
# As `make check` runs it: each file is one transaction, and says how long it waits for locks.
_SQUAWK = (
    *("--reporter", "json", "--pg-version", "15.0", "--assume-in-transaction"),
    *("--exclude", "require-statement-timeout"),
)
_SQUAWK_SECONDS = 60


def checksums(wanted: Sequence[Phase] | None = None) -> dict[str, str]:
    """Version → SHA-256 of the file, in hex."""
    return {phase.version: checksum(phase) for phase in (phases() if wanted is None else wanted)}


def locks(phase: Phase) -> str | None:
    """What the header says of its locks, as one line; None where it says nothing."""
    found = _LOCKS.search(phase.migration.read_text("utf-8"))
    return " ".join(found["text"].replace("\n--", " ").split()) if found else None


def scripts(context: Context) -> CheckItem:
    """Every file with its checksum and its locks, against what was applied here."""
    known = recorded(context.connection) if context.scene.has_deployments else {}
    return scripts_item(phases(), known, _applied(context))


def scripts_item(
    wanted: Sequence[Phase], known: Mapping[str, str], applied: Sequence[str]
) -> CheckItem:
    """What is to be said of the files.

    Args:
        wanted: all of them.
        known: version → checksum of what was applied to this database.
        applied: versions of the CLI's history, in order.
    """
    sums = checksums(wanted)
    findings = [
        Finding(
            Verdict.FAIL, phase.version,
            f"{phase.migration.name} was edited after it had been applied here",
            "put the applied file back, and make the change in a new one", 1,
        )
        for phase in wanted
        if known.get(phase.version) not in (None, sums[phase.version])
    ]  # fmt: skip
    for phase in wanted:
        for missing, what in (
            (locks(phase) is None, "says nothing of its locks"),
            (not phase.rollback.is_file(), "has no twin in rollbacks/"),
            (not phase.verification.is_file(), "has no twin in verify/"),
        ):
            if missing:
                text = f"{phase.migration.name} {what}"
                findings.append(Finding(Verdict.FAIL, phase.version, text, "complete the file"))
    done = [phase.version for phase in wanted if phase.version in applied]
    gaps = [v for v in sums if v not in applied and done and v < done[-1]]
    if gaps:
        text = f"later files are applied here and {', '.join(gaps)} not"
        findings.append(
            Finding(Verdict.WARN, "history", text, "meterledger doctor says what happened")
        )
    return judged(
        "scripts",
        "the phase files",
        findings,
        quiet=f"{len(wanted)} files, {len(done)} applied here; each says what it locks",
        figures={
            "phases": [
                {
                    "version": phase.version,
                    "name": phase.name,
                    "sha256": sums[phase.version],
                    "locks": locks(phase),
                    "applied": phase.version in applied,
                }
                for phase in wanted
            ]
        },
    )


def squawk(_: Context) -> CheckItem:
    """What squawk says, where the machine has it: it is a tool of development."""
    return squawk_item([phase.migration for phase in phases()])


def squawk_item(files: Sequence[Path]) -> CheckItem:
    """What squawk says of some files."""
    name, title = "squawk", "squawk's findings in the phase files"
    program = shutil.which("squawk")
    if program is None:
        return skipped(name, title, "squawk is not on PATH")
    try:
        done = subprocess.run(
            [program, *_SQUAWK, *map(str, files)],
            cwd="/",  # away from any configuration file
            env=settings.child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SQUAWK_SECONDS,
        )
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return skipped(name, title, "squawk could not be run")
    findings = [
        Finding(
            Verdict.WARN,
            str(one.get("rule_name")),
            f"{Path(str(one.get('file'))).name}:{int(one.get('line', 0)) + 1} "
            f"{one.get('rule_name')}: {one.get('message')}",
            "mend it, or silence it beside the statement with the reason",
        )
        for one in found
    ]
    return judged(name, title, findings, quiet=f"none in {len(files)} files")


def _applied(context: Context) -> list[str]:
    if not context.scene.has_history:
        return []
    found = context.connection.execute(
        "select m.version from supabase_migrations.schema_migrations as m order by m.version"
    ).fetchall()
    return [str(version) for (version,) in found]
