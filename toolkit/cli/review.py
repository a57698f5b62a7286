"""meterledger rejects: legacy rows that became no event, and what is decided about them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer

from toolkit.cli import review_view as view
from toolkit.cli import target
from toolkit.cli.confirm import Confirm, Yes
from toolkit.cli.console import print_json
from toolkit.cli.review_duplicates import duplicates
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
from toolkit.operations.review import mend
from toolkit.operations.review import rejects as room
from toolkit.operations.review.remaining import open_rejects
from toolkit.rollout.standing import Data, data

__all__ = ["duplicates", "rejects"]

rejects = typer.Typer(
    cls=ListByDefault,
    help="Legacy rows that became no event: list, show, export, correct, waive, retry. "
    "meterledger rejects ENV lists them.",
)

Reading = Annotated[UUID, typer.Argument(metavar="ID", help="The legacy row's id.")]
Readings = Annotated[
    list[UUID] | None, typer.Argument(metavar="[ID …]", help="The legacy rows' ids.")
]
ReasonIs = Annotated[
    str | None,
    typer.Option("--reason-is", metavar="TEXT", help="All rows rejected for it, as listed."),
]


@rejects.command("list")
def list_rejects(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    reason: ReasonIs = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Rejected rows by reason. Exit code 0: nothing is to be decided. 1: something is."""
    with opened(environment, database_url, database) as (connection, known):
        reasons = room.reasons(connection)
        found = room.listed(connection, reason=reason, limit=limit)
        left = open_rejects(connection)
        moved = data(connection)
    if as_json:
        print_json({**view.rejects_object(reasons, found, left), **view.data_object(moved, known)})
    else:
        if reasons or moved is Data.MOVED:
            view.print_rejects(reasons, found, left, known.words)
        view.print_data(moved, known.words)
    raise typer.Exit(EXIT_FINDINGS if left else EXIT_OK)


@rejects.command()
def show(
    environment: Env,
    reading: Reading,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    as_json: AsJson = False,
) -> None:
    """One rejected row, whole, and what to do about it. It holds personal data."""
    with opened(environment, database_url, database) as (connection, _):
        found = room.find(connection, reading)
    if as_json:
        print_json(view.reject_object(found, whole=True))
    else:
        view.print_reject(found)


@rejects.command("export")
def export_rejects(
    environment: Env,
    file: File,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    replace: Replace = False,
) -> None:
    """Write all rejected rows, whole, into a file that only you can read: CSV or JSON."""

    def read(connection: Connection) -> list[dict[str, Any]]:
        return [view.reject_object(row, whole=True) for row in room.listed(connection)]

    export_rows(environment, database_url, database, file, read, replace=replace)


@rejects.command()
def correct(
    environment: Env,
    reading: Reading,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="COLUMN=VALUE", help="A value to correct; repeatable."),
    ] = None,
    nulls: Annotated[
        list[str] | None,
        typer.Option("--null", metavar="COLUMN", help="A column to empty; repeatable."),
    ] = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    yes: Yes = False,
) -> None:
    """Correct the legacy row, so that it becomes an event; otherwise change nothing, and say why.

    One transaction: the forward sync has to migrate the row, or the correction is taken back.
    """
    given = _values(values or [], nulls or [])
    with opened(environment, database_url, database, changes=not dry_run) as (connection, known):
        found = room.find(connection, reading)
        view.print_changes(found, given)
        action = f"correct reading {reading}"
        with deciding(connection, known, action, dry_run=dry_run, confirm=confirm, yes=yes):
            corrected = mend.correct(connection, reading, given)
    view.tell(
        f"would be corrected and migrated; nothing was changed: {reading}"
        if dry_run
        else f"corrected and migrated: {reading} is event {corrected.event_id}"
    )


@rejects.command()
def waive(
    environment: Env,
    readings: Readings = None,
    reason: ReasonIs = None,
    because: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why they need not become events.")
    ] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take waivers back instead.")
    ] = False,
    by: By = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    yes: Yes = False,
) -> None:
    """Decide that rows need not become events: who, when and why are kept beside them."""
    if because is None and not withdraw:
        raise UsageError("a waiver needs a reason", next_step="say why: --because TEXT")
    with opened(environment, database_url, database, changes=not dry_run) as (connection, known):
        action = "withdraw waivers" if withdraw else "waive rejects"
        with deciding(connection, known, action, dry_run=dry_run, confirm=confirm, yes=yes):
            if withdraw:
                done = room.withdraw(connection, reading_ids=readings or None, reason=reason)
            else:
                done = room.waive(
                    connection,
                    because or "",
                    reading_ids=readings or None,
                    reason=reason,
                    decider=by,
                )
            left = open_rejects(connection)
    what = "to be decided again" if withdraw else "waived"
    view.tell(f"{view.would(dry_run)}{what}: {view.rows(len(done))}; {view.left(left)}")


@rejects.command()
def retry(
    environment: Env,
    readings: Readings = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were not waived.")] = False,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    confirm: Confirm = None,
    yes: Yes = False,
) -> None:
    """Try rows again as they are, for example after a profile was made.

    Exit code 0: all of them are events now. 1: some are rejected still.
    """
    if bool(readings) == everything:
        raise UsageError("retry which rows?", next_step="give ids, or --all")
    with opened(environment, database_url, database, changes=not dry_run) as (connection, known):
        action = "retry rejects"
        asked = deciding(
            connection, known, action, dry_run=dry_run, confirm=confirm, yes=yes, whole=False
        )
        with asked:  # in transactions of its own: all rejects may be many
            retried = mend.retry(connection, readings or None)
    if as_json:
        print_json({"dry_run": dry_run, **view.retried_object(retried)})
    else:
        view.print_retried(retried, dry_run, known.words)
    raise typer.Exit(EXIT_FINDINGS if retried.still else EXIT_OK)


def _values(assignments: list[str], nulls: list[str]) -> dict[str, str | None]:
    values: dict[str, str | None] = dict.fromkeys(nulls)
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator or not name or name in values:
            raise UsageError(
                f"--set {name or assignment} is not one column=value",
                next_step="write --set kwh_value=12.50; --null COLUMN empties a column",
            )
        values[name] = value
    return values
