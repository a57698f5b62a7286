"""meterledger preflight: the checklist before a rollout, executed."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from toolkit import settings
from toolkit.cli import target
from toolkit.cli.console import observing, out, print_json, printable, say
from toolkit.cli.zones import known_zone
from toolkit.connection import redact
from toolkit.environments.protection import protected
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, FindingsError, named
from toolkit.operations.preflight import CheckItem, PreflightReport, Verdict, options
from toolkit.operations.preflight import preflight as run_preflight
from toolkit.operations.preflight.options import ACKNOWLEDGEMENTS, PATIENCE_SECONDS
from toolkit.operations.promote import receipt as receipts

_STYLES = {
    Verdict.PASS: "green",
    Verdict.WARN: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.SKIP: "dim",
}


def preflight(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="The zone that your users live by, such as Asia/Jakarta; METERLEDGER_TIME_ZONE "
            "of .env.<ENV>, or what the database has on record, if left out.",
        ),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="The receipt of the staging run that proved it."),
    ] = None,
    acknowledge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD",
            help="Vouch for what no statement can tell; repeatable. "
            + "; ".join(f"{word}: {text}" for word, text in ACKNOWLEDGEMENTS.items()),
        ),
    ] = None,
    patience: Annotated[
        int, typer.Option(min=1, help="Seconds that one question may take.")
    ] = PATIENCE_SECONDS,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Go through the checklist before a rollout. It only reads.

    Exit code 0: nothing fails (warnings may remain for a person). 1: something does.
    """
    if time_zone is not None:
        known_zone(time_zone)
    where = target.find(environment, database_url, database)
    known = where.environment
    chosen = options(
        known.name,
        protected=protected(known),
        time_zone=time_zone or known.time_zone,
        backup_folder=known.backup_folder or settings.backups_of(known.name, settings.load().home),
        receipt=receipt,
        verify_receipt=_verifier(known.receipt_key),
        acknowledged=acknowledge or (),
        patience=patience,
    )
    target.stop_if_elsewhere(where)
    with observing() as observer:
        observer.step("preflight")

        def told(item: CheckItem) -> None:
            observer.note(f"{item.verdict.value:4} {item.title}")

        report = run_preflight(where.url, chosen, on_item=told)
    if as_json:
        print_json(preflight_object(report, where.words))
    else:
        print_preflight(report, where.words)
    raise typer.Exit(EXIT_OK if report.ready else EXIT_FINDINGS)


def print_preflight(report: PreflightReport, environment: str) -> None:
    """One row an item; below it what is left to do, with what aims a command at the database."""
    table = Table()
    for heading in ("", "item", "found"):
        table.add_column(heading, overflow="fold")
    for item in report.items:
        word = Text(item.verdict.value, style=_STYLES[item.verdict])
        table.add_row(word, item.title, Text(_shown(item.detail)))
    say(Text(f"preflight of {report.environment}: {report.database}", style="bold"))
    out.print(table)
    for verdict in (Verdict.FAIL, Verdict.WARN):
        for item in report.items:
            if item.verdict is verdict:
                say(Text(f"{verdict.value} {item.title}", style=_STYLES[verdict]))
                say(Text(f"  next: {_shown(named(item.next_step, environment))}"))
    counts = ", ".join(f"{report.count(verdict)} {verdict.value}" for verdict in Verdict)
    say(Text(f"{'ready' if report.ready else 'not ready'}: {counts}", style="bold"))


def preflight_object(report: PreflightReport, environment: str) -> dict[str, Any]:
    """A checklist for --json."""
    return {
        "environment": report.environment,
        "database": report.database,
        "ready": report.ready,
        "seconds": round(report.seconds, 3),
        "counts": {verdict.value: report.count(verdict) for verdict in Verdict},
        "items": [
            {
                "name": item.name,
                "title": item.title,
                "verdict": item.verdict.value,
                "detail": redact(item.detail),
                "next_step": redact(named(item.next_step, environment)),
                "figures": dict(item.figures),
            }
            for item in report.items
        ],
    }


def _shown(text: str) -> str:
    return printable(redact(text))


def _verifier(key: str | None) -> Callable[[Path], None] | None:
    """How the checklist learns whether a receipt is genuine."""
    if key is None:
        return None

    def verify(path: Path) -> None:
        receipt, signature = receipts.read(path)
        if not hmac.compare_digest(receipts.sign(receipt, receipts.check_key(key)), signature):
            raise FindingsError(
                f"the receipt is not signed with this {receipts.KEY_VARIABLE}",
                next_step="give both environments the same key, and let staging sign again",
            )

    return verify
