"""Environments that a mere yes does not change: their name has to be typed."""

from __future__ import annotations

from toolkit.errors import UsageError
from toolkit.settings import CONFIRM, Environment


def protected(environment: Environment) -> bool:
    """Whether a change of it must be confirmed by its name."""
    return environment.protection == CONFIRM


def confirm(environment: Environment, action: str, typed: str | None) -> None:
    """Let a change of an environment through, or stop it.

    Args:
        environment: what would be changed.
        action: what would be done to it, for the message: 'deploy', 'roll back'.
        typed: the name that the operator typed, by --confirm or when asked; None: none was.

    Raises:
        UsageError: it is protected and no name was typed, or another environment's name was,
            which stops an open one too: the operator means something else.
    """
    if typed is not None and typed != environment.name:
        raise UsageError(
            f"{action}: {environment.name} was meant to be confirmed, and another name was typed",
            next_step=f"type {environment.name}, exactly, if that is the one you mean",
        )
    if typed is None and protected(environment):
        raise UsageError(
            f"{action}: {environment.name} is protected and was not confirmed",
            next_step=f"add --confirm {environment.name} (--yes is not enough)",
        )
