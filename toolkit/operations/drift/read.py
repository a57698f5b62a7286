"""Reads a catalog: its fingerprint, and the shape that its rollout began with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import TupleRow, dict_row

from toolkit.errors import ENVIRONMENT, OperationalError
from toolkit.operations.drift.found import (
    REPLACED,
    cascade_of_found,
    column_of_found,
    grants_of_found,
    guard_of_found,
)
from toolkit.operations.drift.model import Columns, Fingerprint, StartingShape, fingerprint_of
from toolkit.operations.drift.scope import AT_CUTOVER, Made, Scope, scope
from toolkit.operations.drift.spell import Row, name_of, text_of
from toolkit.resources import statement
from toolkit.rollout.phases import phases

_ASPECTS = (
    *("relations", "columns", "indexes", "constraints", "policies"),
    *("triggers", "functions", "grants"),
)
# Objects are spelled by the connection's settings.
_SPELLING = {
    "search_path": "",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "quote_all_identifiers": "off",
    "extra_float_digits": "1",
}
# The sign-up trigger is made with the profiles, where the app had none.
_WITH_PROFILES = ("create_user_profile", "public.create_user_profile")
_LEGACY = "public.electricity_readings"
# Where the legacy table is while a view has its name.
_ARCHIVE = "ledger.electricity_readings_archive"
# It has whatever columns the legacy table has.
_PENDING = "ledger.pending_readings"
_OWNER = "the role that migrates"


def starting_shape(connection: psycopg.Connection[TupleRow]) -> StartingShape:
    """What the rollout began with, from what it noted then.

    Raises:
        OperationalError: the database has not had the phases, or no history names one.
    """
    known = connection.execute(
        "select to_regclass('ledger.found_objects') is not null,"
        " to_regclass('supabase_migrations.schema_migrations') is not null"
    ).fetchone()
    if known != (True, True):
        raise _no_rollout()
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            statement("fingerprint_shape"), {"versions": [phase.version for phase in phases()]}
        )
        row = cursor.fetchone()
    if row is None or row["newest"] is None:
        raise _no_rollout()
    return StartingShape(
        found=frozenset(row["found"]),
        date_type="date" if row["date_type"] == "date" else "timestamptz",
        unique_days=row["unique_days"],
        cut_over=row["cut_over"],
        newest=row["newest"],
        major=_major(connection),
        columns=_columns_found(connection, frozenset(row["found"])),
    )


def fingerprint(connection: psycopg.Connection[TupleRow]) -> Fingerprint:
    """The objects of public and ledger that the migrations make, as they are.

    Args:
        connection: of any role; a transaction, or a part of the one that is open.

    Raises:
        OperationalError: the database has not had the phases.
    """
    found = _found(connection)
    with _spelled_alike(connection), connection.cursor(row_factory=dict_row) as cursor:
        rows: list[Row] = []
        for aspect in _ASPECTS:
            rows += cursor.execute(statement(f"fingerprint_{aspect}")).fetchall()
    archived = any(_relation_of(row) == _ARCHIVE for row in rows)
    if archived and _LEGACY in found:
        found = found - {_LEGACY} | {_ARCHIVE}
    objects: dict[str, str] = {}
    owner = _usual_owner(rows)
    for row in rows:
        objects.update(_texts(row, found, owner, archived=archived))
    return fingerprint_of(objects, _major(connection))


@contextmanager
def _spelled_alike(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """Settings that decide how objects are spelled, undone at the end."""
    with connection.transaction(force_rollback=True):
        for name, value in _SPELLING.items():
            connection.execute("select set_config(%s, %s, true)", (name, value))
        yield


def _columns_found(
    connection: psycopg.Connection[TupleRow], found: frozenset[str]
) -> tuple[tuple[str, Columns], ...]:
    """The columns that the tables had when the rollout's views spelled them out."""
    rows = connection.execute(
        statement("fingerprint_found_columns"),
        {
            "added": [f"{table}.{name}" for table, name in scope().added],
            "known": sorted(scope().columns["public.electricity_readings"]),
        },
    ).fetchall()
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, name, type_ in rows:
        if table in found:
            columns.setdefault(table, []).append((name, type_))
    return tuple((table, tuple(listed)) for table, listed in sorted(columns.items()))


