"""meterledger backfill: moves the data in batches beside the running app."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import target
from toolkit.cli.confirm import Confirm, Yes, require_confirmation
from toolkit.cli.console import err, observing, print_json, say
from toolkit.connection import connect
from toolkit.environments.record import require
from toolkit.errors import EXIT_OK
from toolkit.operations.backfill import (
    BackfillOptions,
    BackfillPlan,
    BackfillReport,
    plan_backfill,
    run_backfill,
)
from toolkit.operations.backfill.options import MAX_BATCH_ROWS, MAX_LAG_BYTES


def backfill(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    batch_rows: Annotated[
        int,
        typer.Option(
            min=1,
            help="Legacy rows a batch, at most; a user who has more is one batch. Batches are "
            "made so big that each takes about a second.",
        ),
    ] = MAX_BATCH_ROWS,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Stop at the first batch boundary after so many seconds."),
    ] = None,
    pause_file: Annotated[
        Path | None, typer.Option(help="Nothing is moved while this file exists.")
    ] = None,
    share: Annotated[
        float, typer.Option(help="Of the time that may be work; the rest is sleep.")
    ] = 0.5,
    max_lag: Annotated[
        int, typer.Option(min=0, help="Bytes that a replica may be behind before it is waited for.")
    ] = MAX_LAG_BYTES,
    yes: Yes = False,
    confirm: Confirm = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Move the legacy readings into events, in batches of whole users, beside the running app.

    After `deploy --defer-backfill`. May be stopped or killed at any moment and given again: an
    unfinished run is continued. In the end every row is compared. Exit code 0 also where
    --max-seconds stopped it: the answer says whether it is finished.
    """
    options = BackfillOptions(
        batch_rows=batch_rows,
        max_seconds=max_seconds,
        pause_file=pause_file,
        share=share,
        max_lag=max_lag,
    )
    where = target.find(environment, database_url, database, changes=True)
    with connect(where.url, autocommit=True) as connection:
        require(connection, where.environment.name)
    with target.naming(where):
        plan = plan_backfill(where.url)
    _announce(plan, options)
    if not plan.done:
        require_confirmation(
            where.environment, f"backfill {plan.pending_rows:,} rows", confirm, yes
        )
    with target.naming(where), observing() as observer:
        report = run_backfill(where.url, options, observer)
    again = None if report.finished else _command(where, options)
    if as_json:
        print_json({**report.as_object(), "next_step": again})
    else:
        _show(report, again)
    raise typer.Exit(EXIT_OK)


def _announce(plan: BackfillPlan, options: BackfillOptions) -> None:
    run = f"continues run {plan.open_run}" if plan.open_run is not None else "begins a run"
    err.print(
        f"{plan.database}: {plan.pending_rows:,} of {plan.legacy_rows:,} legacy rows wait, of "
        f"{plan.pending_users:,} users; {run}, working at most {options.share:.0%} of the time",
        soft_wrap=True,
        markup=False,
    )


def _show(report: BackfillReport, again: str | None) -> None:
    run = f"run {report.run_id}" if report.run_id is not None else "no run"
    say(
        f"{run}: {report.migrated:,} rows migrated, {report.rejected:,} rejected, "
        f"{report.merged:,} events merged, in {report.batches:,} batches and "
        f"{report.seconds:.1f} s ({report.rate:,.0f} rows a second)"
    )
    if again is None:
        say("finished: every legacy row comes back as it was")
    else:
        say(f"not finished: {report.pending_rows:,} rows wait")
        say(f"continue: {again}")


def _command(where: target.Target, options: BackfillOptions) -> str:
    """The command that goes on."""
    words: list[str] = []
    usual = BackfillOptions()
    for name in ("batch_rows", "max_seconds", "pause_file", "share", "max_lag"):
        value = getattr(options, name)
        if value != getattr(usual, name):
            words += [
                f"--{name.replace('_', '-')}",
                f"{value:g}" if isinstance(value, float) else str(value),
            ]
    return f"meterledger backfill {where.words} {shlex.join(words)}".rstrip()
