"""A mutant: one thing of a database made weaker, and the statements that do it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import LiteralString

from psycopg import sql


class MutantKind(StrEnum):
    """What is weakened."""

    POLICY_DROPPED = "policy dropped"
    POLICY_TRUE = "policy always true"
    POLICY_WIDENED = "policy for more roles"
    POLICY_CONJUNCT = "policy condition removed"
    POLICY_ADDED = "policy added"
    RLS_OFF = "row level security off"
    GRANT = "grant added"
    COLUMN_GRANT = "column grant added"
    DEFAULT_GRANT = "default grant added"
    MEMBERSHIP = "role widened"
    VIEW_OPTION = "view option lost"
    FILTER = "filter removed"
    SEARCH_PATH = "search_path not pinned"
    DEFINER = "definer's rights"
    GUARD = "guard broken"
    KEY = "key without its owner"
    PLANTED = "object planted"


@dataclass(frozen=True)
class Mutant:
    """One weakening of a database.

    Attributes:
        name: readable, unique, the same on every machine and in every run.
        kind: what is weakened.
        subject: the object, schema-qualified as the access declaration names it, or the
            role or the database that it is about.
        statements: to be run in this order as postgres, inside a transaction; rolling it
            back undoes them.
    """

    name: str
    kind: MutantKind
    subject: str
    statements: tuple[str, ...]


def written(template: LiteralString, *parts: sql.Composable, **named: sql.Composable) -> str:
    """A statement's text, with names and expressions put in."""
    return sql.SQL(template).format(*parts, **named).as_string(None)


def raw(text: str) -> sql.SQL:
    """A piece that Postgres has written itself: an expression, a signature, a type."""
    return sql.SQL(text)  # type: ignore[arg-type, unused-ignore]


def role(name: str) -> sql.Composable:
    """A grantee; `public` is everybody."""
    return sql.SQL("public") if name == "public" else sql.Identifier(name)


def shown(name: str) -> str:
    """A grantee as a report shows it."""
    return "PUBLIC" if name == "public" else name
