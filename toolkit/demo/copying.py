"""The yardstick: a COPY of the rows that the migration inserted, into the same table.

The same constraints, indexes and triggers, and the same other rows: a twin of the database,
taken just before the data moved, in which the merged events are voided as they were when
the migration inserted.
"""

from __future__ import annotations

import tempfile
import time
from typing import IO

from psycopg import sql

from toolkit.connection import connect
from toolkit.local.server import Server

_CHUNK_BYTES = 1 << 18
_COLUMNS = sql.SQL(
    "id, user_id, event_type, event_date, kwh_amount, token_cost, notes, meter_photo_url, "
    "created_at, metadata, observed_kwh, legacy_token_amount, reading_id"
)


def make_twin(server: Server, database: str) -> str:
    """Copy a database that nobody is connected to; the twin's name."""
    twin = _twin_of(database)
    drop_twin(server, database)
    with connect(server.admin_url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} owner postgres").format(
                sql.Identifier(twin), sql.Identifier(database)
            )
        )
    return twin


def drop_twin(server: Server, database: str) -> None:
    """Remove the twin, also one that an interrupted demonstration left."""
    with connect(server.admin_url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("drop database if exists {} with (force)").format(
                sql.Identifier(_twin_of(database))
            )
        )


def copy_seconds(server: Server, database: str, twin: str) -> float:
    """How long the COPY takes, in seconds; the twin is dropped afterwards."""
    with tempfile.TemporaryFile() as rows:
        _export(server, database, rows)
        with tempfile.TemporaryFile() as cleared:
            _export_cleared(server, database, cleared)
            _clear(server, twin, cleared)
        rows.seek(0)
        with connect(server.url(twin)) as connection:
            started = time.monotonic()
            with connection.cursor().copy(
                sql.SQL("copy public.token_events ({}) from stdin").format(_COLUMNS)
            ) as copy:
                while chunk := rows.read(_CHUNK_BYTES):
                    copy.write(chunk)
            seconds = time.monotonic() - started
            connection.commit()
    drop_twin(server, database)
    return seconds


def _twin_of(database: str) -> str:
    return f"{database}_twin"


def _export(server: Server, database: str, target: IO[bytes]) -> None:
    query = sql.SQL(
        "copy (select {} from public.token_events as e where exists ("
        "select from ledger.migrated_readings as l where l.user_id = e.user_id "
        "and l.event_id = e.id and not l.completed) "
        "order by user_id, event_date, created_at, id) to stdout"
    ).format(_COLUMNS)
    with connect(server.url(database)) as connection, connection.cursor().copy(query) as copy:
        for chunk in copy:
            target.write(chunk)


def _export_cleared(server: Server, database: str, target: IO[bytes]) -> None:
    """The events that made way for the inserted ones: merged, or shown under another id."""
    query = (
        "copy (select user_id, event_id, true from ledger.merges union all "
        "select user_id, event_id, false from ledger.amended_events where reason = 'displaced') "
        "to stdout"
    )
    with connect(server.url(database)) as connection, connection.cursor().copy(query) as copy:
        for chunk in copy:
            target.write(chunk)
    target.seek(0)


def _clear(server: Server, twin: str, cleared: IO[bytes]) -> None:
    """As the superuser without triggers: this is preparation, not what is measured."""
    with connect(server.admin_url(twin)) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "create temporary table cleared (user_id uuid, event_id uuid, merged boolean)"
        )
        with connection.cursor().copy("copy cleared from stdin") as copy:
            while chunk := cleared.read(_CHUNK_BYTES):
                copy.write(chunk)
        connection.execute("analyze cleared")
        connection.execute(
            "update public.token_events as e set is_voided = c.merged, "
            "reading_id = case when c.merged then e.reading_id else gen_random_uuid() end "
            "from cleared as c where e.user_id = c.user_id and e.id = c.event_id"
        )
        connection.execute(
            "delete from ledger.readings as r using cleared as c "
            "where r.user_id = c.user_id and r.id = c.event_id"
        )
        connection.commit()
