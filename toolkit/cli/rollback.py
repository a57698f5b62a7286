"""meterledger rollback: takes the rollout back, and says first what would be lost."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from toolkit.cli import target
from toolkit.cli.confirm import Confirm, Yes, require_confirmation
from toolkit.cli.console import err, observing, print_json, print_table, printable, say
from toolkit.connection import connect
from toolkit.environments.record import require
from toolkit.errors import EXIT_FINDINGS, EXIT_OK
from toolkit.operations.backfill import BackfillOptions
from toolkit.operations.rollback import (
    Fate,
    RollbackPlan,
    plan_rollback,
    require_allowed,
    run_rollback,
)


def rollback(
    environment: target.Environment = None,
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="data: the data migration alone; a phase's version or name: the last one that "
            "stays; nothing: all of it.",
        ),
    ],
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what would be taken back and lost, and change nothing."),
    ] = False,
    allow_loss: Annotated[
        int | None,
        typer.Option(min=1, help="The number of rows that may be lost, exactly as the plan says."),
    ] = None,
    share: Annotated[
        float,
        typer.Option(help="Of the time that may be work while the data goes back; 1: no rests."),
    ] = 0.5,
    yes: Yes = False,
    confirm: Confirm = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Take the rollout back: the data first, in batches of whole users, then the schema by phases.

    Stops before anything where rows would be lost that exist nowhere else. Interrupted, it goes
    on when it is given again. Exit code of --plan: 0 where nothing would be lost, else 1.
    """
    pace = BackfillOptions(share=share)
    where = target.find(environment, database_url, database, changes=not plan)
    with connect(where.url, autocommit=True) as connection:
        require(connection, where.environment.name)
    planned = plan_rollback(where.url, to)
    if plan:
        if as_json:
            print_json(planned.as_object())
        else:
            _show(planned)
        raise typer.Exit(EXIT_FINDINGS if planned.lost or planned.obstacles else EXIT_OK)
    require_allowed(planned, allow_loss)
    if planned.steps:
        names = ", ".join(step.phase.name for step in planned.steps)
        err.print(Text(f"{planned.database}: takes back {names}"), soft_wrap=True)
        lost = f", losing {planned.lost:,} rows" if planned.lost else ""
        require_confirmation(
            where.environment, f"roll back {len(planned.steps)} phases{lost}", confirm, yes
        )
    with observing() as observer:
        report = run_rollback(where.url, to, observer, allow_loss=allow_loss, pace=pace)
    if as_json:
        print_json(report.as_object())
    else:
        done = ", ".join(report.undone) or "nothing: it was all taken back before"
        say(Text(printable(f"taken back: {done}")))
        say(f"lost: {f'{report.plan.lost:,} rows' if report.plan.lost else 'nothing'}")
    raise typer.Exit(EXIT_OK)


def _show(planned: RollbackPlan) -> None:
    if not planned.steps:
        say("nothing to take back")
        return
    print_table(
        f"rollback of {planned.database}",
        ("step", "takes back"),
        [(number, step.title) for number, step in enumerate(planned.steps, 1)],
    )
    for held in planned.holdings:
        style = "bold red" if held.fate is Fate.LOST else ""
        say(Text(f"{held.fate.value:>10}: {held.count:,} {held.title}", style=style))
    for obstacle in planned.obstacles:
        say(Text(printable(f"it cannot be done: {obstacle.text}"), style="bold red"))
        say(Text(printable(f"  next: {obstacle.next_step}")))
    if not planned.obstacles:
        lost = f"[bold red]{planned.lost:,} rows[/]" if planned.lost else "[bold green]nothing[/]"
        say(f"lost: {lost}")