def _found(connection: psycopg.Connection[TupleRow]) -> frozenset[str]:
    if connection.execute("select to_regclass('ledger.found_objects')").fetchone() == (None,):
        raise _no_rollout()
    rows = connection.execute(
        "select f.object_name from ledger.found_objects as f where f.origin = 'found'"
    ).fetchall()
    return frozenset(str(name) for (name,) in rows)


def _usual_owner(rows: list[Row]) -> str | None:
    """The role that migrated: it owns most of what is in ledger."""
    owners = Counter(
        row["facts"]["owner"]
        for row in rows
        if row["schema_name"] == "ledger" and row["facts"].get("owner")
    )
    return owners.most_common(1)[0][0] if owners else None


def _relation_of(row: Row) -> str:
    return f"{row['schema_name']}.{row['relation_name']}"


def _texts(
    row: Row, found: frozenset[str], owner: str | None, *, archived: bool
) -> Iterator[tuple[str, str]]:
    """A row of the catalog as objects: none where it is not the rollout's."""
    aspect, facts, relation = row["aspect"], row["facts"], _relation_of(row)
    known = scope()
    embedding = archived and aspect in ("function", "grants") and relation in AT_CUTOVER
    if embedding and (aspect == "function" or facts.get("kind") == "function"):
        yield name_of(row), text_of(aspect, facts)
        return
    if not _ours(known, aspect, row, relation, found):
        return
    if _ARCHIVE in found and _of_the_app(aspect, relation):
        yield from _of_found(known, row, _LEGACY)
    elif relation in found and relation != _ARCHIVE and aspect != "function":
        yield from _of_found(known, row, relation)
    else:
        yield name_of(row), text_of(aspect, facts)
    if facts.get("owner") and (relation not in found or relation in REPLACED):
        named = f"function {relation}({row['name']})" if aspect == "function" else relation
        yield f"owner of {named}", _OWNER if facts["owner"] == owner else facts["owner"]


def _of_the_app(aspect: str, relation: str) -> bool:
    """Of the archived table all but its grants, which were taken; of the view what it inherited."""
    if relation == _ARCHIVE:
        return aspect != "grants"
    return relation == _LEGACY and aspect in ("column", "grants")


def _ours(known: Scope, aspect: str, row: Row, relation: str, found: frozenset[str]) -> bool:
    """Whether the rollout makes the object, or holds the table that it belongs to."""
    if relation == _PENDING and aspect == "column":
        return row["name"] in known.columns["public.electricity_readings"]
    if row["schema_name"] == "ledger":
        return True
    if {relation, row["name"]} & set(_WITH_PROFILES) and "public.user_profiles" in found:
        return False
    if aspect == "function" or row["facts"].get("kind") == "function":
        return known.has("function", relation)
    if row["schema_name"] == "auth":
        return Made("trigger", row["name"], relation) in known.objects
    return known.relation(relation)


def _of_found(known: Scope, row: Row, table: str) -> Iterator[tuple[str, str]]:
    """What is promised of an object of a table that the app had before."""
    aspect, name, facts = row["aspect"], row["name"], row["facts"]
    if aspect in _PROMISES:
        promised = _PROMISES[aspect](known, table, name, facts)
        if promised:
            yield name_of(row), text_of(aspect, promised)
    elif aspect == "constraint" and cascade_of_found(table, facts):
        yield f"constraint to public.user_profiles on {table}", text_of(aspect, facts)
    elif aspect == "policy":
        if table in REPLACED:
            yield name_of(row), text_of(aspect, facts)
    else:
        qualified = f"{table.partition('.')[0]}.{name}" if aspect == "index" else name
        if Made(aspect, qualified, table) in known.objects:
            yield name_of(row), text_of(aspect, facts)


_PROMISES: dict[str, Callable[[Scope, str, Any, Row], Row]] = {
    "relation": guard_of_found,
    "column": column_of_found,
    "grants": grants_of_found,
}


def _major(connection: psycopg.Connection[TupleRow]) -> int:
    return connection.info.server_version // 10000


def _no_rollout() -> OperationalError:
    return OperationalError(
        "this database has not had the phases, or its history does not name them",
        next_step=f"see which, and how to go on: meterledger doctor {ENVIRONMENT}",
    )
