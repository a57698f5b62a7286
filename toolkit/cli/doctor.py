"""meterledger doctor: known troubles of a rolled-out database, and their exact repairs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from toolkit.cli import target
from toolkit.cli.confirm import Confirm, Yes, require_confirmation
from toolkit.cli.console import observing, print_json, printable, say
from toolkit.connection import connect, redact
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, named
from toolkit.operations.doctor import (
    Check,
    Diagnosis,
    Outcome,
    Question,
    State,
    Treatment,
    Trouble,
    diagnose,
    treat,
)

_STYLES = {Outcome.FIXED: "green", Outcome.FAILED: "bold red", Outcome.REMAINS: "yellow"}


def doctor(
    environment: target.Environment = None,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Apply the repairs that are safe; the others are listed."),
    ] = False,
    yes: Yes = False,
    confirm: Confirm = None,
    idle_seconds: Annotated[
        float,
        typer.Option(min=0, help="How long a lock's holder may be idle before it is a trouble."),
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Recognise half-applied phases, lost grants, broken indexes, orphaned locks and the like.

    Says how far the rollout is and prints the exact repair of each trouble. Exit code 0: nothing
    is found, or all of it was fixed; a rollout that has not begun or was rolled back on purpose is
    no trouble. 1: something was found and not fixed.
    """
    where = target.find(environment, database_url, database, changes=fix)
    question = Question(idle_seconds)
    treatments: tuple[Treatment, ...] = ()
    with connect(where.url, autocommit=True, application_name="meterledger doctor") as connection:
        target.require_recorded(connection, where.environment)
        with observing() as observer:
            observer.step("doctor")

            def told(check: Check, found: int) -> None:
                observer.note(f"{f'{found} found' if found else 'ok'}: {check.title}")

            diagnosis = diagnose(connection, question, on_check=told)
        safe = [trouble for trouble in diagnosis.troubles if trouble.safe]
        if fix and safe:
            for trouble in safe:
                typer.echo(f"  {_line(trouble, where.words)}", err=True)
            require_confirmation(
                where.environment, f"apply {len(safe)} repairs to it", confirm, yes
            )
            diagnosis, treatments = treat(connection, diagnosis, question)
    if as_json:
        print_json(_object(diagnosis, treatments, where.words))
    else:
        _print(diagnosis, treatments, where.words)
    raise typer.Exit(EXIT_OK if diagnosis.well else EXIT_FINDINGS)


def _print(diagnosis: Diagnosis, treatments: tuple[Treatment, ...], environment: str) -> None:
    for treatment in treatments:
        text = f"{treatment.outcome}: {printable(treatment.trouble.text)}"
        say(Text(text, style=_STYLES[treatment.outcome]))
        if treatment.detail:
            say(Text(f"  the server refused: {printable(redact(treatment.detail))}"))
    for trouble in diagnosis.troubles:
        say(Text(f"found: {printable(redact(trouble.text))} [{trouble.name}]", style="bold"))
        how = "safe, --fix does it" if trouble.safe else "look at it first"
        say(Text(f"  repair ({how}): {_repair(trouble, environment)}"))
    for name, reason in diagnosis.unseen:
        say(Text(f"could not look: {name}: {printable(reason)}", style="yellow"))
    if diagnosis.well and diagnosis.checks:
        checks = len(diagnosis.checks)
        say(Text(f"{diagnosis.database} is well: {checks} kinds of trouble, none found"))
    say(Text(f"state: {printable(diagnosis.state.text)}"))
    # Where something was found, its repair comes first.
    if diagnosis.well and diagnosis.state.next_step:
        say(Text(f"next: {named(diagnosis.state.next_step, environment)}"))


def _object(
    diagnosis: Diagnosis, treatments: tuple[Treatment, ...], environment: str
) -> dict[str, object]:
    return {
        "database": diagnosis.database,
        "well": diagnosis.well,
        "state": _state(diagnosis.state, environment),
        "checks": list(diagnosis.checks),
        "troubles": [_trouble(trouble, environment) for trouble in diagnosis.troubles],
        "treatments": [
            {
                **_trouble(one.trouble, environment),
                "outcome": one.outcome.value,
                "detail": redact(one.detail),
            }
            for one in treatments
        ],
        "unseen": [{"check": name, "reason": redact(reason)} for name, reason in diagnosis.unseen],
        "seconds": round(diagnosis.seconds, 3),
    }


def _state(state: State, environment: str) -> dict[str, object]:
    when = state.rolled_back_at
    return {
        "extent": state.extent.name.lower(),
        "text": state.text,
        "missing": list(state.missing),
        "data": state.data.value,
        "rolled_back_at": None if when is None else when.isoformat(),
        "next_step": named(state.next_step, environment) or None,
    }


def _trouble(trouble: Trouble, environment: str) -> dict[str, object]:
    return {
        "check": trouble.name,
        "finding": redact(trouble.text),
        "repair": _repair(trouble, environment),
        "safe": trouble.safe,
    }


def _line(trouble: Trouble, environment: str) -> str:
    return f"{printable(trouble.text)}: {_repair(trouble, environment)}"


def _repair(trouble: Trouble, environment: str) -> str:
    """The repair as it is to be typed, for this environment."""
    text = trouble.repair
    if not trouble.sql:
        text = named(text, environment)
    return printable(redact(text))
