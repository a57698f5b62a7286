"""meterledger duplicates: events that state almost what a reading states; a person decides."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from toolkit.cli import review_view as view
from toolkit.cli import target
from toolkit.cli.confirm import Confirm, Yes, require_confirmation
from toolkit.cli.console import print_json
from toolkit.cli.review_target import (
    AsJson,
    By,
    DryRun,
    Env,
    File,
    Limit,
    ListByDefault,
    Replace,
    opened,
)
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from toolkit.operations.review import export
from toolkit.operations.review import matches as room

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
    with opened(environment, database_url, database) as (connection, _):
        found = room.listed(connection, limit=max(limit, 1))
    count = found[0].matches if found else 0
    if as_json:
        print_json(view.matches_object(found[:limit], count))
    else:
        view.print_matches(found[:limit], count)
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
    export.check(file, replace=replace)
    with opened(environment, database_url, database) as (connection, _), connection.transaction():
        found = [room.with_sides(connection, pair) for pair in room.listed(connection)]
    export.write(file, [view.match_object(pair) for pair in found], replace=replace)
    view.warn_exported(file, len(found))


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
        if not dry_run:
            action = f"keep both sides of {len(found):,} near matches"
            require_confirmation(known, action, confirm, yes)
        with connection.transaction(force_rollback=dry_run):
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
        if not dry_run:
            action = f"void event {event} as a duplicate of reading {reading}"
            require_confirmation(known, action, confirm, yes)
        with connection.transaction(force_rollback=dry_run):
            decided = room.merge(connection, event, reading, because, decider=by)
    if decided.already:
        view.tell(f"merged before, nothing was changed: {event}")
        return
    view.tell(f"{view.would(dry_run)}merged: event {event} into reading {reading}")
