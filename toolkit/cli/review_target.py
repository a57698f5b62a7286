"""What the commands of a review share: options, the list by default, the open connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from psycopg.rows import TupleRow
from typer.core import TyperGroup

from toolkit.cli import review_view as view
from toolkit.cli import target
from toolkit.cli.confirm import require_confirmation
from toolkit.connection import connect
from toolkit.environments.record import require
from toolkit.operations.review import export
from toolkit.rollout.standing import require_rollout

Connection = psycopg.Connection[TupleRow]

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
) -> Iterator[tuple[Connection, target.Target]]:
    """A connection to the database that is meant, and what is known of it.

    Args:
        environment, database_url, database: as typed.
        changes: something is changed there.

    Raises:
        UsageError: there is no such environment, or the database says it is another one.
        OperationalError: no connection, or the database is not rolled out.
    """
    where = target.find(environment, database_url, database, changes=changes)
    # Nothing is prepared, so that a transaction pooler will do.
    with (
        target.naming(where),
        connect(
            where.url, autocommit=True, application_name="meterledger review", prepare=False
        ) as connection,
    ):
        require(connection, where.environment.name)
        require_rollout(connection)
        yield connection, where


@contextmanager
def deciding(
    connection: Connection,
    where: target.Target,
    action: str,
    *,
    dry_run: bool,
    confirm: str | None,
    yes: bool,
    whole: bool = True,
) -> Iterator[None]:
    """What is decided inside, in one transaction and asked for before; a dry run is taken back.

    Args:
        connection: in autocommit mode.
        where: the database.
        action: what is asked for.
        dry_run: try it, and take it back; nobody is asked.
        confirm, yes: as typed.
        whole: in one transaction also where it is no dry run.
    """
    if not dry_run:
        require_confirmation(where.environment, action, confirm, yes)
    with connection.transaction(force_rollback=dry_run) if whole or dry_run else nullcontext():
        yield


def export_rows(
    environment: str,
    database_url: str | None,
    database: str | None,
    file: Path,
    read: Callable[[Connection], list[dict[str, Any]]],
    *,
    replace: bool,
) -> None:
    """Write what is read, in one snapshot, into a file that only its owner can read."""
    export.check(file, replace=replace)
    with (
        opened(environment, database_url, database) as (connection, _),
        connection.transaction(),
    ):
        found = read(connection)
    export.write(file, found, replace=replace)
    view.warn_exported(file, len(found))
