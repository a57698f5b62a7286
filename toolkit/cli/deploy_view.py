"""How a deploy and its plan are shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer
from rich.text import Text

from toolkit.cli.console import printable, say
from toolkit.connection import redact
from toolkit.operations.deploy import DeployPlan, DeployReport, PlannedFile, Status
from toolkit.rollout.checksums import short

_STYLES = {
    Status.APPLIED: "dim",
    Status.PENDING: "bold",
    Status.ADOPTABLE: "yellow",
    Status.EDITED: "bold red",
    Status.LATER: "dim",
    Status.UNKNOWN: "bold",
}
_IN_DETAIL = (Status.PENDING, Status.UNKNOWN, Status.EDITED)


def print_plan(environment: str, plan: DeployPlan) -> None:
    """One line a file; of those that would be applied, also purpose and locks."""
    say(Text(f"deploy plan for {environment}: {len(plan.pending)} to apply", style="bold"))
    for planned in plan.files:
        file = planned.file
        count = len(file.statements)
        words = f"{count} statement{'' if count == 1 else 's'}"
        words += ", concurrently" if file.concurrent else ""
        line = f"{file.version} {file.name}  [{planned.status.value}]  "
        line += f"{words}  sha256 {short(planned.checksum)}"
        say(Text(printable(line), style=_STYLES[planned.status]))
        if planned.status in _IN_DETAIL:
            say(Text(f"    purpose: {printable(file.purpose) or 'the file says none'}"))
            say(Text(f"    locks: {printable(file.locks) or 'the file says none'}"))
    if plan.rows_at_once:
        say(
            f"moves {plan.rows_at_once:,} legacy rows in one transaction, for which their writers "
            "wait; --defer-backfill leaves them to meterledger backfill"
        )
    for refusal in plan.refusals:
        say(Text(f"refused: {printable(refusal)}", style="bold red"))


def print_sql(plan: DeployPlan) -> None:
    """The text of what would be applied, each file under its name."""
    for planned in plan.pending:
        typer.echo(f"-- {planned.file.path.name}")
        typer.echo(planned.file.path.read_text("utf-8", errors="replace"))


def plan_object(environment: str, plan: DeployPlan, *, sql: bool) -> dict[str, Any]:
    """A plan for --json."""
    return {
        "environment": environment,
        "pending": len(plan.pending),
        "refusals": list(plan.refusals),
        "rows_at_once": plan.rows_at_once,
        "files": [_file_object(planned, sql) for planned in plan.files],
    }


def print_report(report: DeployReport) -> None:
    """What was done, and what is left."""
    for one in report.applied:
        tries = f", attempt {one.attempts}" if one.attempts > 1 else ""
        say(f"applied {one.version} {one.name} in {one.seconds:.1f} s{tries}")
    for version in report.adopted:
        say(f"verified and recorded {version}, applied before")
    if report.left:
        say(f"left for later: {', '.join(report.left)}")
    done = f"{len(report.applied)} applied" if report.applied else "nothing to apply"
    say(f"{report.environment} ({redact(report.database)}): {done}, {report.seconds:.1f} s")


def report_object(report: DeployReport) -> dict[str, Any]:
    """A report for --json."""
    return asdict(report)


def _file_object(planned: PlannedFile, sql: bool) -> dict[str, Any]:
    file = planned.file
    found: dict[str, Any] = {
        "version": file.version,
        "name": file.name,
        "status": planned.status.value,
        "checksum": planned.checksum,
        "purpose": file.purpose,
        "locks": file.locks,
        "concurrent": file.concurrent,
        "statements": len(file.statements),
        "problems": list(file.problems),
    }
    if sql:
        found["sql"] = file.path.read_text("utf-8", errors="replace")
    return found
