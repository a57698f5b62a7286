"""The declaration's SQL expressions as values that can be sent, and values for other columns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from toolkit.isolation.access import Rule

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_TEXT = re.compile(r"'((?:[^']|'')*)'")
_NOW = re.compile(r"now\(\)(?: - \{n\} \* interval '1 (?:day|second)')?")
_CHANGE = re.compile(r"\s*(\w+)\s*=\s*('(?:[^']|'')*'|[^,]*)(?:,|$)")
_SAMPLES: Mapping[str, Any] = {"boolean": True, "json": {}, "jsonb": {}}
_NUMERIC = ("numeric", "integer", "bigint", "smallint", "real", "double precision")
_START = datetime(2020, 1, 1, tzinfo=UTC)

Columns = Mapping[str, str]


class UnsendableError(ValueError):
    """An expression of the declaration that has no counterpart in JSON."""


class Moments:
    """Instants that lie days apart: a fact must not be taken for another of the same day."""

    def __init__(self) -> None:
        self._days = 0

    def next(self) -> str:
        """The next one, ISO 8601."""
        self._days += 1
        return (_START + timedelta(days=self._days)).isoformat()

    def number(self) -> str:
        """A number that is new."""
        self._days += 1
        return str(self._days)


def row_of(rule: Rule, user: str, columns: Columns, moments: Moments) -> dict[str, Any]:
    """A valid row of one user: the declared one, or one made up from the columns.

    Raises:
        UnsendableError: the declared row holds an expression that cannot be sent.
    """
    if rule.row:
        return {
            name: _value(expression, user, columns.get(name, ""), moments)
            for name, expression in rule.row.items()
        }
    made = {name: _sample(kind, moments) for name, kind in columns.items()}
    return {**made, rule.owner: user} if rule.owner else made


def change_of(rule: Rule, columns: Columns, moments: Moments) -> dict[str, Any]:
    """A change of a row: the declared one, or a note, or any other column but the owner's.

    Raises:
        UnsendableError: the declared change cannot be sent.
    """
    if rule.touch:
        return {
            name: _value(expression.strip(), "", columns.get(name, ""), moments)
            for name, expression in _CHANGE.findall(rule.touch)
        }
    names = [name for name in columns if name not in (rule.owner, "id")]
    name = "notes" if "notes" in names else next(iter(names), "")
    return {name: _sample(columns[name], moments)} if name else {}


def value_of(expression: str, user: str, moments: Moments) -> Any:  # noqa: ANN401 - JSON
    """An argument of a function: text that holds an object is one.

    Raises:
        UnsendableError: it has no counterpart in JSON.
    """
    return _value(expression, user, "json" if expression.startswith("'{") else "", moments)


def _value(expression: str, user: str, kind: str, moments: Moments) -> Any:  # noqa: ANN401 - JSON
    expression = expression.strip()
    if expression == "{user}":
        return user
    if _NOW.fullmatch(expression):
        return moments.next()
    if expression == "{n}":
        return int(moments.number())
    if expression in ("null", "true", "false") or _NUMBER.fullmatch(expression):
        return json.loads(expression)
    if text := _TEXT.fullmatch(expression):
        value = text[1].replace("''", "'").replace("{user}", user)
        if "{n}" in value:
            value = value.replace("{n}", moments.number())
        return json.loads(value) if kind in ("json", "jsonb") else value
    raise UnsendableError(expression)


def _sample(kind: str, moments: Moments) -> Any:  # noqa: ANN401 - JSON
    if kind == "uuid":
        return str(uuid4())
    if kind in _NUMERIC:
        return 1
    if kind == "date" or kind.startswith(("timestamp", "time")):
        return moments.next()
    return _SAMPLES.get(kind, "isolation probe")
