"""What the commands of a review share: options, the list by default, the open connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from psycopg.rows import TupleRow
from typer.core import TyperGroup

from toolkit import settings
from toolkit.cli import target
from toolkit.connection import connect
from toolkit.environments.record import require
from toolkit.operations.review.remaining import require_rooms

# Other arguments follow it here, so it cannot be left out.
Env = Annotated[
    str,
    typer.Argument(metavar="ENV", help="Where: local, or a name whose .env.<name> says so."),
]
File = Annotated[
    Path, typer.Argument(metavar="FILE", dir_okay=False, help="A file: *.csv or *.json.")
]
Limit = Annotated[int, typer.Option(min=0, help="Rows to show.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
By = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Who decides; the database's user if left out."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Try it, say what came of it, and take it back.")
]
Replace = Annotated[bool, typer.Option("--replace", help="The file may be there already.")]

_LIST = "list"


class ListByDefault(TyperGroup):
    """A group whose plain form lists: `meterledger rejects ENV` is `rejects list ENV`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer keeps its own Context class private
        """Put `list` before what is no command of the group."""
        first = args[0] if args else ""
        if first not in self.commands and first not in ctx.help_option_names:
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


@contextmanager
def opened(
    environment: str | None,
    database_url: str | None,
    database: str | None,
    *,
    changes: bool = False,
) -> Iterator[tuple[psycopg.Connection[TupleRow], settings.Environment]]:
    """A connection to the database that is meant, and what is known of its environment.

    Args:
        environment, database_url, database: as typed.
        changes: something is changed there.

    Raises:
        UsageError: there is no such environment, or the database says it is another one.
        OperationalError: no connection, or the database has not had the phases.
    """
    where = target.find(environment, database_url, database, changes=changes)
    # Nothing is prepared, so that a transaction pooler will do.
    with connect(
        where.url, autocommit=True, application_name="meterledger review", prepare=False
    ) as connection:
        require(connection, where.environment.name)
        require_rooms(connection)
        yield connection, where.environment
