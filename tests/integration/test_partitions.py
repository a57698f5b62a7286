"""token_events in partitions by user: the same keys, checks, positions and projection.

A copy in four partitions takes the table's place; what docs/scaling.md says of it is tried here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.support.database import Connection, Database
from tests.support.events import (
    READING,
    TOPUP,
    day,
    expected_rows,
    mark_voided,
    record,
    shared_database,
    sign_up,
)
from tests.support.servers import Databases

PARTITIONS = 4
USERS = 24
# Newest readings, counted by day, positions: what a user asks, aimed at one user.
QUESTIONS = {
    "positions": None,  # the statement of calculate_user_positions(), read from the database
    "newest": "select * from public.token_events where user_id = $1 and not is_voided"
    " and event_type <> 'VOID' order by event_date desc, created_at desc, id desc limit 10",
    "by id": "select * from public.token_events where (user_id, id) = ($1, gen_random_uuid())",
    "by key": "select * from public.token_events where user_id = $1 and idempotency_key = 'x'",
    "void": "update public.token_events set recalc_batch_id = null where user_id = $1",
}
# The triggers that hand no row of the table to a function: a row of the copy is of another type.
TRIGGERS = (
    *("token_events_project_inserts", "token_events_project_updates"),
    *("token_events_project_deletes", "token_events_guard_update", "token_events_guard_delete"),
    *("token_events_guard_truncate", "token_events_take_own_turn"),
)


@pytest.fixture(scope="module", params=[17, 15])
def database(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    """A database whose token_events is partitioned, loaded from the one that it had."""
    for made in shared_database(databases(request.param)):
        with made.connect() as connection:
            load(connection)
            positions = everybodys(connection)
            partition(connection)
            assert everybodys(connection) == positions
        yield made


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with database.connect() as connection:
        yield connection
        connection.rollback()


def load(connection: Connection) -> None:
    """Everybody gets forty events of each kind, some voided."""
    sign_up(connection, USERS)
    connection.execute(
        "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
        " select p.id, (array['TOPUP', 'METER_READING', 'ADJUSTMENT'])[1 + n %% 3],"
        "  %s + n * interval '6 hours', 1 + n from public.user_profiles as p,"
        " generate_series(1, 40) as n",
        (day(0),),
    )
    connection.execute(
        "update public.token_events set is_voided = true where extract(hour from event_date) = 6"
        " and event_type = 'TOPUP'"
    )


def partition(connection: Connection) -> None:
    """Put a partitioned copy in the table's place, with its keys, checks and triggers."""
    triggers = connection.execute(
        "select pg_get_triggerdef(oid) from pg_trigger"
        " where tgrelid = 'public.token_events'::regclass and tgname = any (%s)",
        (list(TRIGGERS),),
    ).fetchall()
    assert len(triggers) == len(TRIGGERS)
    connection.execute("alter table public.token_events rename to token_events_whole")
    connection.execute(
        "create table public.token_events (like public.token_events_whole including all)"
        " partition by hash (user_id)"
    )
    for number in range(PARTITIONS):
        connection.execute(
            f"create table public.token_events_{number} partition of public.token_events"
            f" for values with (modulus {PARTITIONS}, remainder {number})"
        )
    connection.execute("insert into public.token_events select * from public.token_events_whole")
    connection.execute(
        "alter table public.token_events"
        " add foreign key (user_id) references public.user_profiles on delete cascade,"
        " add constraint token_events_void_of_event_tenant_fkey"
        "  foreign key (user_id, void_of_event) references public.token_events (user_id, id)"
    )
    for (definition,) in triggers:
        connection.execute(definition)
    connection.execute("analyze public.token_events")


def everybodys(connection: Connection) -> list[Any]:
    """Each user's positions by the function, and what the projection shows."""
    return [
        connection.execute(
            "select p.* from public.user_profiles as u"
            " cross join public.calculate_user_positions(u.id) as p order by 2, 4, 12, 1"
        ).fetchall(),
        connection.execute("select * from ledger.readings order by user_id, id").fetchall(),
    ]


def somebody(connection: Connection) -> UUID:
    row = connection.execute("select min(id::text)::uuid from public.user_profiles").fetchone()
    assert row is not None
    return UUID(str(row[0]))


