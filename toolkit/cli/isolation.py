"""meterledger isolation: nobody reads or writes another user's row, proven on a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import target
from toolkit.cli.console import err, observing, print_json
from toolkit.cli.isolation_view import isolation_object, print_isolation
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from toolkit.isolation.api.target import ApiTarget
from toolkit.isolation.declaration import load_access
from toolkit.isolation.html import render_html
from toolkit.isolation.report import Part
from toolkit.isolation.run import prove_isolation


def isolation(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    access: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A declaration of your own objects, on top of the one that ships; repeatable.",
        ),
    ] = None,
    api: Annotated[
        bool,
        typer.Option(
            "--api",
            help="Also through the REST API, with two throw-away users that it signs up and "
            "removes (SUPABASE_URL and keys from .env.<ENV>).",
        ),
    ] = False,
    advisors: Annotated[
        bool,
        typer.Option("--advisors/--no-advisors", help="Run Supabase's own advisors too."),
    ] = True,
    show: Annotated[int, typer.Option(min=0, help="Findings to show of each part.")] = 10,
    html: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Also write the report as one HTML file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Prove that nobody reaches another user's rows: the declared access, tried and attacked.

    Safe on a live database: made-up users in one transaction that is rolled back, under short
    timeouts. Exit code 0: nothing found. 1: something was, with the statements that show it. 3: the
    database is not rolled out, or the proof could not be made.
    """
    where = target.find(environment, database_url, database)
    target.stop_if_elsewhere(where)
    declared = load_access(*(access or ()))
    through = _api(where) if api else None
    with target.naming(where), observing() as observer:
        observer.step("isolation")

        def told(part: Part) -> None:
            found = f"{len(part.findings)} findings" if part.findings else "ok"
            skipped = f", skipped: {part.skipped}" if part.skipped else ""
            observer.note(f"{part.section}: {found}{skipped}")

        report = prove_isolation(where.url, declared, on_part=told, advisors=advisors, api=through)
    if html is not None:
        try:
            html.write_text(render_html(report), "utf-8")
        except OSError as error:
            raise UsageError(
                f"{html} cannot be written: {error.strerror}", next_step="name another file"
            ) from error
    if as_json:
        print_json(isolation_object(report))
    else:
        print_isolation(report, show)
    if html is not None:
        err.print(f"written: {html}", soft_wrap=True)
    raise typer.Exit(EXIT_OK if report.isolated else EXIT_FINDINGS)


def _api(where: target.Target) -> ApiTarget:
    known = where.environment
    missing = [
        name
        for name, value in (
            ("SUPABASE_URL", known.api_url),
            ("SUPABASE_ANON_KEY", known.anon_key),
        )
        if value is None
    ]
    if missing or known.api_url is None or known.anon_key is None:
        raise UsageError(
            f"--api needs {' and '.join(missing)}",
            next_step=f"write them into .env.{known.name}, or leave --api out",
        )
    return ApiTarget(known.api_url, known.anon_key, known.service_key, known.jwt_secret)
