"""How a backup and a list of them are shown."""

from __future__ import annotations

from datetime import timedelta

from toolkit.cli.console import print_table, say
from toolkit.operations.backup.listing import Backup
from toolkit.operations.backup.verify import BackupReport

_SHOWN = 20


def print_backup(report: BackupReport) -> None:
    """The tables, what could not be proven, and the verdict."""
    manifest = report.manifest
    print_table(
        f"backup of {manifest.database}, PostgreSQL {manifest.server_version}",
        ("table", "rows"),
        [(table, f"{facts.rows:,}") for table, facts in manifest.facts.tables.items()],
    )
    for line in manifest.left_out[:_SHOWN]:
        say(f"note: {line}")
    for line in manifest.differences[:_SHOWN]:
        say(f"differs: {line}")
    if manifest.verified:
        verdict = "[bold green]verified[/]: a restore gave back every row, policy and grant"
    elif report.proof_wanted:
        verdict = f"[bold red]NOT verified[/]: {len(manifest.differences)} differences"
    else:
        verdict = "[yellow]not verified[/]: --no-verify left the proof out"
    say(f"{verdict}; {_megabytes(manifest.size)} MB in {report.path}")


def backup_object(backup: Backup) -> dict[str, object]:
    """One backup of a list, for --json."""
    manifest, age = backup.manifest, backup.age()
    return {
        "name": backup.name,
        "path": str(backup.path),
        "made_at": manifest.made_at if manifest else None,
        "age_seconds": round(age.total_seconds()) if age is not None else None,
        "size": manifest.size if manifest else None,
        "rows": manifest.facts.rows if manifest else None,
        "verified": backup.verified,
        "proof": backup.proof.value,
        "verified_at": manifest.verified_at if manifest else None,
        "problem": backup.problem,
    }


def backup_row(backup: Backup) -> tuple[str, ...]:
    """One backup of a list: name, age, MB, rows, proof, problem."""
    manifest, age = backup.manifest, backup.age()
    return (
        backup.name,
        _words(age) if age is not None else "",
        _megabytes(manifest.size) if manifest else "",
        f"{manifest.facts.rows:,}" if manifest else "",
        _proof(backup),
        backup.problem or "",
    )


def _proof(backup: Backup) -> str:
    manifest = backup.manifest
    count = len(manifest.differences) if manifest is not None else 0
    return f"{backup.proof.value} ({count} differences)" if count else backup.proof.value


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:,.1f}"


def _words(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{age.days} d"
