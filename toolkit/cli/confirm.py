"""Asks before something is changed: y/N, or the environment's name where it is protected."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from toolkit.environments import protection
from toolkit.errors import EXIT_FINDINGS, UsageError
from toolkit.settings import Environment

Confirm = Annotated[
    str | None,
    typer.Option(
        "--confirm",
        metavar="ENV",
        help="The environment's name once more: what a protected one wants before it is changed.",
    ),
]
Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Don't ask. A protected environment wants --confirm ENV."),
]


def require_confirmation(
    environment: Environment, action: str, confirm: str | None, yes: bool
) -> None:
    """Ask the operator, unless the options answer already; return when it may be done.

    Args:
        environment: what would be changed.
        action: what would be done to it, an imperative: 'deploy 3 phases to it'.
        confirm: the option --confirm.
        yes: the option --yes, which is enough for an open environment only.

    Raises:
        UsageError: the wrong name was typed, or there is nobody to ask.
        typer.Exit: the operator said no.
    """
    if confirm is not None or (yes and not protection.protected(environment)):
        protection.confirm(environment, action, confirm)
        return
    if not _somebody_is_there():
        # A protected environment's own words; an open one would be let through by them.
        protection.confirm(environment, action, None)
        raise UsageError(
            f"{action}: {environment.name} would be changed, and there is nobody to ask",
            next_step="say --yes to allow it",
        )
    if protection.protected(environment):
        typer.echo(f"{action}: {environment.name} is protected.", err=True)
        typed = typer.prompt("Type its name to go on", default="", show_default=False, err=True)
        protection.confirm(environment, action, typed.strip())
    elif not typer.confirm(f"{action}: change {environment.name}?", err=True):
        typer.echo("nothing was done", err=True)
        raise typer.Exit(EXIT_FINDINGS)


def require_name(environment: Environment, action: str, confirm: str | None) -> None:
    """Ask for the environment's name, protected or not: for what nothing takes back.

    Args:
        environment: what would be changed.
        action: what would be done to it, an imperative.
        confirm: the option --confirm.

    Raises:
        UsageError: the wrong name was typed, or there is nobody to ask.
    """
    if confirm is None and not _somebody_is_there():
        raise UsageError(
            f"{action}: {environment.name} has to be named, and there is nobody to ask",
            next_step=f"add --confirm {environment.name}",
        )
    if confirm is None:
        typer.echo(f"{action}: nothing takes this back.", err=True)
        typed = typer.prompt("Type the name to go on", default="", show_default=False, err=True)
        confirm = typed.strip()
    protection.confirm(environment, action, confirm)


def _somebody_is_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
