"""How commands show things: progress and messages on stderr, results on stdout."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from toolkit.connection import redact
from toolkit.errors import named
from toolkit.validation.report import ValidationReport, Verdict

_STYLES = {
    Verdict.OK: "green",
    Verdict.NOTE: "yellow",
    Verdict.PENDING: "bold yellow",
    Verdict.FAIL: "bold red",
}
_PLAIN_EVERY_SECONDS = 5.0
# What users typed must not steer the operator's terminal: control characters and the marks
# that turn the direction of writing.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(text: str | Text) -> None:
    """A line on stdout, never broken: a pipe wants it whole, a terminal folds it itself."""
    out.print(text, soft_wrap=True)


class PlainObserver:
    """One line a step, a note or every few seconds of progress: for logs and pipes."""

    def __init__(self) -> None:
        self._step = ""
        self._told_at = 0.0

    def step(self, name: str) -> None:
        """A step begins."""
        self._step, self._told_at = name, time.monotonic()
        typer.echo(f"{name} …", err=True)

    def progress(self, done: int, total: int) -> None:
        """How far it is, of whatever the step is made of; a total of 0 is not known."""
        now = time.monotonic()
        if now - self._told_at >= _PLAIN_EVERY_SECONDS:
            self._told_at = now
            of = f" of {total:,}" if total else " so far"
            typer.echo(f"{self._step}: {done:,}{of}", err=True)

    def note(self, text: str) -> None:
        """A line of its own."""
        typer.echo(f"  {printable(redact(text))}", err=True)


class BarObserver:
    """A bar for the step that runs, with what it says above it: for terminals."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._name = ""

    def step(self, name: str) -> None:
        """A step begins; the one before it is done."""
        self.finish()
        self._name = name
        self._task = self._bars.add_task(name, total=None)

    def progress(self, done: int, total: int) -> None:
        """How far it is, of whatever the step is made of."""
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._bars.console.print(Text(f"  {printable(redact(text))}", style="dim"))

    def finish(self) -> None:
        """Turn the running bar into a line."""
        if self._task is None:
            return
        elapsed = self._bars.tasks[-1].elapsed or 0.0
        self._bars.remove_task(self._task)
        self._bars.console.print(f"[green]done[/] {self._name} [dim]{elapsed:.1f} s[/]")
        self._task = None


@contextmanager
def observing() -> Iterator[PlainObserver | BarObserver]:
    """Bars on a terminal, plain lines otherwise."""
    if not err.is_terminal:
        yield PlainObserver()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        observer = BarObserver(bars)
        yield observer
        observer.finish()


def printable(text: str) -> str:
    """One line of text that a terminal only shows."""
    return _STEERING.sub(" ", text)


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; None shows as nothing."""
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else Text(_short(value)) for value in row))
    _print_titled(title, table)


def print_validation(report: ValidationReport, environment: str) -> None:
    """One row a check, and below it the findings with what to do about them.

    Args:
        report: of a database.
        environment: what aims a command at it.
    """
    table = Table()
    for heading in ("", "check", "found", "seconds"):
        table.add_column(heading, justify="right" if heading in ("found", "seconds") else "left")
    for check in report.checks:
        verdict = Text(check.verdict.value, style=_STYLES[check.verdict])
        table.add_row(verdict, check.title, f"{check.count:,}", f"{check.seconds:.2f}")
    _print_titled(f"validation of {report.database}", table)
    for check in report.checks:
        if not check.count:
            continue
        more = check.count - len(check.findings)
        say(Text(f"{check.title}: {check.count:,}", style=_STYLES[check.verdict]))
        for finding in check.findings:
            where = " ".join(part for part in (finding.row_id, finding.user_id) if part)
            text = printable(finding.text)
            say(Text(f"  {text}" + (f"  [{where}]" if where else "")))
        if more > 0:
            say(Text(f"  and {more:,} more", style="dim"))
        say(Text(f"  next: {named(check.next_step, environment)}"))


def validation_object(report: ValidationReport, environment: str) -> dict[str, Any]:
    """A validation for --json; `environment` is what aims a command at its database."""
    return {
        "database": report.database,
        "valid": report.valid,
        "pending": sum(check.count for check in report.pending),
        "differences": report.differences,
        "seconds": round(report.seconds, 3),
        "checks": [
            {
                "name": check.name,
                "title": check.title,
                "verdict": check.verdict.value,
                "count": check.count,
                "findings": [
                    {"user_id": found.user_id, "row_id": found.row_id, "finding": found.text}
                    for found in check.findings
                ],
                "next_step": named(check.next_step, environment),
                "seconds": round(check.seconds, 3),
                "figures": dict(check.figures),
            }
            for check in report.checks
        ],
    }


def _print_titled(title: str, table: Table) -> None:
    # A title of rich's own is broken at the table's width.
    say(Text(title, style="bold"))
    out.print(table)


def _short(value: object) -> str:
    text = printable(str(value))
    return text if len(text) <= 60 else text[:57] + "…"
