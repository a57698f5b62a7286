"""Recording events in tests, and holding what the database shows against the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import Jsonb

from tests.support.database import Connection, Database
from tests.support.servers import Databases, Template
from toolkit.validation.reference import Event, Position, positions

READING, TOPUP, ADJUSTMENT, VOID = "METER_READING", "TOPUP", "ADJUSTMENT", "VOID"
START = datetime(2026, 1, 1, tzinfo=UTC)
VIEW_COLUMNS = (
    *("id", "user_id", "date", "kwh_value", "token_cost", "token_amount"),
    *("notes", "meter_photo_url", "created_at"),
)
DENIED = psycopg.errors.InsufficientPrivilege

Row = tuple[Any, ...]


def shared_database(databases: Databases, template: Template | None = None) -> Iterator[Database]:
    """A migrated database for all tests of a module; each test signs up users of its own."""
    database = databases.make(template or Template(migrated=True))
    yield database
    databases.drop(database)


def sign_up(connection: Connection, count: int) -> list[UUID]:
    """New users, whose profiles the app's trigger makes."""
    users = [uuid4() for _ in range(count)]
    connection.execute("insert into auth.users (id) select unnest(%s::uuid[])", (users,))
    return users


def day(number: int, *, hour: int = 0) -> datetime:
    """An instant to put an event at."""
    return START + timedelta(days=number, hours=hour)


def insert(connection: Connection, table: str, values: Mapping[str, object]) -> TupleRow:
    """`insert … returning *` into a table of public, as the REST server does it."""
    statement = sql.SQL("insert into public.{} ({}) values ({}) returning *").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    row = connection.execute(
        statement, {k: Jsonb(v) if isinstance(v, dict | list) else v for k, v in values.items()}
    ).fetchone()
    assert row is not None
    return row


def record(
    connection: Connection,
    user: UUID,
    kind: str = READING,
    kwh: object = 1,
    at: datetime | None = None,
    **columns: object,
) -> UUID:
    """Insert one event; its id."""
    event = {"id": uuid4(), "user_id": user, "event_type": kind, "kwh_amount": kwh, **columns}
    insert(connection, "token_events", {"event_date": at or START, **event})
    return UUID(str(event["id"]))


def mark_voided(connection: Connection, *events: UUID) -> int:
    """The first half of a void, as clients do it; how many events it marked."""
    return connection.execute(
        "update public.token_events set is_voided = true, voided_at = now(),"
        " voided_by = user_id, voided_reason = 'wrong' where id = any (%s)",
        (list(events),),
    ).rowcount


def readings(connection: Connection, user: UUID) -> list[TupleRow]:
    """What the view shows of a user: (id, kWh left), in chronological order."""
    return connection.execute(
        "select id, kwh_value from public.electricity_readings_v where user_id = %s"
        " order by date, created_at, id",
        (user,),
    ).fetchall()


@contextmanager
def signed_in(connection: Connection, user: UUID) -> Iterator[Connection]:
    """One request of a user on a connection of postgres: quicker than a login for each."""
    with connection.transaction():
        connection.execute(
            "select set_config('request.jwt.claims', %s, true)",
            ('{"role": "authenticated", "sub": "' + str(user) + '"}',),
        )
        connection.execute("set local role authenticated")
        yield connection
        # In a transaction that goes on, `set local` would outlast this request.
        connection.execute("reset role")
        connection.execute("select set_config('request.jwt.claims', '', true)")


def reference_of(
    connection: Connection,
) -> tuple[list[Position], dict[tuple[UUID, UUID], dict[str, Any]]]:
    """The reference's positions of everybody, and all events by user and id."""
    with connection.cursor(row_factory=dict_row) as cursor:
        events = cursor.execute(
            "select * from public.token_events order by user_id, event_date, created_at, id"
        ).fetchall()
    stream = (Event(**{name: event[name] for name in Event.__slots__}) for event in events)
    return list(positions(stream)), {(e["user_id"], e["id"]): e for e in events}


def expected_rows(connection: Connection, zone: tzinfo = UTC) -> list[Row]:
    """The rows that the views must show of everybody, from the events and the reference."""
    found, events = reference_of(connection)
    rows = []
    for position in found:
        event = events[position.user_id, position.event_id]
        is_topup = event["event_type"] == TOPUP
        rows.append(
            (
                *(position.visible_id, position.user_id),
                *(event["event_date"].astimezone(zone).date(), position.position),
                *(event["token_cost"], event["kwh_amount" if is_topup else "legacy_token_amount"]),
                *(event["notes"], event["meter_photo_url"], event["created_at"]),
            )
        )
    return sorted(rows, key=_by_id)


def _by_id(row: Row) -> tuple[Any, Any]:
    return row[1], row[0]


def rows_of(connection: Connection, relation: sql.Identifier) -> list[Row]:
    """All rows of one of the relations that hold readings, in the columns of the contract."""
    query = sql.SQL("select {} from {}").format(
        sql.SQL(", ").join(map(sql.Identifier, VIEW_COLUMNS)), relation
    )
    return sorted(connection.execute(query).fetchall(), key=_by_id)


PROJECTION = sql.Identifier("ledger", "readings")
VIEW = sql.Identifier("public", "electricity_readings_v")
MATERIALIZED_VIEW = sql.Identifier("public", "electricity_readings_mv")


def differences(connection: Connection, users: Iterable[UUID]) -> dict[str, object]:
    """Where what the database shows is not what the reference says; nothing, if all is well.

    Args:
        connection: as postgres, outside a transaction or in one.
        users: those who look for themselves, through the view and the function.
    """
    expected = expected_rows(connection)
    found: dict[str, object] = {}

    def compare(name: str, actual: list[Row], wanted: list[Row]) -> None:
        if actual != wanted:
            found[name] = {
                "missing": [row for row in wanted if row not in actual],
                "unexpected": [row for row in actual if row not in wanted],
            }

    compare("projection", rows_of(connection, PROJECTION), expected)
    connection.execute("select public.refresh_readings_mv()")
    compare("materialized view", rows_of(connection, MATERIALIZED_VIEW), expected)
    folded, _ = reference_of(connection)
    for user in users:
        with signed_in(connection, user):
            own = [row for row in expected if row[1] == user]
            compare(f"view of {user}", rows_of(connection, VIEW), own)
            live = connection.execute(
                "select event_id, calculated_position, daily_consumption"
                " from public.calculate_user_positions(%s)",
                (user,),
            ).fetchall()
            wanted = [(p.event_id, p.position, p.consumption) for p in folded if p.user_id == user]
            compare(f"positions of {user}", live, wanted)
    return found


def leftovers(connection: Connection, user: UUID) -> dict[str, int]:
    """How many rows of a user each table of public and ledger holds; only those that hold any."""
    tables = connection.execute(
        "select relnamespace::regnamespace::text, relname from pg_catalog.pg_class"
        " join pg_catalog.pg_attribute on attrelid = pg_class.oid and attname = 'user_id'"
        " where relnamespace in ('public'::regnamespace, 'ledger'::regnamespace)"
        " and relkind in ('r', 'p') order by 1, 2"
    ).fetchall()
    assert ("ledger", "readings") in tables
    count = sql.SQL("select count(*) from {} where user_id = {}")
    counts = {
        f"{schema}.{table}": connection.execute(
            count.format(sql.Identifier(schema, table), sql.Literal(user))
        ).fetchall()[0][0]
        for schema, table in tables
    }
    return {table: rows for table, rows in counts.items() if rows}
