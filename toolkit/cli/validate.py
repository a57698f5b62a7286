"""meterledger validate: every check of a post-migration validation."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli import target
from toolkit.cli.console import observing, print_json, print_validation, validation_object
from toolkit.errors import UsageError, exit_code
from toolkit.operations.drift import drift_check
from toolkit.validation.report import CheckResult
from toolkit.validation.run import validate as run_validation


def validate(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The dear checks look at so many users, the same ones every time.",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Look at every user; what happens without --sample.")
    ] = False,
    drift: Annotated[
        bool,
        typer.Option(
            "--drift/--no-drift",
            help="Compare the catalog with what the migrations give, replayed on a server that is "
            "thrown away.",
        ),
    ] = True,
    show: Annotated[int, typer.Option(min=0, help="Offending rows to show for each check.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check a migrated database: books, losslessness, positions, isolation of reads, plans, drift.

    Exit code 0: everything holds (notes may remain for a person). 1: a check failed. 3: the
    database is not rolled out, or what holds cannot be said before the backfill has moved the data.
    """
    if full and sample is not None:
        raise UsageError("--full and --sample say the opposite", next_step="leave one of them out")
    where = target.find(environment, database_url, database)
    target.stop_if_elsewhere(where)
    with target.naming(where), observing() as observer:
        observer.step("validate")

        def told(result: CheckResult) -> None:
            observer.note(f"{result.verdict.value:4} {result.title}")

        report = run_validation(
            where.url,
            keep=show,
            on_check=told,
            sample=sample,
            further={"drift": drift_check(keep=show, on_step=observer.note)} if drift else {},
        )
    if as_json:
        print_json(validation_object(report, where.words))
    else:
        print_validation(report, where.words)
    raise typer.Exit(exit_code(failed=bool(report.failed), pending=bool(report.pending)))
