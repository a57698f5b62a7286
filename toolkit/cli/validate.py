"""meterledger validate: every check of a post-migration validation."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli import target
from toolkit.cli.console import observing, print_json, print_validation, validation_object
from toolkit.errors import EXIT_FINDINGS, EXIT_OK
from toolkit.validation.report import CheckResult
from toolkit.validation.run import validate as run_validation


def validate(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    show: Annotated[int, typer.Option(min=0, help="Offending rows to show for each check.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check a migrated database: books, losslessness, positions, isolation of reads, plans.

    Exit code 0: everything holds (notes may remain for a person). 1: a check failed.
    """
    url = target.find(environment, database_url, database).url
    with observing() as observer:
        observer.step("validate")

        def told(result: CheckResult) -> None:
            observer.note(f"{result.verdict.value:4} {result.title}")

        report = run_validation(url, keep=show, on_check=told)
    if as_json:
        print_json(validation_object(report))
    else:
        print_validation(report)
    raise typer.Exit(EXIT_OK if report.valid else EXIT_FINDINGS)
