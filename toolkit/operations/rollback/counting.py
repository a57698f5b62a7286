"""Counts, read-only, what a rollback touches; a table that is gone holds nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.operations.rollback.steps import DATA_PHASE
from toolkit.resources import statement

Connection = psycopg.Connection[TupleRow]

BASELINE = "20261101000000"
EVENTS = "20261101000100"
KEYS = "20261101000104"
VIEWS = "20261101000300"
INSTALL = "20261101000400"
RECORD = "20261101000500"
CALLS = "20261101000700"
# What operators did and decided; set aside with the phase that records it.
RECORDED = ("ledger.receipts", "ledger.reviewed_matches")
# Each table of the schema ledger, so that one that nobody thought of counts as lost.
KNOWN_TABLES = (
    *("amended_events", "audit_differences", "audit_marks", "audits", "cutback_marks", "cutovers"),
    *("deployments", "event_calls", "found_objects", "heads", "maintenance", "merges"),
    *("migrated_readings", "migration_rejects", "migration_runs", "readings", "receipts"),
    *("refresh_log", "refresh_marks", "reviewed_matches", "set_aside", "settings"),
    *("work_settings", "work_state"),
)


@dataclass(frozen=True)
class Facts:
    """What the counting needs to know.

    Attributes:
        relations: of the schemas public and ledger, 'schema.name'.
        created: public tables that the rollout made, 'public.name'.
        going: versions that this rollback takes back.
        undoes: the data migration is among them.
    """

    relations: frozenset[str]
    created: frozenset[str]
    going: frozenset[str]

    @property
    def undoes(self) -> bool:
        """The migrated events go."""
        return "ledger.migrated_readings" in self.relations and bool(
            self.going & {DATA_PHASE, INSTALL}
        )


def facts(connection: Connection, going: Collection[str]) -> Facts:
    """Read what is there."""
    relations = connection.execute(
        "select format('%s.%s', n.nspname, c.relname) from pg_class as c"
        " inner join pg_namespace as n on n.oid = c.relnamespace"
        " where n.nspname in ('public', 'ledger') and c.relkind in ('r', 'p', 'v', 'm')"
    ).fetchall()
    names = frozenset(str(row[0]) for row in relations)
    created: frozenset[str] = frozenset()
    if "ledger.found_objects" in names:
        rows = connection.execute(
            "select f.object_name from ledger.found_objects as f where f.origin = 'created'"
        ).fetchall()
        created = frozenset(str(row[0]) for row in rows)
    return Facts(names, created & names, frozenset(going))


def _one(connection: Connection, query: bytes | sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row is not None else 0


def rows(table: str, where: LiteralString = "true") -> Callable[[Connection, Facts], int]:
    """Rows of a table, none where it is gone; `where` is a condition of ours."""
    schema, name = table.split(".", 1)

    def count(connection: Connection, known: Facts) -> int:
        if table not in known.relations:
            return 0
        query = sql.SQL("select count(*) from {} as t where {}").format(
            sql.Identifier(schema, name),
            sql.SQL(where),
        )
        return _one(connection, query)

    return count


def rows_if_created(table: str) -> Callable[[Connection, Facts], int]:
    """Rows of a table that the rollout made; a found one stays, whatever it holds."""

    def count(connection: Connection, known: Facts) -> int:
        return rows(table)(connection, known) if table in known.created else 0

    return count


def _events(connection: Connection, known: Facts) -> tuple[int, int, int]:
    """Events that stay after the undoing; written since; ids that users share."""
    if "public.token_events" not in known.relations:
        return 0, 0, 0
    query = "rollback_staying_events" if known.undoes else "rollback_all_events"
    row = connection.execute(statement(query)).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row is not None else (0, 0, 0)


def shared_ids(connection: Connection, known: Facts) -> int:
    """Ids that events of several users share, which a found key of id alone cannot hold."""
    return 0 if "public.token_events" in known.created else _events(connection, known)[2]


def events_lost(connection: Connection, known: Facts) -> int:
    """Events that go with a table that the rollout made."""
    return _events(connection, known)[0] if "public.token_events" in known.created else 0


def events_since(connection: Connection, known: Facts) -> int:
    """Events that clients wrote since the migration began, in a table that stays."""
    if EVENTS in known.going and "public.token_events" in known.created:
        return 0
    return _events(connection, known)[1]


def will_be_set_aside(connection: Connection, known: Facts) -> int:
    """Rows that undoing the data migration adds to ledger.set_aside."""
    return _one(connection, statement("rollback_set_aside")) if known.undoes else 0


def aside_lost(connection: Connection, known: Facts) -> int:
    """What ledger.set_aside holds unsettled, and what this rollback adds to it.

    The record of runs does not count, nor does an event that stays where it is.
    """
    there = rows(
        "ledger.set_aside",
        "t.settled_at is null and t.kind not in ('migration run', 'completed event')",
    )(connection, known)
    recorded = sum(rows(table)(connection, known) for table in RECORDED if RECORD in known.going)
    return there + recorded + will_be_set_aside(connection, known)


def touched_profiles(connection: Connection, known: Facts) -> int:
    """Profiles with something of their own, in a table that the rollout made."""
    if "public.user_profiles" not in known.created:
        return 0
    return _one(connection, statement("rollback_touched_profiles"))


def waived_rejects(connection: Connection, known: Facts) -> int:
    """Rejected rows that a person decided about."""
    column = connection.execute(
        "select from pg_attribute as a where a.attname = 'waived_at' and not a.attisdropped"
        " and a.attrelid = to_regclass('ledger.migration_rejects')"
    ).fetchone()
    if column is None:
        return 0
    return rows("ledger.migration_rejects", "t.waived_at is not null")(connection, known)


def strange_rows(connection: Connection, known: Facts) -> int:
    """Rows of tables in the schema ledger that no phase made."""
    names = connection.execute(
        statement("rollback_strange_tables"), {"known": list(KNOWN_TABLES)}
    ).fetchall()
    return sum(rows(str(name))(connection, known) for (name,) in names)
