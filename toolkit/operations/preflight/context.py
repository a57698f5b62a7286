"""What every item is handed: the connection, what there is of the app, what the operator said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg.rows import TupleRow, dict_row

from toolkit.operations.preflight.options import Options
from toolkit.operations.preflight.report import CheckItem, Finding, Verdict, judged
from toolkit.resources import statement

Connection = psycopg.Connection[TupleRow]
_COUNTS = (
    b"select count(*) from public.electricity_readings",
    b"select count(*) from public.token_events",
    b"select (select count(*) from ledger.migrated_readings as l where not l.superseded)"
    b" + (select count(*) from ledger.migration_rejects)",
)


@dataclass(frozen=True)
class Scene:
    """What there is of the app and of the rollout.

    Attributes:
        legacy_kind: pg_class.relkind of electricity_readings; 'v' after the cutover.
        date_type: of its column date.
        has_events, has_profiles: the tables are there.
        has_migration: phase 4 has been applied.
        has_deployments: ledger.deployments is there.
        has_history: the history of the Supabase CLI is there.
        legacy_rows: of electricity_readings, exact; 0 where it is no table.
        event_rows: of token_events, exact.
        migrated: readings that have moved already, or were rejected.
        recorded_zone: the zone that the database has on record.
    """

    legacy_kind: str | None = None
    date_type: str | None = None
    has_events: bool = False
    has_profiles: bool = False
    has_settings: bool = False
    has_migration: bool = False
    has_deployments: bool = False
    has_history: bool = False
    legacy_rows: int = 0
    event_rows: int = 0
    migrated: int = 0
    recorded_zone: str | None = None

    @property
    def has_legacy(self) -> bool:
        """Whether the legacy name is still a table."""
        return self.legacy_kind == "r"


@dataclass(frozen=True)
class Context:
    """One run of the checklist.

    Attributes:
        connection: in a read-only transaction of the item.
        url: of the same database, for further connections.
        scene: what there is.
        options: what the operator said.
    """

    connection: Connection
    url: str
    scene: Scene
    options: Options

    @property
    def zone(self) -> str:
        """The zone by which days are told: the given one, the one on record, or UTC."""
        return self.options.time_zone or self.scene.recorded_zone or "UTC"


Check = Callable[[Context], CheckItem]


def scene(connection: Connection) -> Scene:
    """Look at what there is; exact counts, which read the tables once."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(statement("preflight_scene")).fetchone() or {}
    there = Scene(**found)
    legacy, events, moved = _COUNTS
    return replace(
        there,
        legacy_rows=_count(connection, legacy) if there.has_legacy else 0,
        event_rows=_count(connection, events) if there.has_events else 0,
        migrated=_count(connection, moved) if there.has_migration else 0,
        recorded_zone=_zone(connection) if there.has_settings else None,
    )


def rows(
    connection: Connection, name: str, parameters: Mapping[str, object] | None = None
) -> list[Finding]:
    """The findings of toolkit/sql/<name>.sql: severity, subject, finding, next step, amount."""
    found = connection.execute(statement(name), parameters).fetchall()
    return [
        Finding(Verdict(severity), str(subject), str(text), str(step), int(amount))
        for severity, subject, text, step, amount in found
    ]


def from_sql(name: str, title: str, *, quiet: str, statement_name: str | None = None) -> Check:
    """An item that is one statement without parameters."""

    def check(context: Context) -> CheckItem:
        findings = rows(context.connection, statement_name or f"preflight_{name}")
        return judged(name, title, findings, quiet=quiet)

    return check


def skipped(name: str, title: str, why: str) -> CheckItem:
    """An item that does not arise here."""
    return CheckItem(name, title, Verdict.SKIP, why)


def _count(connection: Connection, query: bytes) -> int:
    return int(_value(connection, query) or 0)


def _zone(connection: Connection) -> str | None:
    found = _value(connection, b"select s.time_zone from ledger.settings as s")
    return str(found) if found is not None else None


def _value(connection: Connection, query: bytes) -> Any:  # noqa: ANN401 - whatever it selects
    """One value; None where this role may not know, which the item of permissions explains."""
    try:
        with connection.transaction():
            row = connection.execute(query).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return row[0] if row else None
