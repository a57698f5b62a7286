"""Statements as text: values become literals, names are quoted, nothing else is put in."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from psycopg import sql

from toolkit.isolation.access import Rule

_numbers = itertools.count(20)


def compose(template: str, *parts: object, **named: object) -> str:
    """A statement with its placeholders filled.

    Args:
        template: with {} and {name}, as psycopg.sql.SQL takes it.
        parts: composables stand as they are (sql.Identifier, sql.SQL); all else is a literal.
        named: the same, by name.
    """
    return (
        sql.SQL(template)
        .format(*map(_part, parts), **{name: _part(part) for name, part in named.items()})
        .as_string(None)
    )


def relation(rule: Rule) -> sql.Identifier:
    """The name of a table or view, quoted."""
    return sql.Identifier(rule.schema, rule.local_name)


def sample_row(rule: Rule, user: object) -> dict[str, str]:
    """Column → SQL expression of a valid row of a user, another one each time."""
    literal, number = compose("{}", user), str(next(_numbers))
    return {
        column: literal
        if value == "{user}"
        else value.replace("{user}", str(user)).replace("{n}", number)
        for column, value in rule.row.items()
    }


def insert(rule: Rule, row: Mapping[str, str], tail: str = "") -> str:
    """An insert of one row, column → SQL expression; tail: on conflict, returning."""
    return compose(
        "insert into {} ({}) values ({}) {}",
        relation(rule),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.SQL, row.values())),
        sql.SQL(tail),
    ).strip()


def _part(part: object) -> sql.Composable:
    if isinstance(part, sql.Composable):
        return part
    return sql.Literal(part if isinstance(part, int) else str(part))
