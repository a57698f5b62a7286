"""meterledger status: where a database stands, and how it fares."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from toolkit.cli import target
from toolkit.cli.console import err, out, print_json, printable
from toolkit.cli.status_view import short_view, status_object, view
from toolkit.connection import connect, redact
from toolkit.environments.record import require
from toolkit.errors import EXIT_OK, OperationalError, UsageError
from toolkit.operations.status import Status, read_status
from toolkit.operations.status.html import render_html
from toolkit.operations.status.prometheus import render_prometheus


def status(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Count large tables too, instead of estimating them."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Prometheus' text format on stdout.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Also write a page with charts.")
    ] = None,
    watch: Annotated[
        float | None,
        typer.Option(min=0.5, metavar="SECONDS", help="Read and show it again, until Ctrl-C."),
    ] = None,
) -> None:
    """Say where a database stands in the rollout, its history, sizes, refreshes and what is left.

    One read-only transaction, through any pooler; cheap at a million rows: numbers that begin
    with ~ are estimates, --exact counts.
    """
    if as_json and prometheus:
        raise UsageError("--json and --prometheus are two formats", next_step="leave one out")
    if watch is not None and (as_json or prometheus or html is not None):
        raise UsageError("--watch shows a table", next_step="leave the other formats out")
    where = target.find(environment, database_url, database)
    if watch is not None:
        _watch(lambda: short_view(_read(where, exact), where.words), watch)
        raise typer.Exit(EXIT_OK)
    found = _read(where, exact)
    if html is not None:
        _write(html, render_html(found))
    if as_json:
        print_json(status_object(found, where.words))
    elif prometheus:
        typer.echo(render_prometheus(found), nl=False)
    else:
        out.print(view(found, where.words))
    if html is not None:
        err.print(Text(f"written: {printable(str(html))}"), soft_wrap=True)


def _read(where: target.Target, exact: bool) -> Status:
    with connect(
        where.url, autocommit=True, application_name="meterledger status", prepare=False
    ) as connection:
        require(connection, where.environment.name)
        return read_status(
            connection, environment=where.environment.name, url=where.url, exact=exact
        )


def _write(file: Path, page: str) -> None:
    try:
        file.write_text(page, "utf-8")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}", next_step="name another file"
        ) from error


def _watch(read: Callable[[], RenderableType], seconds: float) -> None:
    """Redraw until Ctrl-C, which is how a watch ends; a server that is away may come back."""
    shown = read()
    try:
        if not out.is_terminal or out.is_dumb_terminal:
            while True:
                out.print(shown)
                time.sleep(seconds)
                shown = _again(read)
        with Live(shown, console=out, auto_refresh=False) as live:
            while True:
                live.update(shown, refresh=True)
                time.sleep(seconds)
                shown = _again(read)
    except KeyboardInterrupt:
        return


def _again(read: Callable[[], RenderableType]) -> RenderableType:
    try:
        return read()
    except (OperationalError, psycopg.OperationalError) as error:
        return Text(f"no answer: {printable(redact(str(error)))}; trying again", style="red")
