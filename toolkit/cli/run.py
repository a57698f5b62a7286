"""meterledger run: one of the scheduled handlers, here and now."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from functions.entry import Entry
from functions.health.main import entry as health
from functions.prune.main import entry as prune
from functions.refresh_readings.main import entry as refresh_readings
from functions.runtime import Config, HandlerError, Result
from functions.runtime import Run as HandlerRun
from functions.verify_readings.main import entry as verify_readings
from toolkit import settings
from toolkit.cli import target
from toolkit.cli.console import print_json, printable, say
from toolkit.connection import redact
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, OperationalError, UsageError

ENTRIES: dict[str, Entry] = {
    entry.name: entry for entry in (refresh_readings, verify_readings, prune, health)
}


class Handler(StrEnum):
    """The handlers by name."""

    REFRESH = refresh_readings.name
    VERIFY = verify_readings.name
    PRUNE = prune.name
    HEALTH = health.name


# Those of a handler's variables that no environment's file has a name for.
_FURTHER = (
    *("METERLEDGER_ALERT_URL", "METERLEDGER_PERIOD_SECONDS", "METERLEDGER_DEAD_PERIODS"),
    *("METERLEDGER_TIMEOUT_SECONDS", "METERLEDGER_VIA"),
)


def run(
    handler: Annotated[Handler, typer.Argument(help="Which one.")],
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Run a scheduled handler once, as a platform's timer would.

    Through the REST API where the environment has SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY,
    else through DATABASE_URL. Exit code 0: done, or not needed. 1: the audit found differences,
    the health is not good, or an alert could not be delivered. 3: it failed.
    """
    config = _config(environment, database_url, database)
    entry = ENTRIES[handler.value]
    status, result = entry.run(
        HandlerRun(
            entry.name, config, trigger="cli", write=lambda line: typer.echo(redact(line), err=True)
        )
    )
    if result.get("outcome") == "failed":
        raise OperationalError(
            f"{entry.name} failed: {result['reason']}",
            next_step="see the lines above and docs/scheduled.md; nothing is left half done, so "
            "run it again",
        )
    if as_json:
        print_json(result | {"status": status})
    else:
        _show(result)
    bad = status != 200 or result.get("differences")
    raise typer.Exit(EXIT_FINDINGS if bad else EXIT_OK)


def _config(environment: str | None, database_url: str | None, database: str | None) -> Config:
    """What the handler is told: the environment's variables, as a platform would set them.

    Raises:
        UsageError: there is no such environment, or it says neither way to the database.
        OperationalError: the local server does not run.
    """
    further = {name: word for name in _FURTHER if (word := settings.variable(name))}
    named = environment not in (None, settings.LOCAL) and database_url is None
    known = settings.environment(str(environment)) if named else None
    if known is not None and known.api_url and known.service_key:
        said = {
            "SUPABASE_URL": known.api_url,
            "SUPABASE_SERVICE_ROLE_KEY": known.service_key,
            "DATABASE_URL": known.database_url or "",
        }
    else:
        where = target.find(environment, database_url, database)
        target.stop_if_elsewhere(where)
        said = {"DATABASE_URL": where.url}
    try:
        return Config.load({**said, **further})
    except HandlerError as error:
        raise UsageError(str(error), next_step="see the variables in docs/scheduled.md") from error


def _show(result: Result) -> None:
    for name, value in result.items():
        if name not in ("handler", "request_id"):
            say(Text(printable(f"{name.replace('_', ' ')}: {value}")))
