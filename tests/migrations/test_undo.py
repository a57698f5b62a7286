"""Undoing the data migration: exactly what it made goes, whatever was written since stays."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest
from psycopg.rows import TupleRow

from tests.support.database import Database
from tests.support.household import ZONE, events_of, named, plant, put_readings, readings_of
from tests.support.rollout import apply, projection_is_live, roll_everything_back, table_texts
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.rollout import phases, roll_back

VOID = (
    "update token_events set is_voided = true, voided_at = '2024-06-01 00:00+00',"
    " voided_by = %(user)s, voided_reason = %(reason)s where id = %(id)s"
)
VOID_EVENT = (
    "insert into token_events (id, user_id, event_type, event_date, kwh_amount, void_of_event)"
    " values (%(id)s, %(user)s, 'VOID', now(), 0, %(target)s)"
)


def test_a_client_that_voids_a_merged_event_voids_its_survivor(make_database: MakeDatabase) -> None:
    database, user, other = migrated(make_database)
    merged, survivor = named(user, "e topup"), named(user, "topup")
    client(database, user, VOID, id=merged, user=user, reason="typo")
    assert state(database, user, survivor) == (True, "typo", user)
    assert seen(database, user, survivor) == 0
    assert seen(database, other, named(other, "topup")) == 1

    undo(database)
    assert state(database, user, merged) == (True, "typo", user)
    assert state(database, user, survivor) is None
    assert state(database, other, named(other, "e topup")) == (False, None, None)
    reasons = set_aside(database, user)
    assert [kind for kind, _, _ in reasons] == ["voided event"]
    assert reasons[0][2]["id"] == str(survivor)


def test_a_survivor_voided_by_its_own_id_keeps_its_merged_event_void(
    make_database: MakeDatabase,
) -> None:
    database, user, _ = migrated(make_database)
    client(database, user, VOID, id=named(user, "topup"), user=user, reason="mine")
    undo(database)
    assert state(database, user, named(user, "e topup")) == (True, "mine", user)


def test_voiding_a_merged_event_reaches_the_survivor_of_an_edited_reading(
    make_database: MakeDatabase,
) -> None:
    database, user, _ = migrated(make_database)
    client(
        database,
        user,
        "update electricity_readings set notes = 'edited' where id = %(id)s",
        id=named(user, "topup"),
    )
    client(database, user, VOID, id=named(user, "e topup"), user=user, reason="typo")
    assert seen(database, user, named(user, "topup")) == 0
    undo(database)
    assert state(database, user, named(user, "e topup")) == (True, "typo", user)


def test_voiding_the_event_of_an_older_fact_leaves_the_newer_one(
    make_database: MakeDatabase,
) -> None:
    """The edit of a dual-write app: the legacy row changes, then its old event is voided."""
    database, user, _ = migrated(make_database)
    client(
        database,
        user,
        "update electricity_readings set token_amount = 60 where id = %(id)s",
        id=named(user, "topup"),
    )
    client(database, user, VOID, id=named(user, "e topup"), user=user, reason="edited")
    assert seen(database, user, named(user, "topup")) == 1
    undo(database)
    assert state(database, user, named(user, "e topup")) == (True, "edited", user)


def test_a_fact_deleted_on_both_sides_stays_deleted(make_database: MakeDatabase) -> None:
    database, user, _ = migrated(make_database)
    delete = "delete from electricity_readings where id = %(id)s"
    client(database, user, delete, id=named(user, "topup"))
    client(database, user, VOID, id=named(user, "e topup"), user=user, reason="deleted")
    assert seen(database, user, named(user, "topup")) == 0
    undo(database)
    assert state(database, user, named(user, "e topup")) == (True, "deleted", user)


def test_a_void_that_comes_as_an_event_first_is_one_void(make_database: MakeDatabase) -> None:
    """The two halves of a void in the other order, about a merged event."""
    database, user, _ = migrated(make_database)
    half = named(user, "void of merged")
    client(database, user, VOID_EVENT, id=half, user=user, target=named(user, "e topup"))
    client(database, user, VOID, id=named(user, "e topup"), user=user, reason="typo")
    assert seen(database, user, named(user, "topup")) == 0
    undo(database)
    assert state(database, user, named(user, "e topup")) == (True, "typo", user)
    assert state(database, user, half) == (False, None, None)  # its target is there still
    with pytest.raises(psycopg.Error, match="has its VOID event already"):
        client(
            database,
            user,
            VOID_EVENT,
            id=named(user, "second void"),
            user=user,
            target=named(user, "e topup"),
        )


def test_what_points_at_migrated_events_is_set_aside_and_named(make_database: MakeDatabase) -> None:
    database, user, _ = migrated(make_database)
    reading, batch = named(user, "first"), named(user, "late batch")
    ids = {name: named(user, name) for name in ("v1", "v2", "a1", "own")}
    client(database, user, VOID, id=reading, user=user, reason="wrong")
    client(database, user, VOID_EVENT, id=ids["v1"], user=user, target=reading)
    # A void of a void, from before such a thing was refused.
    database.rows(VOID_EVENT, {"id": ids["v2"], "user": user, "target": ids["v1"]})
    client(
        database,
        user,
        "insert into token_events (id, user_id, event_type, event_date, kwh_amount, void_of_event)"
        " values (%(id)s, %(user)s, 'ADJUSTMENT', '2024-03-09Z', 2, %(target)s)",
        id=ids["a1"],
        user=user,
        target=named(user, "zero"),
    )
    client(
        database,
        user,
        "insert into recalculation_batches (id, user_id, trigger_type, trigger_event_id,"
        " affected_events, events_count) values (%(id)s, %(user)s, 'EDIT_TOPUP', %(target)s,"
        " '[]', 0)",
        id=batch,
        user=user,
        target=named(user, "topup"),
    )
    counts = undo(database)
    rows = set_aside(database, user)
    assert [kind for kind, _, _ in rows] == [
        "batch reference", "event reference", "void event", "void event", "voided event",
    ]  # fmt: skip
    for _, reason, row in rows:
        assert any(
            str(id_) in reason or row["id"] == str(id_) for id_ in (*ids.values(), reading, batch)
        )
    assert counts["batch_references_set_aside"] == 1
    assert counts["voided_events_set_aside"] == 1
    assert rows[0][2]["trigger_event_id"] == str(named(user, "topup"))

    assert state(database, user, ids["v1"]) is None
    assert state(database, user, ids["v2"]) is None
    assert state(database, user, ids["a1"]) == (False, None, None)  # a counted event stays
    assert seen(database, user, ids["a1"]) == 1
    batches = database.rows(
        "select trigger_event_id from recalculation_batches where id = %s", (batch,)
    )
    assert batches == [(None,)]


def test_everything_written_since_stays(make_database: MakeDatabase) -> None:
    database, user, _ = migrated(make_database)
    with database.connect() as connection:
        before = table_texts(connection, "public", "token_events")
    own = named(user, "since")
    insert = (
        "insert into token_events (id, user_id, event_type, event_date, kwh_amount, created_by,"
        " idempotency_key) values (%(id)s, %(user)s, 'TOPUP', '2024-05-01Z', 30, %(user)s, 'k')"
    )
    client(database, user, insert, id=own, user=user)
    client(database, user, VOID, id=named(user, "e own"), user=user, reason="mine")
    client(database, user, VOID, id=named(user, "namesake"), user=user, reason="moved aside, mine")
    undo(database)
    assert state(database, user, own) == (False, None, None)
    assert state(database, user, named(user, "e own")) == (True, "mine", user)
    assert state(database, user, named(user, "same id")) == (False, None, None)
    assert seen(database, user, own) == 1
    with database.connect() as connection:
        assert len(table_texts(connection, "public", "token_events")) < len(before)
        assert projection_is_live(connection)


def test_a_displaced_event_voided_under_its_id_stays_void(make_database: MakeDatabase) -> None:
    """Under the reading's id stands now the reading, but the event keeps its own id for clients."""
    database, user, _ = migrated(make_database)
    displaced = named(user, "namesake")
    shown = database.value(
        "select reading_id from token_events where user_id = %s and id = %s", (user, displaced)
    )
    assert seen(database, user, shown) == seen(database, user, displaced) == 1
    client(database, user, VOID, id=displaced, user=user, reason="mine")
    assert seen(database, user, shown) == 0
    assert seen(database, user, displaced) == 1
    undo(database)
    assert state(database, user, displaced) == (True, "mine", user)
    assert seen(database, user, displaced) == 0


