"""Which public objects are the rollout's: those that a phase file makes, read from the files.

Of a table that the app had before, only what the phases promise: the rest is the app's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from toolkit.rollout.phases import Phase, phases

_NAME = r"(?:if not exists )?(?P<name>(?:public|ledger)\.\"?\w+)"
_MADE = re.compile(
    rf"\b(?:create|replace) (?P<kind>table|view|materialized view|function|type) {_NAME}", re.I
)
_INDEX = re.compile(
    r"\bcreate (?:unique )?index (?:concurrently )?(?:if not exists )?(?P<name>\w+)\s+"
    r"on (?P<table>\w+\.\w+)",
    re.I,
)
_TRIGGER = re.compile(
    r"\bcreate (?:or replace )?trigger (?P<name>\w+)\s+(?:before|after)[^;]*?\son "
    r"(?P<table>\w+\.\w+)",
    re.I,
)
_CONSTRAINT = re.compile(r"\balter table (?P<table>\w+\.\w+)(?P<actions>[^;]*)", re.I)
_ADDED_CONSTRAINT = re.compile(r"\badd constraint (?P<name>\w+)", re.I)
_ADDED_COLUMN = re.compile(r"\badd column (?:if not exists )?(?P<name>\w+)", re.I)
_TABLE = re.compile(r"\bcreate table if not exists (?P<table>\w+\.\w+) \((?P<body>.*?)\n\)", re.S)
_COLUMN = re.compile(r"^  (?P<name>(?!constraint|primary|foreign|unique|check)\w+) \S", re.M)
_COMMENT = re.compile(r"--[^\n]*")
# Views and functions that stand in a body, which makes them at a cutover and not with its phase.
AT_CUTOVER = frozenset({"public.electricity_readings", "public.user_profiles", "public.user_id"})


@dataclass(frozen=True, order=True)
class Made:
    """An object that a phase file makes.

    Attributes:
        kind: table, view, materialized view, function, type, index, trigger or constraint.
        name: schema-qualified; of triggers and constraints the bare name.
        table: whose index, trigger or constraint it is.
    """

    kind: str
    name: str
    table: str = ""


@dataclass(frozen=True)
class Scope:
    """All that the phases make.

    Attributes:
        objects: see Made.
        columns: by table, those that the phases name.
        added: (table, column) that a phase adds to a table that may be there already.
    """

    objects: frozenset[Made]
    columns: dict[str, frozenset[str]]
    added: frozenset[tuple[str, str]]

    def has(self, kind: str, name: str) -> bool:
        """Whether a phase makes an object of that kind and name."""
        return any(made.kind == kind and made.name == name for made in self.objects)

    def relation(self, name: str) -> bool:
        """Whether a phase makes a table or view of that name."""
        return any(self.has(kind, name) for kind in ("table", "view", "materialized view"))


def made_by(phase: Phase) -> tuple[Made, ...]:
    """What one phase file makes, sorted."""
    text = _text(phase)
    found = {
        Made(match["kind"].lower(), match["name"].replace('"', ""))
        for match in _MADE.finditer(text)
        if not (match["kind"].lower() in ("function", "view") and match["name"] in AT_CUTOVER)
    }
    for match in _INDEX.finditer(text):
        schema = match["table"].partition(".")[0]
        found.add(Made("index", f"{schema}.{match['name']}", match["table"]))
    found |= {Made("trigger", m["name"], m["table"]) for m in _TRIGGER.finditer(text)}
    for match in _CONSTRAINT.finditer(text):
        for added in _ADDED_CONSTRAINT.finditer(match["actions"]):
            found.add(Made("constraint", added["name"], match["table"]))
    return tuple(sorted(found))


@cache
def scope() -> Scope:
    """The scope of all phases."""
    return scope_of(phases())


def scope_of(wanted: Iterable[Phase]) -> Scope:
    """The scope of some phases."""
    objects: set[Made] = set()
    columns: dict[str, set[str]] = {}
    added: set[tuple[str, str]] = set()
    for phase in wanted:
        objects |= set(made_by(phase))
        text = _text(phase)
        for match in _TABLE.finditer(text):
            names = {column["name"] for column in _COLUMN.finditer(match["body"])}
            columns.setdefault(match["table"], set()).update(names)
        for match in _CONSTRAINT.finditer(text):
            names = {column["name"] for column in _ADDED_COLUMN.finditer(match["actions"])}
            columns.setdefault(match["table"], set()).update(names)
            added |= {(match["table"], name) for name in names}
    named = {table: frozenset(names) for table, names in columns.items()}
    return Scope(frozenset(objects), named, frozenset(added))


def file_of(name: str) -> str | None:
    """The newest phase file that says a name; None where none does."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    for phase in reversed(phases()):
        if word.search(_text(phase)):
            return phase.migration.name
    return None


def _text(phase: Phase) -> str:
    return _COMMENT.sub("", phase.migration.read_text("utf-8"))
