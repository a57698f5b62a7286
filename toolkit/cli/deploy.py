"""meterledger deploy: the phases, applied under one lock, each verified and recorded."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Annotated, NoReturn

import typer

from toolkit import settings
from toolkit.cli import target
from toolkit.cli.confirm import Confirm, Yes, require_confirmation
from toolkit.cli.console import observing, print_json
from toolkit.cli.deploy_view import (
    plan_object,
    print_plan,
    print_report,
    print_sql,
    report_object,
)
from toolkit.cli.zones import known_zone
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from toolkit.operations.deploy import DeployOptions, plan_deploy, run_deploy
from toolkit.operations.deploy.guard import require_few_at_once
from toolkit.operations.deploy.options import LOCK_TIMEOUT_SECONDS, RETRIES, WAIT_SECONDS


def deploy(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would be applied; change nothing.")
    ] = False,
    show_sql: Annotated[bool, typer.Option("--sql", help="With --plan: the SQL itself.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="With --plan: don't connect, show every file.")
    ] = False,
    time_zone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="The app's time zone, where a day begins, for example Asia/Jakarta; also taken "
            "from METERLEDGER_TIME_ZONE of .env.<ENV>.",
        ),
    ] = None,
    defer_backfill: Annotated[
        bool,
        typer.Option("--defer-backfill", help="Leave the data to meterledger backfill."),
    ] = False,
    in_one_transaction: Annotated[
        bool,
        typer.Option(
            "--in-one-transaction",
            help="Move the data with the deploy, however many rows: all their writers wait.",
        ),
    ] = False,
    through: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Stop after this version.")
    ] = None,
    lock_timeout: Annotated[
        float,
        typer.Option(min=0.05, help="Seconds to wait for a lock before giving way; 5 at most."),
    ] = LOCK_TIMEOUT_SECONDS,
    retries: Annotated[int, typer.Option(min=1, help="How often each file is tried.")] = RETRIES,
    wait: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait for an earlier push that still works."),
    ] = WAIT_SECONDS,
    yes: Yes = False,
    confirm: Confirm = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Apply the phases that a database has not had: one deploy at a time, file by file.

    Refuses edited, mixed and unknown files, a wrong environment, a transaction pooler. Each file
    is pushed by the Supabase CLI, verified and recorded with its checksum. Stopped or killed at
    any moment, the next deploy continues it. Exit code 1: a file must not be pushed, or one does
    not hold. 3: another deploy is at work, or the server refused.
    """
    if (show_sql or offline) and not plan:
        raise UsageError("--sql and --offline go with --plan", next_step="add --plan")
    usual = DeployOptions(defer_backfill=defer_backfill, one_transaction=in_one_transaction)
    if plan and offline:
        name = environment or settings.LOCAL
        _show(None, name, through, usual, show_sql=show_sql, as_json=as_json)
    where = target.find(environment, database_url, database, changes=not plan)
    name = where.environment.name
    if plan:
        _show(where.url, name, through, usual, show_sql=show_sql, as_json=as_json)
    zone = time_zone or where.environment.time_zone
    options = replace(
        usual,
        environment=name,
        time_zone=known_zone(zone) if zone else None,
        through=through,
        lock_timeout=lock_timeout,
        retries=retries,
        wait=wait,
    )
    if not _own_server(environment, database_url):
        _ask(where, options, confirm, yes)
    with observing() as observer, _terminated_like_interrupted():
        report = run_deploy(where.url, options, observer)
    if as_json:
        print_json(report_object(report))
    else:
        print_report(report)


def _show(
    url: str | None,
    name: str,
    through: str | None,
    options: DeployOptions,
    *,
    show_sql: bool,
    as_json: bool,
) -> NoReturn:
    """Print the plan; exit code 1 where the deploy would refuse, 2 where it lacks an option."""
    found = plan_deploy(url, through=through, environment=name)
    if as_json:
        print_json(plan_object(name, found, sql=show_sql))
    elif show_sql:
        print_sql(found)
    else:
        print_plan(name, found)
    require_few_at_once(found.rows_at_once, options)
    raise typer.Exit(EXIT_FINDINGS if found.refusals else EXIT_OK)


def _own_server(environment: str | None, database_url: str | None) -> bool:
    """Whether it is the server in the data folder, and no URL that goes by no name."""
    if database_url is not None or environment not in (None, settings.LOCAL):
        return False
    return environment == settings.LOCAL or settings.load().database_url is None


def _ask(where: target.Target, options: DeployOptions, confirm: str | None, yes: bool) -> None:
    """Ask, unless there is nothing to apply."""
    planned = plan_deploy(where.url, through=options.through, environment=options.environment)
    require_few_at_once(planned.rows_at_once, options)
    count = len(planned.pending)
    if count or planned.adoptable:
        what = f"deploy {count} file{'' if count == 1 else 's'}"
        require_confirmation(where.environment, what, confirm, yes)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM, as CI sends it, ends a deploy as Ctrl-C does: with the CLI and its statement."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