def keys(connection: Connection, table: str) -> set[str]:
    """Unique indexes and checks, by what they say and not by their names."""
    found = connection.execute(
        "select regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') from pg_index"
        " where indrelid = %(table)s::regclass and indisunique"
        " union all select pg_get_constraintdef(oid) from pg_constraint"
        " where conrelid = %(table)s::regclass and contype in ('c', 'f')",
        {"table": f"public.{table}"},
    )
    return {str(said).replace("token_events_whole", "token_events") for (said,) in found}


def test_the_copy_has_every_key_and_check_of_the_table(connection: Connection) -> None:
    copied = keys(connection, "token_events")
    assert keys(connection, "token_events_whole") <= copied
    assert len([key for key in copied if "(user_id, id)" in key]) >= 2


def test_every_partition_has_rows(connection: Connection) -> None:
    found = connection.execute(
        "select tableoid::regclass, count(*) from public.token_events group by 1"
    ).fetchall()
    assert len(found) == PARTITIONS
    assert sum(count for _, count in found) == USERS * 40


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_users_question_touches_one_partition(connection: Connection, name: str) -> None:
    assert len(partitions(connection, question(connection, name), somebody(connection))) == 1


def test_a_question_about_everybody_touches_each(connection: Connection) -> None:
    everybody = "select count(*) from public.token_events where user_id is distinct from $1"
    assert len(partitions(connection, everybody, somebody(connection))) == PARTITIONS


def question(connection: Connection, name: str) -> str:
    asked = QUESTIONS[name]
    if asked is None:
        row = connection.execute(
            "select prosrc from pg_proc"
            " where oid = 'public.calculate_user_positions(uuid)'::regprocedure"
        ).fetchone()
        assert row is not None
        asked = str(row[0]).strip().rstrip(";")
        asked = asked.replace("calculate_user_positions.p_user_id", "$1")
    return asked


def partitions(connection: Connection, asked: str, user: UUID) -> set[str]:
    """The tables that a plan which was made for no user in particular opens for this one."""
    connection.execute("set local plan_cache_mode = force_generic_plan")
    connection.execute(f"prepare asked (uuid) as {asked}".encode())
    row = connection.execute(
        f"explain (analyze, format json) execute asked ('{user}')".encode()
    ).fetchone()
    assert row is not None
    found: set[str] = set()

    def walk(node: dict[str, Any]) -> None:
        # An index scan names its table too; what was cut off before has no node.
        if node.get("Relation Name", "").startswith("token_events_") and node["Actual Loops"]:
            found.add(node["Relation Name"])
        for further in node.get("Plans", []):
            walk(further)

    walk(row[0][0]["Plan"])
    assert json.dumps(row[0]).count("token_events"), "it reads the table"
    return found


def test_the_projection_follows_writes_to_partitions(connection: Connection) -> None:
    user, *_ = users = sign_up(connection, 5)
    for each in users:
        record(connection, each, TOPUP, 10, day(1))
        record(connection, each, READING, 4, day(3))
    back_dated = record(connection, user, TOPUP, 5, day(2))
    mark_voided(connection, back_dated)
    record(connection, user, READING, 9, day(2))

    shown = connection.execute(
        "select * from public.electricity_readings_v where user_id = any (%s)", (users,)
    ).fetchall()
    expected = [row for row in expected_rows(connection) if row[1] in users]
    assert sorted(map(str, shown)) == sorted(map(str, expected))


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("update public.token_events set kwh_amount = 99 where user_id = %(user)s", "ML101"),
        ("delete from public.token_events where user_id = %(user)s", "ML101"),
        ("truncate public.token_events", "ML101"),
        (
            "insert into public.token_events (user_id, id, event_type, event_date, kwh_amount)"
            " select user_id, id, event_type, event_date, 1 from public.token_events"
            " where user_id = %(user)s limit 1",
            "23505",
        ),
    ],
)
def test_the_guards_and_keys_hold(connection: Connection, statement: str, error: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(statement.encode(), {"user": somebody(connection)})
    assert raised.value.sqlstate == error
