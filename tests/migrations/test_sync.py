"""Forward sync: what is written to the legacy table shows in the view in the same transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.support.clients import Clients
from tests.support.database import Connection, Database
from tests.support.household import (
    ZONE,
    events_of,
    named,
    plant,
    put_events,
    put_readings,
    readings_of,
)
from tests.support.rollout import apply, projection_is_live, table_texts
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import DateType, StartingPoint

# The legacy rows that the view owes, and what it shows of migrated ones: each must be the other.
_DIFFERENCES = b"""
with
legacy as (
  select
    r.user_id, r.id, r.date, r.kwh_value, r.token_amount, r.token_cost, r.notes,
    r.meter_photo_url, r.created_at
  from public.electricity_readings as r
  where not exists (select from ledger.pending_readings as p where p.id = r.id)
    and not (
      coalesce(r.token_cost, 0) >= 1e12 or r.created_at = 'infinity' or r.kwh_value = 'NaN'
    )
),
seen as (
  select
    v.user_id, v.id, v.date, v.kwh_value, v.token_amount, v.token_cost, v.notes,
    v.meter_photo_url, v.created_at
  from public.electricity_readings_v as v
  where not exists (
    select from public.token_events as e
    where e.user_id = v.user_id and coalesce(e.reading_id, e.id) = v.id and not e.is_voided
      and not exists (
        select from ledger.migrated_readings as l
        where l.user_id = e.user_id and l.event_id = e.id
      )
  )
)
(select 'lost', d.* from (table legacy except all table seen) as d)
union all
(select 'made up', d.* from (table seen except all table legacy) as d)
"""


@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_any_sequence_of_legacy_writes_shows_at_once(
    make_database: MakeDatabase, date_type: DateType
) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY, date_type=date_type)
    apply(database, time_zone=ZONE)
    users = (database.add_user(), database.add_user())
    owner = database.admin()

    @settings(max_examples=45, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        with half_migrated(owner, users) as (connection, found):
            clients = Clients(data, connection, users, pending(connection))
            for _ in range(data.draw(st.integers(1, 8))):
                note(clients.anything())
                assert connection.execute(_DIFFERENCES).fetchall() == []
                assert pending(connection) <= clients.untouched
                if data.draw(st.integers(0, 7)) == 0:
                    connection.execute("select ledger.migrate_data()")
            settled(connection)
            connection.execute("select ledger.undo_data_migration()")
            events = table_texts(connection, "public", "token_events")
            assert events == sorted([*found, *clients.own_events.values()])

    with owner:
        holds()


@contextmanager
def half_migrated(
    connection: Connection, users: tuple[UUID, ...]
) -> Iterator[tuple[Connection, list[str]]]:
    """A transaction over rows that the deferred backfill has moved, and rows that it has not.

    Yields the connection, and token_events as they were found.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("set local session_replication_role = replica")
        for user in users:
            rows = readings_of(user)
            put_readings(connection, [row | {"created_at": "2020-01-01Z"} for row in rows])
            put_events(connection, events_of(user))
        connection.execute("set local session_replication_role = origin")
        connection.execute("set local role postgres")
        connection.execute("select ledger.project_everything()")
        found = table_texts(connection, "public", "token_events")
        connection.execute(
            "select ledger.migrate_users(ledger.start_migration(), array[%s]::uuid[])", (users[0],)
        )
        yield connection, found


def pending(connection: Connection) -> set[UUID]:
    return {row[0] for row in connection.execute("select id from ledger.pending_readings")}


def settled(connection: Connection) -> None:
    """The backfill that comes last finds only what no live write had moved."""
    waiting = pending(connection)
    run = connection.execute("select ledger.migrate_data()").fetchone()
    assert run is not None
    assert run[0]["migrated"] + run[0]["rejected"] == len(waiting)
    assert pending(connection) == set()
    assert connection.execute(_DIFFERENCES).fetchall() == []
    assert connection.execute("select * from ledger.migration_differences()").fetchall() == []
    assert projection_is_live(connection)


def test_rows_wait_until_the_time_zone_is_confirmed(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY)
    apply(database)
    user = database.add_user()
    with database.as_user(user) as request:
        put_readings(request, readings_of(user))
        request.execute("update electricity_readings set notes = 'x'")
        request.execute("delete from electricity_readings where kwh_value = 54")
    waiting = len(readings_of(user)) - 1
    assert database.value("select count(*) from ledger.pending_readings") == waiting
    assert database.value("select count(*) from electricity_readings_v") == 0

    database.rows("update ledger.settings set time_zone = %s", (ZONE,))
    database.rows("update electricity_readings set kwh_value = 1 where token_amount = 50")
    assert database.value("select count(*) from ledger.pending_readings") == waiting - 1
    assert database.value("select ledger.migrate_data() ->> 'migrated'") == str(waiting - 1)
    assert database.rows("select * from ledger.migration_differences()") == []


