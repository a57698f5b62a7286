"""meterledger local: a PostgreSQL of Supabase's shape in the project's folder."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Annotated

import typer

from toolkit import settings
from toolkit.bootstrap import StartingPoint, create_legacy_app
from toolkit.cli.zones import known_zone
from toolkit.connection import connect, parse
from toolkit.demo.generator import generate
from toolkit.demo.loading import load
from toolkit.demo.model import Spec
from toolkit.errors import OperationalError, UsageError
from toolkit.local.report import Status
from toolkit.local.server import DATABASE, Server

app = typer.Typer(
    no_args_is_help=True,
    help="A PostgreSQL of Supabase's shape, in this project's data folder.",
)

SERVER_FOLDER = "local"

Port = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="The port to listen on; a free one if left out."),
]
Database = Annotated[str, typer.Option(help="The database's name.")]
Admin = Annotated[bool, typer.Option("--admin", help="As the superuser supabase_admin.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def start(port: Port = None) -> None:
    """Start the local server; the first time, make it."""
    _start(_server(), port)


@app.command()
def stop() -> None:
    """Stop the local server; its data stays."""
    typer.echo("stopped" if _server().stop() else "it was not running")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say whether the local server runs, where, and with what version."""
    found = _server().status()
    if as_json:
        typer.echo(json.dumps(_as_object(found), indent=2))
    elif found.running:
        typer.echo(f"running: PostgreSQL {found.major} on 127.0.0.1:{found.port}")
    elif found.created:
        typer.echo(f"stopped: PostgreSQL {found.major or '?'}, data in {found.data}")
    else:
        typer.echo("not made yet: meterledger local start makes it")


@app.command()
def url(database: Database = DATABASE, admin: Admin = False) -> None:
    """Print the URL of the role that migrates, postgres. It holds a password."""
    typer.echo(_url(_running(), database, admin))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context, database: Database = DATABASE, admin: Admin = False) -> None:
    """Open psql on the local server; what follows is handed to it (psql -c 'select 1')."""
    server = _running()
    parts = parse(_url(server, database, admin))
    # The password goes by the environment: a process list shows everybody the arguments.
    environment = settings.child_environment(
        {
            "PGHOST": parts["host"],
            "PGPORT": parts["port"],
            "PGUSER": parts["user"],
            "PGDATABASE": parts["dbname"],
            "PGPASSWORD": parts["password"],
        }
    )
    program = _psql(server)
    sys.stdout.flush()
    os.execve(program, [program, *context.args], environment)  # noqa: S606 - no shell wanted


@app.command()
def reset(yes: Yes = False, dry_run: DryRun = False, port: Port = None) -> None:
    """Delete the local server with all its data, and make a new, empty one."""
    server = _server()
    found = server.home / "data" if not server.home.is_dir() else server.status().data
    if dry_run:
        typer.echo(f"would delete {found}, and make a new, empty server")
        return
    if not yes:
        _ask(f"Delete the local server with all data in {found}?")
    server.destroy(keep_folder=True)
    _start(server, port)


@app.command(name="app")
def app_(
    new: Annotated[str, typer.Argument(metavar="NAME", help="The database to make.")],
    rows: Annotated[int, typer.Option(min=0, help="Legacy rows to generate.")] = 2_000,
    users: Annotated[int, typer.Option(min=1, help="Users who share them.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed gives the same rows.")] = 1,
    time_zone: Annotated[str | None, typer.Option(help="The app's; UTC if left out.")] = None,
) -> None:
    """Make a database of a dual-write app before its rollout, with households in it.

    To try a rollout on: DATABASE_URL in .env.NAME is what meterledger local url says.
    """
    spec = Spec(seed=seed, rows=rows, users=users, time_zone=known_zone(time_zone))
    server = _running()
    if new in databases(server):
        raise UsageError(
            f"the local server has a database {new} already",
            next_step="name another one, or drop it: meterledger local psql -c 'drop database …'",
        )
    server.create_database(new)
    with connect(server.url(new)) as connection:
        create_legacy_app(connection, StartingPoint.DUAL_WRITE)
    with connect(server.admin_url(new)) as connection:
        loaded = load(connection, generate(spec))
    typer.echo(f"{new}: {loaded.legacy_rows:,} readings of {users:,} users, not rolled out")
    typer.echo(f"its URL: meterledger local url --database {new}", err=True)


def databases(server: Server) -> set[str]:
    """The names of the local server's databases."""
    with connect(server.url(), autocommit=True) as connection:
        rows = connection.execute("select d.datname from pg_catalog.pg_database as d").fetchall()
    return {name for (name,) in rows}


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "reset deletes data and there is nobody to ask", next_step="say --yes to allow it"
        )
    if not typer.confirm(question):
        raise typer.Exit(1)


def _server() -> Server:
    return Server(settings.load().home / SERVER_FOLDER)


def _running() -> Server:
    server = _server()
    if not server.running():
        raise OperationalError(
            "the local server does not run", next_step="run meterledger local start"
        )
    return server


def _start(server: Server, port: int | None) -> None:
    started = server.start(port)
    for note in started.notes:
        typer.echo(note, err=True)
    if started.already_running:
        typer.echo(f"it was running already, on 127.0.0.1:{started.port}")
        return
    typer.echo(f"PostgreSQL {server.binaries.version} runs on 127.0.0.1:{started.port}")
    typer.echo("its URL: meterledger local url; a prompt: meterledger local psql", err=True)


def _url(server: Server, database: str, admin: bool) -> str:
    return server.admin_url(database) if admin else server.url(database)


def _psql(server: Server) -> str:
    """The psql beside the server, or the system's where the programs come without one."""
    try:
        return str(server.binaries.tool("psql"))
    except OperationalError:
        found = shutil.which("psql")
        if found is None:
            raise
        return found


def _as_object(found: Status) -> dict[str, object]:
    return {
        "running": found.running,
        "created": found.created,
        "major": found.major,
        "port": found.port,
        "pid": found.pid,
        "data": str(found.data),
        "log": str(found.log),
    }
