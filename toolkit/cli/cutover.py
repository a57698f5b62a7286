"""meterledger cutover, cutback, contract: the switch from table to view, back, and its end."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from toolkit.cli import target
from toolkit.cli.confirm import Confirm, Yes, require_confirmation, require_name
from toolkit.cli.console import err, observing, print_json, printable, say
from toolkit.cli.cutover_view import (
    print_contract_plan,
    print_cutback_plan,
    print_cutback_report,
    print_cutover_plan,
    print_cutover_report,
)
from toolkit.errors import EXIT_FINDINGS, EXIT_OK
from toolkit.operations import cutover as operations
from toolkit.operations.cutover.back import BATCH_USERS, require_number
from toolkit.operations.cutover.contract import GRACE_DAYS, require_over
from toolkit.operations.cutover.report import TOPICS
from toolkit.operations.cutover.switch import ATTEMPTS, LOCK_TIMEOUT_SECONDS
from toolkit.operations.preflight import options

Plan = Annotated[
    bool, typer.Option("--plan", help="Say what would be done and what is in the way; only read.")
]
LockTimeout = Annotated[
    float,
    typer.Option(
        min=0.05, max=5, help="Seconds that an attempt waits for others, who then wait behind it."
    ),
]
Attempts = Annotated[int, typer.Option(min=1, max=100, help="How often the switch is tried.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def cutover(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    plan: Plan = False,
    acknowledge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOPIC",
            help="Vouch for what a view does not do; repeatable. "
            + "; ".join(f"{word}: {text}" for word, text in TOPICS.items()),
        ),
    ] = None,
    lock_timeout: LockTimeout = LOCK_TIMEOUT_SECONDS,
    attempts: Attempts = ATTEMPTS,
    yes: Yes = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Make electricity_readings a view over the events, in one short transaction.

    The table is kept as the archive, and cutback makes it the table again. Stopped or killed at
    any moment, it is the one or the other. Exit code 1: something is in the way, or was not
    acknowledged. 3: other sessions always came first, or the server refused.
    """
    where = target.find(environment, database_url, database)
    target.stop_if_elsewhere(where)
    name, words = where.environment.name, acknowledge or ()
    planned = operations.plan_cutover(where.url, words)
    if plan:
        if as_json:
            print_json(planned.as_object())
        else:
            print_cutover_plan(planned)
        raise typer.Exit(EXIT_OK if planned.standing or planned.ready else EXIT_FINDINGS)
    if planned.standing is None:
        operations.require_ready(planned, name)
        err.print(Text(f"{planned.database}: makes electricity_readings a view"), soft_wrap=True)
        require_confirmation(where.environment, "cut over", confirm, yes)
    with observing() as observer:
        report = operations.run_cutover(
            where.url,
            observer,
            environment=name,
            acknowledged=words,
            lock_timeout=lock_timeout,
            attempts=attempts,
        )
    if as_json:
        print_json(report.as_object())
    else:
        print_cutover_report(report)


def cutback(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    plan: Plan = False,
    set_aside: Annotated[
        int,
        typer.Option(
            min=0,
            help="The number of readings that the table cannot take back, exactly as the plan "
            "says; they stay as events, and are kept in ledger.set_aside.",
        ),
    ] = 0,
    batch_users: Annotated[
        int, typer.Option(min=1, help="Users whose readings are merged in one transaction.")
    ] = BATCH_USERS,
    lock_timeout: LockTimeout = LOCK_TIMEOUT_SECONDS,
    attempts: Attempts = ATTEMPTS,
    yes: Yes = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Make electricity_readings the table again, with every write since the cutover in it.

    Merges beside running writers, then switches in one short transaction. Stopped or killed, it
    goes on when it is given again. Exit code 1: the table cannot take readings back whose number
    was not given (--set-aside). 3: other sessions always came first, or the server refused.
    """
    where = target.find(environment, database_url, database)
    target.stop_if_elsewhere(where)
    name = where.environment.name
    planned = operations.plan_cutback(where.url)
    if plan:
        if as_json:
            print_json(planned.as_object())
        else:
            print_cutback_plan(planned)
        raise typer.Exit(EXIT_OK if planned.unfit_count == set_aside else EXIT_FINDINGS)
    if planned.standing is not None:
        require_number(planned, set_aside, name)
        err.print(Text(f"{planned.database}: makes electricity_readings a table"), soft_wrap=True)
        require_confirmation(where.environment, "cut back", confirm, yes)
    with observing() as observer:
        report = operations.run_cutback(
            where.url,
            observer,
            environment=name,
            set_aside=set_aside,
            batch_users=batch_users,
            lock_timeout=lock_timeout,
            attempts=attempts,
        )
    if as_json:
        print_json(report.as_object())
    else:
        print_cutback_report(report)


def contract(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    plan: Plan = False,
    grace_days: Annotated[
        int, typer.Option(min=0, help="Days that the archive has to be kept after the cutover.")
    ] = GRACE_DAYS,
    lock_timeout: LockTimeout = LOCK_TIMEOUT_SECONDS,
    attempts: Attempts = ATTEMPTS,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Drop the rows of the archived table, for good. cutback stays possible, from the events.

    Wants the environment's name typed (or --confirm ENV), a fresh verified backup, and the days
    of grace to be over. Exit code 1: something speaks for keeping the archive.
    """
    where = target.find(environment, database_url, database)
    target.stop_if_elsewhere(where)
    known = where.environment
    chosen = options(known.name, protected=True, backup_folder=known.backup_folder)
    planned = operations.plan_contract(where.url, chosen, grace_days=grace_days)
    if plan:
        if as_json:
            print_json(planned.as_object())
        else:
            print_contract_plan(planned)
        raise typer.Exit(EXIT_FINDINGS if planned.obstacles else EXIT_OK)
    if not planned.done:
        require_over(planned)
        err.print(
            Text(
                f"{planned.database}: {planned.rows:,} archived rows go; {planned.rejected:,} of "
                "them are then in ledger.migration_rejects and the backup alone"
            ),
            soft_wrap=True,
        )
        require_name(known, "drop the archived table's rows for good", confirm)
    with observing() as observer:
        report = operations.run_contract(
            where.url,
            chosen,
            observer,
            grace_days=grace_days,
            lock_timeout=lock_timeout,
            attempts=attempts,
        )
    if as_json:
        print_json(report.as_object())
    elif report.already:
        say("nothing to do: the archive was emptied before")
    else:
        say(Text(printable(f"dropped {report.rows:,} archived rows")))
