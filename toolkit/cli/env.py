"""meterledger env: the environments of this folder, one .env.<name> each."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from toolkit import settings
from toolkit.cli import target
from toolkit.cli.console import err, print_json, printable
from toolkit.cli.env_view import (
    check_object,
    listed_object,
    print_check,
    print_list,
    print_values,
    shown_values,
)
from toolkit.cli.zones import known_zone
from toolkit.connection import connect, describe
from toolkit.environments import check as checks
from toolkit.environments import file, listing, record
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, UsageError

app = typer.Typer(
    no_args_is_help=True,
    help="The environments of this folder: what their .env.<name> say, and whether it is true.",
)

Name = Annotated[str, typer.Argument(help="Of the environment: staging reads .env.staging.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command("list")
def list_(
    ask: Annotated[
        bool,
        typer.Option(
            "--ask/--offline", help="Ask each database which environment it says that it is."
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """List the environments of this folder: where each is, and what protects it."""
    found = [listing.listed(name, ask=ask) for name in settings.environments()]
    if as_json:
        print_json({"environments": [listed_object(one) for one in found]})
        return
    if not found:
        err.print("there is none: meterledger env init NAME makes one", soft_wrap=True)
    print_list(found)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show what an environment's variables are; secrets show as ***."""
    values = shown_values(_named(name))
    if as_json:
        print_json({"environment": name, "values": values})
    else:
        print_values(name, values)


@app.command()
def check(
    name: Name,
    api: Annotated[
        bool, typer.Option("--api/--no-api", help="Send the API one request, without any key.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check an environment: URL, role, pooler, TLS, recorded name, keys, time zone, file.

    Nothing is changed. Exit code 0: it can be used (warnings may remain). 1: something failed.
    """
    environment = _named(name)
    report = checks.check_environment(environment, others=listing.others(name), ask_api=api)
    if as_json:
        print_json(check_object(report))
    else:
        print_check(report)
    raise typer.Exit(EXIT_OK if report.usable else EXIT_FINDINGS)


@app.command("record")
def record_(
    name: Name,
    replace: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The name that the database has now, exactly: it is a copy, and gets a new one.",
        ),
    ] = None,
) -> None:
    """Write into the database which environment it is; commands aimed at another one stop."""
    environment = _named(name)
    if environment.database_url is None:
        raise _no_url(name)
    target.require_meant(target.Target(environment.database_url, environment))
    with connect(
        environment.database_url, autocommit=True, application_name="meterledger env"
    ) as connection:
        before = record.recorded(connection)
        if replace is not None and replace not in (before, name):
            raise UsageError(
                f"the database does not say that it is {replace!r}",
                next_step=f"see what it says: meterledger env check {name}",
            )
        record.record(connection, name, force=replace is not None and replace == before)
    typer.echo(f"recorded: {name}" if before != name else f"it said {name} already")


@app.command()
def init(
    name: Name,
    api_url: Annotated[str | None, typer.Option(help="SUPABASE_URL.")] = None,
    project_ref: Annotated[str | None, typer.Option(help="SUPABASE_PROJECT_REF.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="METERLEDGER_TIME_ZONE.")] = None,
    protection: Annotated[
        str | None,
        typer.Option(
            metavar="open|confirm",
            help="METERLEDGER_PROTECTION; confirm for names with prod or live if left out.",
        ),
    ] = None,
    backups: Annotated[str | None, typer.Option(help="METERLEDGER_BACKUPS, a folder.")] = None,
    retention_days: Annotated[
        int | None, typer.Option(min=1, help="METERLEDGER_BACKUP_RETENTION_DAYS.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file that is there; its content is lost.")
    ] = False,
) -> None:
    """Write .env.NAME, a commented template, for its owner only (mode 0600).

    Secrets (DATABASE_URL, keys, JWT secret, receipt key) are no options: arguments stand in the
    shell's history and in the process list, where everybody on the machine can read them. They
    are asked for without echo on a terminal, or taken from the process's environment.
    """
    given = {
        "SUPABASE_URL": api_url,
        "SUPABASE_PROJECT_REF": project_ref,
        "METERLEDGER_TIME_ZONE": time_zone,
        "METERLEDGER_PROTECTION": protection,
        "METERLEDGER_BACKUPS": backups,
        "METERLEDGER_BACKUP_RETENTION_DAYS": None
        if retention_days is None
        else str(retention_days),
    }
    if name in (settings.LOCAL, settings.EXAMPLE):
        raise UsageError(
            f"{name} is no environment of its own", next_step="choose another name, as in staging"
        )
    path = settings.environment_file(name)
    if not force and os.path.lexists(path):
        raise file.exists(path)
    values = settings.process_variables(settings.VARIABLES)
    chosen = {key: value for key, value in given.items() if value is not None}
    taken = sorted(values.keys() - chosen.keys())
    values |= chosen
    if sys.stdin.isatty() and sys.stderr.isatty():
        _ask_for_the_rest(values)
    # Refused before it is written, not when it is first used.
    listing.check_values(name, values)
    known_zone(values.get("METERLEDGER_TIME_ZONE"))
    file.write(path, file.render(name, values), force=force)
    _tell(path.name, name, taken, values.get("DATABASE_URL"))


def _tell(written: str, name: str, taken: list[str], database_url: str | None) -> None:
    typer.echo(f"written: {written}")
    if taken:
        typer.echo(f"taken from the process's environment: {', '.join(taken)}", err=True)
    if database_url is not None:
        typer.echo(f"database: {printable(describe(database_url))}", err=True)
    else:
        typer.echo(f"write DATABASE_URL into {written} before it is used", err=True)
    typer.echo(f"next: meterledger env check {name}", err=True)


def _ask_for_the_rest(values: dict[str, str]) -> None:
    """Ask for what no option and no variable says; an empty answer leaves it out."""
    typer.echo("An empty answer leaves a value out. Secrets are not shown.", err=True)
    for variable in file.TEMPLATE.values():
        if variable.name in values:
            continue
        answer = typer.prompt(
            f"{variable.name} ({variable.text})",
            default="",
            show_default=False,
            hide_input=variable.secret,
            err=True,
        ).strip()
        if answer:
            values[variable.name] = answer


def _named(name: str) -> settings.Environment:
    if name == settings.LOCAL:
        raise UsageError(
            "local is the server in the data folder, and has no .env file",
            next_step="see meterledger local status",
        )
    return settings.environment(name)


def _no_url(name: str) -> UsageError:
    return UsageError(
        f".env.{name} says no DATABASE_URL",
        next_step="add DATABASE_URL=postgresql://… (direct or session pooler)",
    )
