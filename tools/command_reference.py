"""What docs/reference/commands.md says: every command of meterledger, as its --help does."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterator
from typing import Any, get_args

import typer

from toolkit import settings
from toolkit.cli import app
from toolkit.environments.file import TEMPLATE

PROGRAM = "meterledger"
# Filled by --help itself; on every command.
_HELP = "help"
_HEADER = (
    "# Commands\n\n"
    "Written by `make reference` from every command's `--help`; a test compares.\n\n"
    "Exit codes of every command: 0 fine; 1 findings; 2 typed or configured wrongly; 3 the outside "
    "world refused, or the ground is missing; 130 interrupted. By symptom: "
    "[errors.md](../errors.md), [troubleshooting.md](../troubleshooting.md).\n"
)
# In the docstring of the settings: "name: VARIABLE, text."
_OF_THE_PROCESS = re.compile(r"\w+: (?P<name>METERLEDGER_[A-Z_]+), (?P<text>.*?)\.(?= \w+: |$)")
_VARIABLES = (
    "Of the process, which wins, or of `.env.<name>`: [environments.md](../environments.md). "
    "The handlers' own: [scheduled.md](../scheduled.md#configuration)."
)
_WORDS: dict[object, str] = {bool: "", str: "TEXT", int: "NUMBER", float: "NUMBER"}


def command_reference() -> str:
    """The whole page."""
    parts = [_HEADER, _variables()]
    parts += [_section(words, command) for words, command in commands()]
    return "\n".join(parts)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command and group of commands with its words, in the order of --help."""

    def walk(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - typer's own or click's, by its version
        for name, further in getattr(command, "commands", {}).items():
            if not further.hidden:
                yield (*words, name), further
                yield from walk((*words, name), further)

    yield from walk((), typer.main.get_command(app))


def _section(words: tuple[str, ...], command: Any) -> str:  # noqa: ANN401
    title = f"{'#' * (1 + len(words))} {PROGRAM} {' '.join(words)}\n"
    parts = [title, _paragraphs(command.help or "")]
    if hasattr(command, "commands"):
        names = ", ".join(f"`{name}`" for name in command.commands)
        return "\n".join([*parts, f"Commands: {names}.\n"])
    context = command.context_class(command, info_name=" ".join((PROGRAM, *words)))
    shown = [p for p in command.get_params(context) if not p.hidden and p.name != _HELP]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    usage = " ".join([PROGRAM, *words, *map(_argument, arguments), "[OPTIONS]" if shown else ""])
    rows = [f"| {_names(p)} | {_meaning(p)} |" for p in shown]
    table = "\n".join(["| | |", "|---|---|", *rows, ""]) if rows else ""
    return "\n".join([*parts, f"```text\n{usage.strip()}\n```\n", *([table] if table else [])])


def _argument(parameter: Any) -> str:  # noqa: ANN401
    name = _metavar(parameter).strip("[]")
    return name if parameter.required else f"[{name}]"


def _metavar(parameter: Any) -> str:  # noqa: ANN401
    if parameter.metavar:
        return str(parameter.metavar)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    annotation = parameter.type_descriptor.annotation
    (kind,) = get_args(annotation)[:1] or (annotation,)
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return _choices(kind)
    return _WORDS.get(kind, str(getattr(kind, "__name__", "TEXT")).upper())


def _names(parameter: Any) -> str:  # noqa: ANN401
    if parameter.param_type_name == "argument":
        return f"`{_escaped(_argument(parameter))}`"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    metavar = "" if parameter.is_flag else _metavar(parameter)
    return _escaped(f"{names} `{metavar}`" if metavar else names)


def _meaning(parameter: Any) -> str:  # noqa: ANN401
    said = " ".join((parameter.help or "").split())
    notes = ", ".join(_notes(parameter))
    return _escaped(f"{said} ({notes})" if notes else said)


def _notes(parameter: Any) -> Iterator[str]:  # noqa: ANN401
    if parameter.param_type_name == "argument":
        annotation = parameter.type_descriptor.annotation
        if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
            yield f"one of {_choices(annotation)}"
        return
    if parameter.required:
        yield "required"
    if parameter.min is not None:
        yield f"at least {parameter.min}"
    if parameter.max is not None:
        yield f"at most {parameter.max}"
    default = parameter.default
    if parameter.is_flag:
        default = parameter.opts[0] if default and parameter.secondary_opts else None
    if default not in (None, "", (), []):
        yield f"default {default.value if isinstance(default, enum.Enum) else default}"


def _choices(kind: type[enum.Enum]) -> str:
    return "|".join(str(choice.value) for choice in kind)


def _variables() -> str:
    """The variables that are read: the words of `env init`, and of the settings themselves."""
    rows = [f"| `{name}` | {_escaped(known.text)}. |" for name, known in TEMPLATE.items()]
    ours = (inspect.getdoc(settings.Settings) or "").partition("Attributes:\n")[2]
    for match in _OF_THE_PROCESS.finditer(" ".join(ours.split())):
        text = f"{match['text'][:1].upper()}{match['text'][1:]}"
        rows.append(f"| `{match['name']}`, of the process or `.env` | {_escaped(text)}. |")
    return f"## Environment variables\n\n{_VARIABLES}\n\n| | |\n|---|---|\n{_lines(rows)}\n"


def _lines(rows: list[str]) -> str:
    return "\n".join(rows)


def _paragraphs(text: str) -> str:
    """A docstring with a paragraph a line."""
    return "\n\n".join(_escaped(" ".join(part.split())) for part in text.split("\n\n")) + "\n"


def _escaped(text: str) -> str:
    """For a cell of a table: no bar ends it, and what looks like a tag is none."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)
