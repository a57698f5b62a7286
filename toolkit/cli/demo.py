"""meterledger demo: a generated dual-write database becomes an event-sourced one."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit import settings
from toolkit.cli.console import observing, print_json, print_table, print_validation, say
from toolkit.cli.local import SERVER_FOLDER
from toolkit.cli.zones import known_zone
from toolkit.demo.model import Spec
from toolkit.demo.run import DATABASE, DemoOptions, DemoReport, run_demo
from toolkit.errors import EXIT_FINDINGS, EXIT_OK


def demo(
    rows: Annotated[int, typer.Option(min=0, help="Legacy rows to generate.")] = 100_000,
    users: Annotated[int, typer.Option(min=1, help="Users who share them.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same rows.")] = 1,
    time_zone: Annotated[
        str | None, typer.Option(help="The app's time zone, e.g. Asia/Jakarta; UTC if left out.")
    ] = None,
    legacy_only: Annotated[
        bool, typer.Option("--legacy-only", help="Without the dual-written events.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the database in the local server.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--copy/--no-copy", help="Also time a COPY of the same rows.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Generate a dual-write database, roll out, prove the result row for row, show it.

    Nothing outside this machine is touched. Exit code 1: something was not as it must be.
    """
    spec = Spec(
        seed=seed,
        rows=rows,
        users=users,
        time_zone=known_zone(time_zone),
        dual_write=not legacy_only,
    )
    keep_in = settings.load().home / SERVER_FOLDER if keep else None
    with observing() as observer:
        if time_zone is None:
            observer.note("no --time-zone given: a day of the demo's app is a day in UTC")
        report = run_demo(DemoOptions(spec, keep_in, compare), observer)
    if as_json:
        print_json(report.as_object())
    else:
        _show(report)
    raise typer.Exit(EXIT_OK if report.valid else EXIT_FINDINGS)


def _show(report: DemoReport) -> None:
    counts, answers = report.answers.counts, report.answers
    print_validation(report.proof.validation, f"{settings.LOCAL} --database {DATABASE}")
    print_table(
        "what the rollout made of it",
        ("rows", "what"),
        [
            (f"{counts['legacy_rows']:,}", "in electricity_readings"),
            (f"{counts['migrated']:,}", "migrated into token_events"),
            (f"{counts['rejected']:,}", "rejected, kept whole in ledger.migration_rejects"),
            (f"{counts['merged']:,}", "dual-written events merged into them, not counted twice"),
            (f"{counts['event_only']:,}", "events that no legacy row states"),
            (f"{counts['view_rows']:,}", "in electricity_readings_v"),
            (f"{counts['mv_rows']:,}", f"in electricity_readings_mv, {_size(counts['mv_bytes'])}"),
        ],
    )
    print_table(
        f"newest readings of user {answers.user_id}, as the user sees them",
        ("date", "kWh left", "kWh bought", "notes"),
        answers.readings,
    )
    print_table(
        "their positions",
        ("event_date", "event_type", "kWh", "position", "used"),
        answers.positions,
    )
    print_table(
        "durations",
        ("step", "seconds"),
        [(name, f"{value:.2f}") for name, value in report.seconds.items()],
    )
    say(f"a read of 100 rows: {answers.milliseconds} ms, plan {answers.plan}")
    for line in report.scheduled.lines():
        say(line)
    rates = report.rows_per_second
    for name, rate in rates.items():
        say(f"{name}: {rate:,.0f} rows a second")
    if len(rates) == 2:
        say(f"the inserts run at {rates['insert'] / rates['copy']:.2f} of the COPY's rate")
    for name, (due, found) in report.as_planted.items():
        say(f"[bold red]{name}: {due:,} were planted, {found:,} found[/]")
    _verdict(report)


def _verdict(report: DemoReport) -> None:
    proof = report.proof
    say(
        f"PostgreSQL {report.server_version}, {len(report.phases_applied)} files applied: "
        f"differences {proof.validation.differences}, "
        f"isolation violations {len(proof.violations)} in {proof.probes:,} probes, "
        + ("[bold green]valid[/]" if report.valid else "[bold red]not valid[/]")
    )
    if report.url is not None:
        say(f"kept: meterledger local psql --database {DATABASE} (stop: meterledger local stop)")


def _size(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"