def test_sync_goes_on_after_the_undo_and_the_data_may_move_again(
    make_database: MakeDatabase,
) -> None:
    database, user, _ = migrated(make_database)
    undo(database)
    edit = "update electricity_readings set kwh_value = 61 where id = %(id)s"
    client(database, user, edit, id=named(user, "zero"))
    assert seen(database, user, named(user, "zero")) == 1
    assert database.value("select ledger.migrate_data() ->> 'migrated'") == "15"
    assert database.rows("select * from ledger.migration_differences()") == []


def test_the_rollback_of_the_sync_takes_what_it_wrote_and_gives_the_table_back(
    make_database: MakeDatabase,
) -> None:
    """Live writes after the migration: the legacy table keeps them, the events of the sync go."""
    database, user, other = migrated(make_database, apply_now=False)
    with database.connect() as connection:
        found = table_texts(connection, "public", "token_events")
    apply(database, time_zone=ZONE)
    client(
        database,
        user,
        "update electricity_readings set kwh_value = 61, token_amount = 9 where kwh_value > 50",
    )
    client(database, user, "delete from electricity_readings where kwh_value = 49")
    with database.as_user(other) as request:
        put_readings(
            request, [readings_of(other)[0] | {"id": named(other, "x"), "date": "2024-07-01"}]
        )
    with database.connect() as connection:
        legacy = table_texts(connection, "public", "electricity_readings")
    roll_everything_back(database)
    with database.connect() as connection:
        assert table_texts(connection, "public", "token_events") == found
        assert table_texts(connection, "public", "electricity_readings") == legacy


