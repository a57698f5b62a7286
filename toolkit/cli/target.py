"""Which database a command is aimed at: the argument [ENV] and the options beside it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import psycopg
import typer
from psycopg.rows import TupleRow

from toolkit import settings
from toolkit.cli.console import err, printable
from toolkit.cli.local import SERVER_FOLDER, databases
from toolkit.connection import connect, parse
from toolkit.demo.run import DATABASE as DEMO
from toolkit.environments import listing, mixups, record
from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.local.server import DATABASE, Server
from toolkit.rehearse.run import DATABASE as REHEARSAL

LOCAL = settings.LOCAL
_URL = "--database-url …"

Environment = Annotated[
    str | None,
    typer.Argument(
        metavar="[ENV]",
        help="Where: local, or a name whose .env.<name> holds DATABASE_URL; local if left out.",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help="Another database, as its owner; also taken from METERLEDGER_DATABASE_URL. Arguments "
        "are seen by everybody on the machine: leave the password out and put it into PGPASSWORD."
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        help="The database of the local server; if left out, the first of postgres, demo and "
        "rehearsal that has had the rollout."
    ),
]


@dataclass(frozen=True)
class Target:
    """What a command works on.

    Attributes:
        url: the database, as its owner.
        environment: what is known of a deployed project beside its database.
        options: how it was aimed beside the environment's name.
    """

    url: str
    environment: settings.Environment
    options: str = ""

    @property
    def words(self) -> str:
        """What aims a command at this, after its name; a URL may hold a password and is left out.

        `local` stands even before options, since some commands want an environment.
        """
        named = self.environment.name != LOCAL
        other = named and self.url != self.environment.database_url
        return f"{self.environment.name}{f' {_URL}' if other else ''}{self.options}"


def find(
    environment: str | None,
    database_url: str | None,
    database: str | None,
    *,
    changes: bool = False,
) -> Target:
    """The database that is meant.

    Args:
        environment: its name, as typed.
        database_url: as typed, instead of the environment's.
        database: of the local server.
        changes: something is changed there: a doubt whether it is meant stops the command.
            Without it, a doubt is told.

    Raises:
        UsageError: there is no such environment, the URL cannot be parsed, or another database
            may be meant.
        OperationalError: the local server does not run.
    """
    loaded = settings.load()
    if environment not in (None, LOCAL):
        known = settings.environment(environment)
        url = database_url or known.database_url
        if url is None:
            raise UsageError(
                f".env.{environment} says no DATABASE_URL",
                next_step="add DATABASE_URL=postgresql://… (direct or session pooler), or give "
                "--database-url",
            )
        parse(url)
        where = Target(url, known)
        if changes:
            require_meant(where)
        else:
            _tell(_mixups(where))
        return where
    given = database_url or (loaded.database_url if environment is None else None)
    nowhere = settings.Environment(LOCAL, backup_folder=settings.backups_of(LOCAL, loaded.home))
    if given is not None:
        parse(given)
        return Target(given, nowhere, f" {_URL}")
    server = Server(loaded.home / SERVER_FOLDER)
    if not server.running():
        raise OperationalError(
            "the local server does not run",
            next_step="meterledger demo --keep makes one with data, meterledger local start an "
            "empty one",
        )
    options = f" --database {shlex.quote(database)}" if database else ""
    return Target(server.url(database or _rolled_out(server)), nowhere, options)


@contextmanager
def naming(where: Target) -> Iterator[None]:
    """What stops the command says how to aim the next one: the library does not know.

    Raises:
        MeterledgerError: as it was raised, with the name in its next step.
    """
    try:
        yield
    except MeterledgerError as error:
        error.name(where.words)
        raise


def require_recorded(
    connection: psycopg.Connection[TupleRow], environment: settings.Environment
) -> None:
    """Stop a command that is aimed at another environment's database than the one it names.

    Raises:
        UsageError: the database says that it is another one.
    """
    record.require(connection, environment.name)


def stop_if_elsewhere(where: Target) -> None:
    """The same for a command whose work opens its own connections: asks with a short one.

    Raises:
        UsageError: the database says that it is another one.
        OperationalError: it cannot be reached.
    """
    if where.environment.name != LOCAL:
        with connect(where.url, autocommit=True, prepare=False) as connection:
            require_recorded(connection, where.environment)


def require_meant(where: Target) -> None:
    """Stop a command that changes something where its database may be another's.

    Raises:
        UsageError: the process's DATABASE_URL is another database than the environment's file
            says, or another environment's file names the same one.
    """
    mixups.require_meant(_mixups(where))


def _tell(found: tuple[mixups.Mixup, ...]) -> None:
    for one in found:
        line = printable(f"warning: {one.text} (next: {one.next_step})")
        err.print(line, soft_wrap=True, markup=False)


def _mixups(where: Target) -> tuple[mixups.Mixup, ...]:
    known = where.environment
    own = listing.from_file(known.name) if known.file is not None else None
    return mixups.mixups(known, where.url, own=own, others=listing.others(known.name))


def _rolled_out(server: Server) -> str:
    """The first database of the local server that has had the rollout; postgres if none has."""
    there = databases(server)
    for name in (DATABASE, DEMO, REHEARSAL):
        if name in there:
            with connect(server.url(name), autocommit=True) as connection:
                found = connection.execute("select to_regclass('ledger.readings')").fetchone()
            if found != (None,):
                return name
    return DATABASE
