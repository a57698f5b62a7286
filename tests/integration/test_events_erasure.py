"""The right to erasure: a deleted profile takes everything of its user with it, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.support.database import Connection, Database
from tests.support.events import (
    READING,
    TOPUP,
    VOID,
    day,
    differences,
    insert,
    leftovers,
    mark_voided,
    record,
    shared_database,
    sign_up,
)
from tests.support.servers import MAJORS, Databases

# What a column with a check of its own accepts; every other takes any value of its type.
ACCEPTED = {
    ("audit_differences", "found_in"): "projection",
    ("audit_differences", "finding"): "missing",
    ("amended_events", "reason"): "completed",
    ("reviewed_matches", "decision"): "both",
}
ANY_VALUE: dict[str, Callable[[], object]] = {
    "uuid": uuid4,
    "text": lambda: "text",
    "jsonb": lambda: Jsonb({}),
    "date": lambda: day(1).date(),
    "timestamp with time zone": lambda: day(1),
    "bigint": lambda: 1,
    "integer": lambda: 1,
    "numeric": lambda: 1,
    "boolean": lambda: False,
}


@pytest.fixture(scope="module", params=MAJORS, ids=lambda number: f"pg{number}")
def ledger(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from shared_database(databases(request.param))


@pytest.fixture(scope="module")
def owner(ledger: Database) -> Iterator[Connection]:
    with ledger.connect(autocommit=True) as connection:
        yield connection


def tables_of_users(connection: Connection) -> list[str]:
    """The tables of ledger that name a user."""
    return [
        table
        for (table,) in connection.execute(
            "select relname::text from pg_class join pg_attribute on attrelid = pg_class.oid"
            " where attname = 'user_id' and relnamespace = 'ledger'::regnamespace"
            " and relkind in ('r', 'p') order by 1"
        )
    ]


def put_a_row(connection: Connection, table: str, user: UUID) -> None:
    """A row of a user's in a table of ledger, whatever columns it has."""
    wanted = connection.execute(
        "select attname::text, format_type(atttypid, null) from pg_attribute"
        " where attrelid = format('ledger.%%I', %s::text)::regclass and attnum > 0"
        " and not attisdropped and attidentity = ''"
        " and (attname = 'user_id' or (attnotnull and not atthasdef))",
        (table,),
    ).fetchall()
    row: dict[str, Any] = {
        name: ACCEPTED.get((table, name)) or ANY_VALUE[kind]() for name, kind in wanted
    }
    row["user_id"] = user
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier("ledger", table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Placeholder, row)),
    )
    connection.execute(statement, row)


def live(connection: Connection, user: UUID) -> None:
    """Leave traces of a user everywhere that there is something to leave."""
    first = record(connection, user, TOPUP, 5, day(1), created_by=user)
    second = record(connection, user, READING, 5, day(2), reading_id=uuid4())
    record(connection, user, VOID, 0, day(3), void_of_event=first)
    mark_voided(connection, first)
    record(connection, user, VOID, 0, day(3), void_of_event=second)
    batch: dict[str, object] = {"trigger_type": "EDIT_TOPUP", "affected_events": []}
    insert(connection, "recalculation_batches", {"user_id": user, "events_count": 0, **batch})
    held = leftovers(connection, user)
    for table in tables_of_users(connection):
        if f"ledger.{table}" not in held:
            put_a_row(connection, table, user)


DELETE_PROFILE = "delete from public.user_profiles where id = any (%s)"
DELETE_USER = "delete from auth.users where id = any (%s)"


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("service_role", DELETE_PROFILE),
        ("postgres", DELETE_PROFILE),
        ("supabase_admin", DELETE_USER),
    ],
    ids=["profile, by the service", "profile, by the owner", "user, by the sign-in server"],
)
def test_a_deleted_profile_takes_everything_of_its_user_and_nothing_of_others(
    ledger: Database, owner: Connection, role: str, statement: str
) -> None:
    user, another, bystander = sign_up(owner, 3)
    for somebody in (user, another, bystander):
        live(owner, somebody)
    before = leftovers(owner, bystander)
    assert {table for table in before if table.startswith("ledger.")} == {
        f"ledger.{table}" for table in tables_of_users(owner)
    }
    doors: dict[str, Callable[[], AbstractContextManager[Connection]]] = {
        "service_role": lambda: ledger.as_role("service_role"),
        "postgres": ledger.connect,
        "supabase_admin": ledger.admin,
    }

    with doors[role]() as connection:
        assert connection.execute(statement.encode(), ([user, another],)).rowcount == 2

    assert leftovers(owner, user) == {}
    assert leftovers(owner, another) == {}
    assert leftovers(owner, bystander) == before
    with owner.transaction(force_rollback=True):
        assert differences(owner, [bystander]) == {}


def test_a_user_may_come_back_and_begin_anew(ledger: Database, owner: Connection) -> None:
    [user] = sign_up(owner, 1)
    event = record(owner, user, READING, 5, day(1), idempotency_key="first")
    owner.execute(DELETE_PROFILE, ([user],))
    with ledger.as_user(user) as request:
        request.execute("insert into user_profiles (id) values (%s)", (user,))
        record(request, user, READING, 7, day(1), id=event, idempotency_key="first")
        seen = request.execute("select id, kwh_value from electricity_readings_v").fetchall()

    assert seen == [(event, 7)]


def test_a_profile_deleted_mid_way_takes_what_its_transaction_wrote(owner: Connection) -> None:
    user, bystander = sign_up(owner, 2)
    with owner.transaction():
        record(owner, bystander)
        record(owner, user)
        owner.execute(DELETE_PROFILE, ([user],))

    assert leftovers(owner, user) == {}
    assert leftovers(owner, bystander)["public.token_events"] == 1


def test_a_deletion_that_is_rolled_back_took_nothing(owner: Connection) -> None:
    [user] = sign_up(owner, 1)
    record(owner, user)
    before = leftovers(owner, user)
    with owner.transaction(force_rollback=True):
        owner.execute(DELETE_PROFILE, ([user],))
        assert leftovers(owner, user) == {}

    assert leftovers(owner, user) == before