def test_what_was_set_aside_holds_the_last_rollback_until_it_is_saved(
    make_database: MakeDatabase,
) -> None:
    database, user, _ = migrated(make_database)
    client(database, user, VOID, id=named(user, "first"), user=user, reason="wrong")
    with pytest.raises(Exception, match="set_aside holds 1 rows that exist nowhere else"):
        roll_everything_back(database)
    assert database.value("select count(*) from ledger.set_aside where kind = 'voided event'") == 1
    database.rows("delete from ledger.set_aside")
    with database.connect(autocommit=True) as connection:
        roll_back(connection, phases()[0])
    assert database.value("select to_regnamespace('ledger')") is None


def migrated(make_database: MakeDatabase, *, apply_now: bool = True) -> tuple[Database, UUID, UUID]:
    database = make_database(StartingPoint.DUAL_WRITE)
    user, other = plant(database, StartingPoint.DUAL_WRITE)
    assert len(events_of(user)) == 8
    if apply_now:
        apply(database, time_zone=ZONE)
    return database, user, other


def client(database: Database, who: UUID, statement: str, **parameters: object) -> None:
    with database.as_user(who) as request:
        request.execute(statement.encode(), parameters)


def undo(database: Database) -> dict[str, int]:
    counts: dict[str, int] = database.value("select ledger.undo_data_migration()")
    return counts


def state(database: Database, user: UUID, event: UUID) -> TupleRow | None:
    rows = database.rows(
        "select is_voided, voided_reason, voided_by from token_events"
        " where user_id = %s and id = %s",
        (user, event),
    )
    return rows[0] if rows else None


def seen(database: Database, user: UUID, reading: UUID) -> int:
    count: int = database.value(
        "select count(*) from electricity_readings_v where user_id = %s and id = %s",
        (user, reading),
    )
    return count


def set_aside(database: Database, user: UUID) -> list[tuple[str, str, dict[str, str]]]:
    return [
        (row[0], row[1], row[2])
        for row in database.rows(
            "select kind, reason, row_data from ledger.set_aside where user_id = %s order by 1, 2",
            (user,),
        )
    ]
