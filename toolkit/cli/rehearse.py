"""meterledger rehearse: the whole rollout on a copy of one's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit import settings
from toolkit.cli.console import observing, print_json, print_table, print_validation, say
from toolkit.cli.local import SERVER_FOLDER
from toolkit.cli.zones import known_zone
from toolkit.errors import EXIT_FINDINGS, EXIT_OK
from toolkit.rehearse.run import DATABASE, RehearsalReport
from toolkit.rehearse.run import rehearse as run_rehearsal


def rehearse(
    dump: Annotated[
        Path,
        typer.Argument(
            exists=True, help="A pg_dump: custom, directory, tar or plain; a file may be gzipped."
        ),
    ],
    time_zone: Annotated[
        str | None,
        typer.Option(help="The zone that your users live by, e.g. Asia/Jakarta; UTC if left out."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the database in the local server.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Restore a dump of your database into an embedded server, roll out, prove, report.

    Nothing outside this machine is touched. Exit code 1: the rollout would not be clean.
    """
    zone = known_zone(time_zone)
    keep_in = settings.load().home / SERVER_FOLDER if keep else None
    with observing() as observer:
        if time_zone is None:
            observer.note("no --time-zone given: a reading's day is taken as a day in UTC")
        report = run_rehearsal(dump, zone, keep_in, observer)
    if as_json:
        print_json(report.as_object())
    else:
        _show(report)
    raise typer.Exit(EXIT_OK if report.clean else EXIT_FINDINGS)


def _show(report: RehearsalReport) -> None:
    restored, counts = report.restored, report.proof.counts
    print_validation(report.proof.validation, f"{settings.LOCAL} --database {DATABASE}")
    print_table(
        f"restored from a {restored.format} dump of PostgreSQL {restored.dumped_from or '?'}",
        ("table", "rows"),
        [(table, f"{rows:,}") for table, rows in restored.rows.items()],
    )
    if restored.left_out:
        print_table(
            "left out, since it cannot be had here: check that the rollout does not need it",
            ("type", "name", "reason"),
            [(entry.type, entry.name, entry.reason) for entry in restored.left_out],
        )
    print_table(
        "what the rollout would make of it",
        ("rows", "what"),
        [
            (f"{counts['legacy_rows']:,}", "in electricity_readings"),
            (f"{counts['migrated']:,}", "migrated into token_events"),
            (f"{counts['rejected']:,}", "rejected: see the reasons above"),
            (f"{counts['merged']:,}", "dual-written events merged, not counted twice"),
            (f"{counts['event_only']:,}", "events that no legacy row states"),
        ],
    )
    print_table(
        "durations",
        ("step", "seconds"),
        [(name, f"{value:.2f}") for name, value in report.seconds.items()],
    )
    say(
        f"PostgreSQL {report.server_version}, {len(report.phases_applied)} files applied: "
        f"differences {report.proof.validation.differences}, "
        f"isolation violations {len(report.proof.violations)} in "
        f"{report.proof.probes} probes, "
        + (
            "[bold green]the rollout would be clean[/]"
            if report.clean
            else "[bold red]not clean[/]"
        )
    )
    if report.url is not None:
        say(f"kept: meterledger local psql --database {DATABASE} (stop: meterledger local stop)")
