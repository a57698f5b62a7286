"""The phase files run by psycopg, for tests that cannot wait a second for the CLI each time."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from tests.support.database import Connection, Database
from toolkit.rollout import Phase, phases, roll_back

DATA_PHASE = "20261101000401"
INSTALL_PHASE = "20261101000400"

_HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text primary key, statements text[], name text
);
"""


def apply(
    database: Database,
    wanted: Iterable[Phase] | None = None,
    *,
    time_zone: str | None = None,
    session_zone: str | None = None,
    defer_backfill: bool = False,
) -> None:
    """Run the files in order, each its own transaction, and note them as the CLI does."""
    options = {
        "ledger.time_zone": time_zone,
        "ledger.defer_backfill": "on" if defer_backfill else None,
        "timezone": session_zone,
    }
    with database.connect(autocommit=True) as connection:
        connection.execute(_HISTORY.encode())
        for name, value in options.items():
            if value is not None:
                connection.execute("select set_config(%s, %s, false)", (name, value))
        for phase in phases() if wanted is None else wanted:
            connection.execute(phase.migration.read_bytes())
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name)"
                " values (%s, %s) on conflict do nothing",
                (phase.version, phase.name),
            )


def roll_everything_back(database: Database) -> None:
    """Reverse every phase, the last one first."""
    with database.connect(autocommit=True) as connection:
        for phase in reversed(phases()):
            roll_back(connection, phase)


def before(version: str) -> list[Phase]:
    """The phases that come before a version."""
    return [phase for phase in phases() if phase.version < version]


def history(database: Database) -> list[str]:
    """The versions that the CLI takes for applied."""
    return [
        str(row[0])
        for row in database.rows(
            "select version from supabase_migrations.schema_migrations order by version"
        )
    ]


def table_texts(connection: Connection, schema: str, table: str) -> list[str]:
    """Every row of a table as text, sorted; equal lists mean equal contents."""
    return [
        str(row[0])
        for row in connection.execute(
            sql.SQL("select t::text from {} as t order by 1").format(sql.Identifier(schema, table))
        )
    ]


def projection_is_live(connection: Connection) -> bool:
    """ledger.readings equals what the materialized view computes from scratch."""
    connection.execute("refresh materialized view public.electricity_readings_mv")
    rows = connection.execute(
        "(table ledger.readings except all table public.electricity_readings_mv)"
        " union all (table public.electricity_readings_mv except all table ledger.readings)"
    ).fetchall()
    return rows == []
