"""What the live catalog holds that a mutant can weaken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TypeVar

import psycopg
from psycopg.rows import TupleRow, class_row

from toolkit.isolation.access import Access

PUBLIC = "public"
_MAINTAIN_SINCE = 170000
_TABLE_PRIVILEGES = ("select", "insert", "update", "delete", "truncate", "references", "trigger")
_SEQUENCE_PRIVILEGES = ("usage", "select", "update")


@dataclass(frozen=True)
class Table:
    """A table, and whether row level security is on."""

    schema_name: str
    table_name: str
    has_rls: bool


@dataclass(frozen=True)
class Policy:
    """A policy; command is * (all), r, a, w or d, as the catalog has it."""

    schema_name: str
    table_name: str
    policy_name: str
    command: str
    using_text: str | None
    check_text: str | None
    role_names: list[str]


@dataclass(frozen=True)
class View:
    """A view; is_readable where an API role can read it, with its schema."""

    schema_name: str
    view_name: str
    options: list[str]
    definition: str
    is_readable: bool
    columns: list[str]


@dataclass(frozen=True)
class Relation:
    """A table or a materialized view; columns as `name type`."""

    schema_name: str
    relation_name: str
    columns: list[str]


@dataclass(frozen=True)
class Function:
    """A function; is_callable where an API role can call it; trigger functions never are."""

    schema_name: str
    signature: str
    language_name: str
    is_definer: bool
    pins_search_path: bool
    definition: str
    body: str
    is_callable: bool


@dataclass(frozen=True)
class Trigger:
    """A trigger, and the function that it calls."""

    schema_name: str
    table_name: str
    trigger_name: str
    is_for_each_row: bool
    definition: str
    function_signature: str


@dataclass(frozen=True)
class Key:
    """A unique index; column_names holds '' for an expression, parts what CREATE INDEX says."""

    schema_name: str
    table_name: str
    index_name: str
    method: str
    constraint_name: str | None
    constraint_word: str
    predicate: str | None
    column_names: list[str]
    parts: list[str]


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key between proven tables; target_index is the key that it points at."""

    schema_name: str
    table_name: str
    constraint_name: str
    target_schema: str
    target_table: str
    target_index: str
    definition: str
    column_names: list[str]
    target_columns: list[str]


@dataclass(frozen=True)
class MissingGrant:
    """A right on an object that a grantee does not hold in any way."""

    object_class: str
    schema_name: str
    object_name: str
    privilege: str
    grantee: str


@dataclass(frozen=True)
class MissingColumnGrant:
    """A right on a column that a grantee does not hold in any way."""

    schema_name: str
    relation_name: str
    column_name: str
    privilege: str
    grantee: str


@dataclass(frozen=True)
class MissingDefaultGrant:
    """A right on later objects (r, S, f) that a grantee does not get; schema '' is everywhere."""

    kind: str
    schema_name: str
    privilege: str
    grantee: str


@dataclass(frozen=True)
class RolePair:
    """Two roles, neither of which may become the other."""

    role_name: str
    other_name: str


@dataclass(frozen=True)
class Catalog:
    """All of it, read in one go, with expressions and names fully qualified."""

    tables: tuple[Table, ...]
    policies: tuple[Policy, ...]
    views: tuple[View, ...]
    relations: tuple[Relation, ...]
    functions: tuple[Function, ...]
    triggers: tuple[Trigger, ...]
    keys: tuple[Key, ...]
    foreign_keys: tuple[ForeignKey, ...]
    missing_grants: tuple[MissingGrant, ...]
    missing_column_grants: tuple[MissingColumnGrant, ...]
    missing_default_grants: tuple[MissingDefaultGrant, ...]
    strangers: tuple[RolePair, ...]


def read_catalog(connection: psycopg.Connection[TupleRow], access: Access) -> Catalog:
    """Read what is there in the proven schemas; the transaction is left as it was.

    Args:
        connection: of the role postgres.
        access: names the schemas and the API roles.
    """
    version = connection.info.server_version
    on_tables = (*_TABLE_PRIVILEGES, *(["maintain"] if version >= _MAINTAIN_SINCE else []))
    later = [
        *(("r", privilege) for privilege in on_tables),
        *(("S", privilege) for privilege in _SEQUENCE_PRIVILEGES),
        ("f", "execute"),
    ]
    parameters: dict[str, list[str]] = {
        "schemas": list(access.proven),
        "roles": list(access.roles()),
        "grantees": [*access.roles(), PUBLIC],
        "table_privileges": list(on_tables),
        "kinds": [kind for kind, _ in later],
        "privileges": [privilege for _, privilege in later],
    }
    with connection.transaction(force_rollback=True):
        # With an empty path, Postgres qualifies every name that it writes.
        connection.execute("select pg_catalog.set_config('search_path', '', true)")
        reader = _Reader(connection, parameters)
        return Catalog(
            tables=reader.rows(Table, "tables"),
            policies=reader.rows(Policy, "policies"),
            views=reader.rows(View, "views"),
            relations=reader.rows(Relation, "relations"),
            functions=reader.rows(Function, "functions"),
            triggers=reader.rows(Trigger, "triggers"),
            keys=reader.rows(Key, "keys"),
            foreign_keys=reader.rows(ForeignKey, "foreign_keys"),
            missing_grants=reader.rows(MissingGrant, "missing_grants"),
            missing_column_grants=reader.rows(MissingColumnGrant, "missing_column_grants"),
            missing_default_grants=reader.rows(MissingDefaultGrant, "missing_default_grants"),
            strangers=reader.rows(RolePair, "strangers"),
        )


Row = TypeVar("Row")


@dataclass(frozen=True)
class _Reader:
    connection: psycopg.Connection[TupleRow]
    parameters: Mapping[str, list[str]]

    def rows(self, kind: type[Row], name: str) -> tuple[Row, ...]:
        """What select_<name>.sql of this package answers, an object a row."""
        file = resources.files(__package__).joinpath(f"select_{name}.sql")
        with self.connection.cursor(row_factory=class_row(kind)) as cursor:
            return tuple(cursor.execute(file.read_bytes(), self.parameters))