def test_a_pending_reading_that_is_edited_still_absorbs_its_event(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    user, other = plant(database, StartingPoint.DUAL_WRITE)
    apply(database, time_zone=ZONE, defer_backfill=True)
    with database.as_user(user) as request:
        request.execute("update electricity_readings set notes = 'edited' where token_amount = 50")
    assert database.rows("select user_id from ledger.merges") == [(user,)]
    database.rows("select ledger.migrate_data()")
    merged = database.rows("select user_id, event_id from ledger.merges")
    assert set(merged) == {(user, named(user, "e topup")), (other, named(other, "e topup"))}


def test_a_table_without_constraints_rejects_and_takes_back(make_database: MakeDatabase) -> None:
    """Nulls, negative numbers and rows of nobody: found ones and live ones alike."""
    database = make_database(StartingPoint.LEGACY_ONLY)
    user = database.add_user()
    database.rows(
        "alter table electricity_readings alter user_id drop not null, alter date drop not null,"
        " alter kwh_value drop not null, drop constraint electricity_readings_kwh_value_check,"
        " drop constraint electricity_readings_user_id_fkey"
    )
    rows = [
        {"user_id": user, "kwh_value": 1},
        {"date": "2024-01-01", "kwh_value": 1},
        {"user_id": user, "date": "2024-01-01"},
        {"user_id": user, "date": "2024-01-01", "kwh_value": -1},
        {"user_id": named(user, "nobody"), "date": "2024-01-01", "kwh_value": 1},
        {},
    ]

    def put(name: str) -> None:
        with database.connect() as connection:
            numbered = [row | {"id": named(user, f"{name}{n}")} for n, row in enumerate(rows)]
            put_readings(connection, numbered)

    put("found")
    apply(database, time_zone=ZONE)
    put("live")
    reasons = database.rows(
        "select reason, count(*) from ledger.migration_rejects group by 1 order by 1"
    )
    assert reasons == [
        ("kwh_value out of range", 2),
        ("no date", 2),
        ("no kwh_value", 2),
        ("no profile owns it", 2),
        ("no user", 4),
    ]
    shown = "select count(*) from electricity_readings_v"
    database.rows(
        "update electricity_readings set user_id = %s, date = now(), kwh_value = 3", (user,)
    )
    assert database.value("select count(*) from ledger.migration_rejects") == 0
    assert database.value(shown) == 2 * len(rows)
    database.rows("update electricity_readings set user_id = null")
    assert database.value("select count(*) from ledger.migration_rejects") == 2 * len(rows)
    assert database.value(shown) == 0
    assert database.rows("select * from ledger.migration_differences()") == []


def test_a_deleted_profile_takes_everything_with_it(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    gone, stays = database.add_user(), database.add_user()
    with database.connect() as connection:
        put_readings(connection, readings_of(gone))
    apply(database, time_zone=ZONE)
    with database.connect() as connection:
        put_readings(connection, readings_of(stays))
        late = {"id": named(gone, "late"), "user_id": gone, "date": "2024-04-01"}
        put_readings(connection, [late | {"kwh_value": 1, "token_cost": "NaN"}])
        connection.execute(
            "update electricity_readings set notes = 'changed' where id = %s",
            (named(gone, "topup"),),
        )
    database.rows("delete from user_profiles where id = %s", (gone,))
    assert mentions(database, gone) == []
    assert database.rows("select * from ledger.migration_differences()") == []
    shown = database.value(
        "select count(*) from electricity_readings_v where user_id = %s", (stays,)
    )
    assert shown == len(readings_of(stays))


def mentions(database: Database, user: UUID) -> list[str]:
    """The tables that still hold something of a user's, the record of runs aside."""
    tables = database.rows(
        "select c.relnamespace::regnamespace::text, c.relname from pg_class as c"
        " where c.relkind = 'r' and c.relname <> 'users'"
        " and c.relnamespace::regnamespace::text in ('public', 'ledger')"
    )
    with database.connect() as connection:
        return [
            str(name)
            for schema, name in tables
            if any(str(user) in text for text in table_texts(connection, schema, name))
        ]


def test_truncate_of_the_legacy_table_is_refused(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    user = database.add_user()
    with database.connect() as connection:
        put_readings(connection, readings_of(user))
    apply(database, time_zone=ZONE)
    with pytest.raises(Exception, match="never truncated"):
        database.rows("truncate electricity_readings")
    assert database.rows("select * from ledger.migration_differences()") == []
