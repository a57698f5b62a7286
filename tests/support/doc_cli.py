"""Holds a command of the documentation to the real command line: parsed, never run."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import typer

from toolkit.cli import app

# What pages write where a reader puts something of their own.
_ID = "00000000-0000-4000-8000-000000000000"
_PLACEHOLDERS = {"ID": _ID, "EVENT": _ID, "READING": _ID, "N": "1", "HANDLER": "health"}
_MORE = "…"


def top_level() -> frozenset[str]:
    """The commands and groups right after `meterledger`."""
    return frozenset(_tree().commands)


def complaint(words: list[str], *, mention: bool = False) -> str | None:
    """Why the command line would not take these words; None: it would.

    Args:
        words: after `meterledger`.
        mention: the words speak of a command, and may leave out what it must be given.
    """
    try:
        command, further = command_of(_filled(words))
        if hasattr(command, "commands"):
            return None if mention else "it wants a command"
        _parse(command, further, mention=mention)
    except Exception as error:
        # The parser's own errors know how to show themselves; everything else is a bug here.
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())
    return None


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words after `meterledger` call, or the group, and the words for it."""
    command, name, rest = _tree(), "meterledger", words
    context: Any = None
    while hasattr(command, "commands") and rest:
        context = command.make_context(name, list(rest), parent=context)
        left = [*getattr(context, "_protected_args", []), *context.args]
        name, command, rest = command.resolve_command(context, left)
    return command, list(rest)


@cache
def _tree() -> Any:  # noqa: ANN401 - typer's own or click's, by its version
    return typer.main.get_command(app)


def _parse(command: Any, words: list[str], *, mention: bool) -> None:  # noqa: ANN401
    required = [parameter for parameter in command.params if parameter.required and mention]
    for parameter in required:
        parameter.required = False
    try:
        command.make_context(str(command.name), words)
    finally:
        for parameter in required:
            parameter.required = True


def _filled(words: list[str]) -> list[str]:
    """The words with something in the place of each placeholder."""
    filled: list[str] = []
    for word in words:
        bare = re.fullmatch(r"\[(\w+)\]", word)
        if word != _MORE:
            filled.append(_PLACEHOLDERS.get(bare[1] if bare else word, word))
        elif filled and filled[-1].startswith("--"):
            filled.append("something")
    return filled
