"""The schema can be spread by user: the catalog's rules, and what a user's writes touch.

The rules are those that Citus has for a distribution column; Citus itself is not to be had here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from tests.support.calls import Client
from tests.support.cutover import cut_over, rolled_out
from tests.support.database import Connection, Database
from tests.support.events import (
    READING,
    TOPUP,
    day,
    mark_voided,
    record,
    shared_database,
    signed_in,
)
from tests.support.servers import Databases, MakeDatabase
from tests.support.shards import (
    changes,
    functions_that_name_no_user,
    owners_of,
    snapshot,
    violations,
    without_user,
)
from toolkit.bootstrap import StartingPoint

# Without a user: a copy on each node, or local to the coordinator.
NOT_DISTRIBUTED = {
    "ledger.audits": "one row an audit",
    "ledger.cutovers": "one row a cutover",
    "ledger.deployments": "one row a phase file",
    "ledger.found_objects": "what the rollout found",
    "ledger.maintenance": "one row a transaction of an operator's",
    "ledger.migration_runs": "one row a run",
    "ledger.receipts": "one row a receipt",
    "ledger.refresh_log": "one row a refresh",
    "ledger.settings": "one row",
    "ledger.work_settings": "one row",
    "ledger.work_state": "one row",
}
# With a user, and left out: docs/scaling.md says why, and what becomes of them.
EXCEPTIONS = {
    "public.electricity_readings": "unique without the user: electricity_readings_pkey",
    "ledger.migration_rejects": "unique without the user: migration_rejects_pkey",
    "ledger.set_aside": "unique without the user: set_aside_pkey",
}
NULLABLE = {"ledger.migration_rejects", "ledger.set_aside"}  # a row may have no owner
NUMBERED = {"ledger.set_aside"}
# Functions that read or write tables of users and name no user: what works through everybody.
FOR_EVERYBODY = {
    "create_user_profile()": "the new user's own row, by its id",
    "ledger.contract()": "the operator's",
    "ledger.create_readings_view()": "the operator's",
    "ledger.cut_over(text[])": "the operator's",
    "ledger.finish_migration(bigint)": "the operator's",
    "ledger.keep_time_zone()": "the operator's: is anything migrated at all?",
    "ledger.migration_problems()": "the operator's",
    "ledger.refresh_reason(integer)": "the schedule's: counts users",
    "ledger.switch_projector_on(text[])": "the schedule's: the catalog's triggers",
}

PLANTED = {
    "create unique index plant on public.token_events (id)": (
        "public.token_events",
        "unique without the user: plant",
    ),
    "alter table ledger.heads drop constraint heads_pkey, alter user_id drop not null": (
        "ledger.heads",
        "the user may be null",
    ),
    "alter table public.recalculation_batches add number bigint generated always as identity": (
        "public.recalculation_batches",
        "a number of one sequence: number",
    ),
    "create table ledger.plant (event_user uuid, event_id uuid,"
    " constraint plant foreign key (event_user, event_id) references public.token_events)": (
        "ledger.plant",
        "a foreign key that leaves the user: plant",
    ),
    "alter table public.token_events add constraint plant foreign key (created_by, recalc_batch_id)"
    " references public.recalculation_batches not valid": (
        "public.token_events",
        "a foreign key that leaves the user: plant",
    ),
}


@pytest.fixture(scope="module", params=[17, 15])
def migrated(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from shared_database(databases(request.param))


@pytest.fixture
def connection(migrated: Database) -> Iterator[Connection]:
    with migrated.connect() as connection:
        yield connection
        connection.rollback()


def test_every_table_has_its_user_or_is_known_to_have_none(connection: Connection) -> None:
    assert without_user(connection) == set(NOT_DISTRIBUTED)


def test_the_rules_of_a_distribution_column_hold_but_for_the_exceptions(
    connection: Connection,
) -> None:
    expected = set(EXCEPTIONS.items())
    expected |= {(table, "the user may be null") for table in NULLABLE}
    expected |= {(table, "a number of one sequence: set_aside_id") for table in NUMBERED}

    assert violations(connection) == expected


@pytest.mark.parametrize(("statement", "finding"), PLANTED.items())
def test_a_planted_violation_is_found(
    connection: Connection, statement: str, finding: tuple[str, str]
) -> None:
    before = violations(connection)
    connection.execute(statement.encode())

    assert violations(connection) - before == {finding}


def test_what_touches_tables_of_users_names_the_user_or_is_for_everybody(
    connection: Connection,
) -> None:
    assert functions_that_name_no_user(connection) == set(FOR_EVERYBODY)


def test_a_function_that_names_no_user_is_found(connection: Connection) -> None:
    connection.execute(
        "create function ledger.plant() returns bigint language sql"
        " return (select count(*) from ledger.readings)"
    )
    assert "ledger.plant()" in functions_that_name_no_user(connection)


def test_what_is_for_everybody_no_user_may_call(connection: Connection) -> None:
    may = connection.execute(
        "select f from unnest(%s::text[]) as f"
        " where has_function_privilege('authenticated', f::regprocedure, 'execute')",
        (list(FOR_EVERYBODY),),
    )
    assert may.fetchall() == []


def test_a_users_writes_touch_no_row_of_anybody_else(make_database: MakeDatabase) -> None:
    """Not even a new version of one, in any table; and no row that is nobody's."""
    database, user, _ = rolled_out(make_database, StartingPoint.DUAL_WRITE)
    for switch in (None, cut_over):
        if switch is not None:
            switch(database)
        with database.connect(autocommit=True) as connection:
            before = snapshot(connection)
            writes_events(connection, user)
            writes_readings(connection, user)
            changed = changes(before, snapshot(connection))

        assert owners_of(changed) == {str(user)}
        assert {"public.token_events", "ledger.readings", "ledger.heads"} <= set(changed)


def test_a_touched_row_of_somebody_else_would_be_seen(make_database: MakeDatabase) -> None:
    database, _, other = rolled_out(make_database, StartingPoint.DUAL_WRITE)
    with database.connect(autocommit=True) as connection:
        before = snapshot(connection)
        connection.execute("update ledger.heads set version = version where user_id = %s", (other,))
        assert owners_of(changes(before, snapshot(connection))) == {str(other)}


def writes_events(connection: Connection, user: UUID) -> None:
    """As new clients do: calls and direct writes, newest and back-dated, voided, replaced."""
    client = Client(connection, user)
    first = client.topup(50, 40)["event"]["id"]
    client.reading(30, 50, idempotency_key=f"{first}")
    edit = client.call("replace_event", event_id=first, changes={"kwh_amount": 20})
    client.call("rollback_recalculation", batch_id=edit["batch"]["id"])
    back_dated = client.topup(7, 10)
    client.call("void_event", event_id=back_dated["event"]["id"], reason="typo")
    with signed_in(connection, user) as request:
        event = record(request, user, TOPUP, 3, day(20), created_by=user)
        record(request, user, READING, 9, day(21), created_by=user)
        assert mark_voided(request, event) == 1


def writes_readings(connection: Connection, user: UUID) -> None:
    """As old clients do, to the table or to the view."""
    with signed_in(connection, user) as request:
        for statement in (
            "insert into public.electricity_readings (user_id, date, kwh_value)"
            " values (%(user)s, '2031-01-01', 12), (%(user)s, '2031-01-02', 11)",
            "update public.electricity_readings set kwh_value = 10"
            " where user_id = %(user)s and date = '2031-01-01'",
            "delete from public.electricity_readings"
            " where user_id = %(user)s and date = '2031-01-02'",
        ):
            assert request.execute(statement.encode(), {"user": user}).rowcount > 0
