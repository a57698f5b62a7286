"""meterledger duplicates: events that state almost what a reading states; a person decides."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer

from toolkit.cli import review_view as view
from toolkit.cli import target
from toolkit.cli.confirm import Confirm, Yes
from toolkit.cli.console import print_json
from toolkit.cli.review_target import (
    AsJson,
    By,
    Connection,
    DryRun,
    Env,
    File,
    Limit,
    ListByDefault,
    Replace,
    deciding,
    export_rows,
    opened,
)
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from toolkit.operations.review import matches as room
from toolkit.rollout.standing import Data, data

duplicates = typer.Typer(
    cls=ListByDefault,
    help="Events that state almost what a reading states: list, show, export, keep, merge. "
    "meterledger duplicates ENV lists them.",
)

Event = Annotated[UUID, typer.Argument(metavar="EVENT", help="The event's id.")]
Reading = Annotated[
    UUID | None,
    typer.Argument(metavar="[READING]", help="The reading's id, where the event is near several."),
]


@duplicates.command("list")
def list_duplicates(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Pairs that are to be decided. Exit code 0: there are none. 1: there are some."""
    with opened(environment, database_url, database) as (connection, known):
        found = room.listed(connection, limit=max(limit, 1))
        moved = data(connection)
    count = found[0].matches if found else 0
    if as_json:
        print_json({**view.matches_object(found[:limit], count), **view.data_object(moved, known)})
    else:
        if count or moved is Data.MOVED:
            view.print_matches(found[:limit], count, known.words)
        view.print_data(moved, known.words)
    raise typer.Exit(EXIT_FINDINGS if count else EXIT_OK)


@duplicates.command()
def show(
    environment: Env,
    event: Event,
    reading: Reading = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    as_json: AsJson = False,
) -> None:
    """One pair, both sides whole. It holds personal data."""
    with opened(environment, database_url, database) as (connection, _):
        found = room.with_sides(connection, room.find(connection, event, reading))
    if as_json:
        print_json(view.match_object(found))
    else:
        view.print_match(found)


@duplicates.command("export")
def export_duplicates(
    environment: Env,
    file: File,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    replace: Replace = False,
) -> None:
    """Write all pairs, both sides whole, into a file that only you can read: CSV or JSON."""

    def read(connection: Connection) -> list[dict[str, Any]]:
        pairs = room.listed(connection)
        return [view.match_object(room.with_sides(connection, pair)) for pair in pairs]

    export_rows(environment, database_url, database, file, read, replace=replace)


@duplicates.command()
def keep(
    environment: Env,
    event: Annotated[UUID | None, typer.Argument(metavar="[EVENT]", help="The event's id.")] = None,
    reading: Reading = None,
    because: Annotated[str | None, typer.Option(metavar="TEXT", help="Why both are facts.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All pairs that are to be decided.")
    ] = False,
    by: By = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    yes: Yes = False,
) -> None:
    """Decide that both are facts; neither is touched, and the pair is not listed again."""
    if (event is None) != everything:
        raise UsageError("keep which pairs?", next_step="give an event's id, or --all")
    if because is None:
        raise UsageError("a decision needs a reason", next_step="say why: --because TEXT")
    with opened(environment, database_url, database, changes=not dry_run) as (connection, known):
        if event is None:
            found = room.listed(connection)
        else:
            found = (room.find(connection, event, reading),)
        action = f"keep both sides of {len(found):,} near matches"
        with deciding(connection, known, action, dry_run=dry_run, confirm=confirm, yes=yes):
            for pair in found:
                room.keep(connection, pair, because, decider=by)
    view.tell(f"{view.would(dry_run)}kept: {len(found):,}")


@duplicates.command()
def merge(
    environment: Env,
    event: Event,
    reading: Annotated[UUID, typer.Argument(metavar="READING", help="The reading's id.")],
    because: Annotated[str, typer.Option(metavar="TEXT", help="What is worth noting.")] = "",
    by: By = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    yes: Yes = False,
) -> None:
    """Decide that the event is a duplicate of the reading: it is voided, the reading stays.

    Rolling the data migration back un-voids it. A second time changes nothing.
    """
    with opened(environment, database_url, database, changes=not dry_run) as (connection, known):
        action = f"void event {event} as a duplicate of reading {reading}"
        with deciding(connection, known, action, dry_run=dry_run, confirm=confirm, yes=yes):
            decided = room.merge(connection, event, reading, because, decider=by)
    if decided.already:
        view.tell(f"merged before, nothing was changed: {event}")
        return
    view.tell(f"{view.would(dry_run)}merged: event {event} into reading {reading}")
