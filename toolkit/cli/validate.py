"""meterledger validate: every check of a post-migration validation."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit import settings
from toolkit.cli.console import observing, print_json, print_validation, validation_object
from toolkit.cli.local import SERVER_FOLDER
from toolkit.connection import parse
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, OperationalError, UsageError
from toolkit.local.server import DATABASE, Server
from toolkit.validation.report import CheckResult
from toolkit.validation.run import validate as run_validation

LOCAL = "local"


def validate(
    environment: Annotated[
        str | None, typer.Argument(metavar="[ENV]", help="Where; 'local' for now.")
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="Another database, as its owner, on a direct or session connection; also taken "
            "from METERLEDGER_DATABASE_URL. Arguments are seen by everybody on the machine: leave "
            "the password out and put it into PGPASSWORD."
        ),
    ] = None,
    database: Annotated[str, typer.Option(help="The database of the local server.")] = DATABASE,
    show: Annotated[int, typer.Option(min=0, help="Offending rows to show for each check.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check a migrated database: books, losslessness, positions, isolation of reads, plans.

    Exit code 0: everything holds (notes may remain for a person). 1: a check failed.
    """
    url = _url(environment, database_url, database)
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


def _url(environment: str | None, database_url: str | None, database: str) -> str:
    loaded = settings.load()
    given = database_url or (loaded.database_url if environment is None else None)
    if given is not None:
        parse(given)
        return given
    if environment not in (None, LOCAL):
        raise UsageError(
            f"there is no environment {environment!r}",
            next_step="say local, or give --database-url",
        )
    server = Server(loaded.home / SERVER_FOLDER)
    if not server.running():
        raise OperationalError(
            "the local server does not run",
            next_step="meterledger demo --keep makes one with data, meterledger local start an "
            "empty one",
        )
    return server.url(database)
