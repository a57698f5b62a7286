"""Any legacy table beside any dual-written events comes back field by field, and goes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.support.database import Connection, Database
from tests.support.household import put_events, put_readings
from tests.support.legacy import USERS, Table, tables
from tests.support.mapping import Expected, expect
from tests.support.rollout import apply, projection_is_live, table_texts
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import DateType, StartingPoint

# Both ways, by column name; a null created_at is the one field that may differ.
_DIFFERENCES = b"""
with
legacy as (
  select
    r.id, r.user_id, r.date, r.kwh_value, r.token_amount, r.token_cost, r.notes,
    r.meter_photo_url, coalesce(r.created_at, v.created_at) as created_at
  from public.electricity_readings as r
  left join public.electricity_readings_v as v on v.user_id = r.user_id and v.id = r.id
  where not exists (select from ledger.migration_rejects as x where x.reading_id = r.id)
),
seen as (
  select
    v.id, v.user_id, v.date, v.kwh_value, v.token_amount, v.token_cost, v.notes,
    v.meter_photo_url, v.created_at
  from public.electricity_readings_v as v
  where exists (
    select from ledger.migrated_readings as l
    where l.user_id = v.user_id and l.reading_id = v.id and not l.superseded
  )
)
(select 'lost', d.* from (table legacy except all table seen) as d)
union all
(select 'made up', d.* from (table seen except all table legacy) as d)
"""


@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_any_legacy_table_gives_itself_back(
    make_database: MakeDatabase, date_type: DateType
) -> None:
    database = prepared(make_database, date_type)

    owner = database.admin()

    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    @given(table=st.data())
    def holds(table: st.DataObject) -> None:
        rows = table.draw(tables(date_type))
        with scratch(owner, rows) as connection:
            before = table_texts(connection, "public", "token_events")
            expected = expect(rows.readings, rows.events, rows.zone, set(USERS))
            note(str(expected))

            run = migrate(connection)
            books_balance(connection, rows, expected, run)
            gives_back(connection, rows, expected)
            assert migrate(connection)["migrated"] == 0

            connection.execute("select ledger.undo_data_migration()")
            assert table_texts(connection, "public", "token_events") == before
            assert projection_is_live(connection)

            again = migrate(connection)
            assert again["migrated"] == run["migrated"]
            gives_back(connection, rows, expected)

    with owner:
        holds()


def prepared(make_database: MakeDatabase, date_type: DateType) -> Database:
    """A migrated dual-write database with two users in it and no rows; amounts without limits."""
    database = make_database(StartingPoint.DUAL_WRITE, date_type=date_type)
    apply(database)
    with database.admin() as connection:
        for user in USERS:
            connection.execute("insert into auth.users (id) values (%s)", (user,))
    return database


@contextmanager
def scratch(connection: Connection, table: Table) -> Iterator[Connection]:
    """A transaction as the owner, over the given rows, that is taken back at its end."""
    with connection.transaction(force_rollback=True):
        # The rows were there before any trigger was, and some have no owner.
        connection.execute("set local session_replication_role = replica")
        put_readings(connection, [reading.row() for reading in table.readings])
        put_events(connection, [event.row() for event in table.events])
        connection.execute("set local session_replication_role = origin")
        connection.execute("set local role postgres")
        connection.execute("select set_config('timezone', %s, true)", (table.session_zone,))
        connection.execute("update ledger.settings set time_zone = %s", (table.zone.key,))
        connection.execute("select ledger.project_everything()")
        yield connection


def migrate(connection: Connection) -> dict[str, Any]:
    row = connection.execute("select ledger.migrate_data()").fetchone()
    assert row is not None
    run: dict[str, Any] = row[0]
    return run


def books_balance(
    connection: Connection, table: Table, expected: Expected, run: dict[str, Any]
) -> None:
    assert run["legacy_rows"] == len(table.readings)
    assert run["rejected"] == len(expected.rejected)
    assert run["migrated"] + run["rejected"] == run["legacy_rows"]
    assert run["completed"] == len(expected.completed)
    assert run["merged"] == len(expected.merges)
    rejects = connection.execute(
        "select x.reading_id from ledger.migration_rejects as x"
        " inner join public.electricity_readings as r on r.id = x.reading_id"
        " where x.row_data = to_jsonb(r) and x.reason <> ''"
    ).fetchall()
    assert {row[0] for row in rejects} == expected.rejected


def gives_back(connection: Connection, table: Table, expected: Expected) -> None:
    """Nothing lost, nothing made up, nothing counted twice."""
    assert connection.execute(_DIFFERENCES).fetchall() == []
    merges = connection.execute(
        "select m.user_id, m.event_id, m.reading_id, e.voided_reason, s.is_voided,"
        " coalesce(s.reading_id, s.id)"
        " from ledger.merges as m"
        " inner join public.token_events as e on e.user_id = m.user_id and e.id = m.event_id"
        " inner join public.token_events as s on s.user_id = m.user_id and s.id = m.survivor_id"
        " where e.is_voided"
    ).fetchall()
    assert {(row[0], row[1]): row[2] for row in merges} == expected.merges
    for row in merges:
        assert row[3:] == (f"merged into {row[2]}", False, row[2])
    assert count(connection, "public.electricity_readings_v") == expected.view_rows
    still_seen(connection, table, expected)
    assert projection_is_live(connection)


def still_seen(connection: Connection, table: Table, expected: Expected) -> None:
    """Counted events that no reading absorbed say what they said, displaced ones too."""
    beside = {
        (event.user_id, event.id): event.kwh_amount
        for event in table.events
        if event.counts
        and (event.user_id, event.id) not in expected.merges
        and (event.user_id, event.id) not in expected.completed
    }
    assert expected.displaced <= set(beside)
    found = connection.execute(
        "select e.user_id, e.id, e.kwh_amount, e.reading_id is not null"
        " from public.token_events as e"
        " inner join public.electricity_readings_v as v"
        " on v.user_id = e.user_id and v.id = coalesce(e.reading_id, e.id)"
        " where not e.is_voided and not exists ("
        " select from ledger.migrated_readings as l"
        " where l.user_id = e.user_id and l.event_id = e.id)"
    ).fetchall()
    assert {(row[0], row[1]): row[2] for row in found} == beside
    assert {(row[0], row[1]) for row in found if row[3]} == expected.displaced


def count(connection: Connection, table: str) -> int:
    schema, name = table.split(".")
    row = connection.execute(
        sql.SQL("select count(*) from {}").format(sql.Identifier(schema, name))
    ).fetchone()
    assert row is not None
    return int(row[0])
