"""Mutants of keys: each key that carries the owner's column, without it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.access import Access
from toolkit.mutation.catalog import Catalog, ForeignKey, Key
from toolkit.mutation.model import Mutant, MutantKind, raw, written

OWNER = "user_id"
# FOREIGN KEY (a, b) REFERENCES t(c, d) ON DELETE …: what stands after the second list.
_TAIL = re.compile(r"REFERENCES [^(]*\([^)]*\)(?P<tail>.*)\Z", re.DOTALL)


def key_mutants(catalog: Catalog, access: Access) -> Iterator[Mutant]:
    """Each unique key of the remaining columns alone, so that users collide with each other.

    Foreign keys that point at a key follow it. Where two users hold the same id already, the
    server refuses: such a mutant is inapplicable.
    """
    for key in catalog.keys:
        owner = _owner(access, key.schema_name, key.table_name)
        rest = [place for place, name in enumerate(key.column_names) if name != owner]
        if not rest or len(rest) == len(key.column_names):
            continue
        table = f"{key.schema_name}.{key.table_name}"
        yield Mutant(
            f"key without {owner}: {key.index_name} on {table}",
            MutantKind.KEY,
            table,
            _replaced(key, [key.parts[place] for place in rest], catalog, owner),
        )


def foreign_key_mutants(catalog: Catalog, access: Access) -> Iterator[Mutant]:
    """Each foreign key of the remaining columns alone, so that it reaches others' rows.

    It needs a unique index on what it points at, which is made with it.
    """
    for key in catalog.foreign_keys:
        owner = _owner(access, key.schema_name, key.table_name)
        if owner not in key.column_names or len(key.column_names) == 1:
            continue
        table = f"{key.schema_name}.{key.table_name}"
        yield Mutant(
            f"foreign key without {owner}: {key.constraint_name} on {table}",
            MutantKind.KEY,
            table,
            (
                _dropped(key.schema_name, key.table_name, key.constraint_name),
                written(
                    "create unique index on {} ({})",
                    sql.Identifier(key.target_schema, key.target_table),
                    sql.SQL(", ").join(map(sql.Identifier, _without(key, owner)[1])),
                ),
                _pointing(key, owner),
            ),
        )


def _owner(access: Access, schema: str, table: str) -> str:
    """The declared owner's column; private tables declare none, and call it user_id."""
    rule = access.rules.get(f"{schema}.{table}")
    return (rule.owner if rule is not None else "") or OWNER


def _replaced(key: Key, parts: list[str], catalog: Catalog, owner: str) -> tuple[str, ...]:
    columns = sql.SQL(", ").join(map(raw, parts))
    if key.constraint_name is None:
        return (
            written("drop index {}", sql.Identifier(key.schema_name, key.index_name)),
            written(
                "create unique index {} on {} using {} ({}){}",
                sql.Identifier(key.index_name),
                sql.Identifier(key.schema_name, key.table_name),
                raw(key.method),
                columns,
                raw(f" where {key.predicate}" if key.predicate else ""),
            ),
        )
    # Who points at it is dropped by name, not by cascade, which might take more along.
    pointing = [
        other
        for other in catalog.foreign_keys
        if (other.target_schema, other.target_index) == (key.schema_name, key.index_name)
        and owner in other.column_names
    ]
    return (
        *(
            _dropped(other.schema_name, other.table_name, other.constraint_name)
            for other in pointing
        ),
        _dropped(key.schema_name, key.table_name, key.constraint_name),
        written(
            "alter table {} add constraint {} {} ({})",
            sql.Identifier(key.schema_name, key.table_name),
            sql.Identifier(key.constraint_name),
            raw(key.constraint_word),
            columns,
        ),
        *(_pointing(other, owner) for other in pointing),
    )


def _dropped(schema: str, table: str, constraint: str) -> str:
    return written(
        "alter table {} drop constraint {}",
        sql.Identifier(schema, table),
        sql.Identifier(constraint),
    )


def _without(key: ForeignKey, owner: str) -> tuple[list[str], list[str]]:
    pairs = zip(key.column_names, key.target_columns, strict=True)
    kept = [pair for pair in pairs if pair[0] != owner]
    return [own for own, _ in kept], [target for _, target in kept]


def _pointing(key: ForeignKey, owner: str) -> str:
    columns, targets = _without(key, owner)
    tail = _TAIL.search(key.definition)
    return written(
        "alter table {} add constraint {} foreign key ({}) references {} ({}){}",
        sql.Identifier(key.schema_name, key.table_name),
        sql.Identifier(key.constraint_name),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.Identifier(key.target_schema, key.target_table),
        sql.SQL(", ").join(map(sql.Identifier, targets)),
        raw(tail["tail"] if tail else ""),
    )
