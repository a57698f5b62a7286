"""What clients said about migrated events outlives a rollback: the next migration says it again."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.support.backfill import outcome
from tests.support.database import Database
from tests.support.household import ZONE, named, plant
from tests.support.rollout import apply, projection_is_live
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.rollout import phases, roll_back
from toolkit.validation.run import validate

MARK = (
    "update token_events set is_voided = true, voided_at = '2024-06-01 00:00+00',"
    " voided_by = user_id, voided_reason = %(reason)s where id = %(id)s"
)
SAY = (
    "insert into token_events (id, user_id, event_type, event_date, kwh_amount, void_of_event,"
    " idempotency_key) values (%(id)s, %(user)s, %(type)s, '2024-06-02Z', 0, %(target)s, %(id)s)"
)
Household = tuple[Database, UUID, UUID]
VOIDED = "select is_voided, voided_reason from token_events where user_id = %s and id = %s"


@pytest.fixture(params=list(StartingPoint)[1:], ids=lambda start: start.value)
def household(make_database: MakeDatabase, request: pytest.FixtureRequest) -> Household:
    database = make_database(request.param)
    user, other = plant(database, request.param)
    apply(database, time_zone=ZONE)
    return database, user, other


def client(database: Database, who: UUID, statement: str, **parameters: object) -> None:
    with database.as_user(who) as request:
        request.execute(statement.encode(), {"user": who, **parameters})


def clients_void(database: Database, user: UUID, other: UUID) -> None:
    """Voids in every way, about every kind of migrated event."""
    void, second = named(user, "void"), named(user, "void of void")
    client(database, user, MARK, id=named(user, "first"), reason="wrong")
    client(database, user, SAY, id=void, type="VOID", target=named(user, "first"))
    # From before such a thing was refused.
    database.rows(SAY, {"id": second, "user": user, "type": "VOID", "target": void})
    client(database, user, MARK, id=named(user, "topup"), reason="by the survivor's id")
    # Merged where there was an event; otherwise this updates nothing.
    client(database, other, MARK, id=named(other, "e topup"), reason="by the merged one's id")
    client(database, other, MARK, id=named(other, "same id"), reason="a completed one")
    client(database, other, MARK, id=event_of(database, other, "namesake"), reason="a new id")
    client(
        database, user, SAY, id=named(user, "refers"), type="ADJUSTMENT", target=named(user, "zero")
    )
    batch = named(user, "late batch")
    client(
        database,
        user,
        "insert into recalculation_batches (id, user_id, trigger_type, trigger_event_id,"
        " affected_events, events_count) values (%(id)s, %(user)s, 'EDIT_TOPUP', %(target)s,"
        " '[]', 0)",
        id=batch,
        target=named(user, "odd"),
    )
    client(
        database,
        user,
        "update token_events set recalc_batch_id = %(batch)s where id = %(id)s",
        batch=batch,
        id=named(user, "zero"),
    )


def event_of(database: Database, user: UUID, reading: str) -> UUID:
    event: UUID = database.value(
        "select event_id from ledger.migrated_readings where user_id = %s and reading_id = %s"
        " and not superseded",
        (user, named(user, reading)),
    )
    return event


def picture(database: Database) -> dict[str, list[str]]:
    """All that a migration leaves; the notes for its undoing know the hour of a void."""
    parts = outcome(database)
    del parts["amended_events"]
    return parts | {
        "batches": [
            str(row)
            for row in database.rows(
                "select id, trigger_event_id from recalculation_batches order by user_id, id"
            )
        ],
        "shown": [
            str(row)
            for row in database.rows(
                "select l.user_id, l.reading_id, e.is_voided, e.voided_at, e.voided_reason"
                " from ledger.migrated_readings as l inner join token_events as e"
                " on e.user_id = l.user_id and e.id = l.event_id order by 1, 2"
            )
        ],
    }


def undo(database: Database) -> None:
    database.rows("select ledger.undo_data_migration()")


def migrate(database: Database) -> None:
    database.rows("select ledger.migrate_data()")


def unsettled(database: Database) -> list[tuple[str, UUID]]:
    return [
        (str(row[0]), row[1])
        for row in database.rows("select kind, reading_id from ledger.unsettled order by 1, 2")
    ]


def test_rolled_out_voided_rolled_back_and_out_again_is_as_before(household: Household) -> None:
    database, user, other = household
    clients_void(database, user, other)
    before = picture(database)
    for _ in range(2):
        undo(database)
        assert len(unsettled(database)) > 6
        migrate(database)
        assert picture(database) == before
        assert unsettled(database) == []
        with database.connect() as connection:
            assert projection_is_live(connection)
    assert validate(database.url).valid


def test_a_corrected_time_zone_keeps_the_voids(household: Household) -> None:
    """The usual reason for taking the data back: its days were computed in a wrong zone."""
    database, user, other = household
    clients_void(database, user, other)
    undo(database)
    database.rows("update ledger.settings set time_zone = 'Europe/Berlin'")
    migrate(database)
    assert [kind for kind, _ in unsettled(database) if kind != "completed event"] == []
    assert database.rows(VOIDED, (user, named(user, "first"))) == [(True, "wrong")]
    assert validate(database.url).valid


CHANGES = {
    "kwh": "update electricity_readings set kwh_value = 99 where id = %(id)s",
    "day": "update electricity_readings set date = '2024-04-01' where id = %(id)s",
    "kind": "update electricity_readings set token_amount = 3 where id = %(id)s",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_void_of_what_the_app_changed_meanwhile_waits_for_a_person(
    make_database: MakeDatabase, change: str
) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    user, other = plant(database, StartingPoint.LEGACY_ONLY)
    apply(database, time_zone=ZONE)
    reading = named(user, "first")
    client(database, user, MARK, id=reading, reason="wrong")
    client(database, user, SAY, id=named(user, "void"), type="VOID", target=reading)
    client(database, other, MARK, id=named(other, "first"), reason="wrong")
    undo(database)
    with database.connect() as connection:  # beside the sync, so that the row is pending still
        connection.execute("alter table electricity_readings disable trigger user")
        connection.execute(change.encode(), {"id": reading})
        connection.execute("alter table electricity_readings enable trigger user")
    migrate(database)
    assert database.rows(VOIDED, (user, reading)) == [(False, None)]
    assert database.rows(VOIDED, (other, named(other, "first"))) == [(True, "wrong")]
    assert unsettled(database) == [("void event", reading), ("voided event", reading)]
    checks = {check.name: check for check in validate(database.url).checks}
    assert checks["set_aside"].count == 2
    assert "settled_at" in checks["set_aside"].next_step
    database.rows("update ledger.set_aside set settled_at = now() where settled_at is null")
    assert unsettled(database) == []


def test_a_reading_that_a_live_write_migrates_waits_for_a_person(household: Household) -> None:
    database, user, _ = household
    client(database, user, MARK, id=named(user, "first"), reason="wrong")
    undo(database)
    client(
        database,
        user,
        "update electricity_readings set notes = 'still true' where id = %(id)s",
        id=named(user, "first"),
    )
    migrate(database)
    assert database.rows(VOIDED, (user, named(user, "first"))) == [(False, None)]
    assert unsettled(database) == [("voided event", named(user, "first"))]


def test_a_void_of_an_older_version_is_not_applied_to_the_newer_one(household: Household) -> None:
    database, user, _ = household
    reading = named(user, "first")
    client(database, user, MARK, id=reading, reason="wrong")
    client(database, user, SAY, id=named(user, "void"), type="VOID", target=reading)
    client(
        database,
        user,
        "update electricity_readings set notes = 'true after all' where id = %(id)s",
        id=reading,
    )
    undo(database)
    migrate(database)
    assert database.rows(VOIDED, (user, reading)) == [(False, None)]
    assert unsettled(database) == []


Taken = Callable[[Database, UUID], None]


def take_the_events_id(database: Database, user: UUID) -> None:
    client(database, user, SAY, id=named(user, "first"), type="ADJUSTMENT", target=None)


def take_the_voids_id(database: Database, user: UUID) -> None:
    client(database, user, SAY, id=named(user, "void"), type="ADJUSTMENT", target=None)


def take_the_voids_key(database: Database, user: UUID) -> None:
    client(database, user, SAY, id=named(user, "free"), type="ADJUSTMENT", target=None)
    with database.connect() as connection:
        connection.execute("alter table token_events disable trigger user")
        connection.execute(
            "update token_events set idempotency_key = %s where id = %s",
            (str(named(user, "void")), named(user, "free")),
        )
        connection.execute("alter table token_events enable trigger user")


@pytest.mark.parametrize(
    ("take", "left"),
    [
        (take_the_events_id, ["void event", "void event", "voided event"]),
        (take_the_voids_id, ["void event", "void event"]),
        (take_the_voids_key, ["void event", "void event"]),
    ],
    ids=["the event's id", "the void's id", "the void's key"],
)
def test_ids_and_keys_that_were_taken_meanwhile_stop_nothing(
    household: Household, take: Taken, left: list[str]
) -> None:
    """The void of the void goes with the void that it points at."""
    database, user, _ = household
    void = named(user, "void")
    client(database, user, MARK, id=named(user, "first"), reason="wrong")
    client(database, user, SAY, id=void, type="VOID", target=named(user, "first"))
    database.rows(SAY, {"id": named(user, "second"), "user": user, "type": "VOID", "target": void})
    undo(database)
    take(database, user)
    migrate(database)
    assert [kind for kind, _ in unsettled(database)] == left
    assert validate(database.url).valid


def test_columns_of_the_app_are_filled_by_the_database(make_database: MakeDatabase) -> None:
    """A computed column, and one that the table got between rollback and rollout."""
    database = make_database(StartingPoint.DUAL_WRITE)
    with database.connect() as connection:
        connection.execute(
            "alter table token_events add column length int"
            " generated always as (length(event_type)) stored"
        )
    user, _ = plant(database, StartingPoint.LEGACY_ONLY)
    apply(database, time_zone=ZONE)
    void = named(user, "void")
    client(database, user, SAY, id=void, type="VOID", target=named(user, "first"))
    undo(database)
    with database.connect() as connection:
        connection.execute("alter table token_events add column new text not null default 'n'")
    migrate(database)
    assert database.rows("select length, new from token_events where id = %s", (void,)) == [
        (4, "n")
    ]


def test_receipts_and_decisions_outlive_the_rollback_of_their_phase(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    plant(database, StartingPoint.DUAL_WRITE)
    apply(database, time_zone=ZONE)
    for name in ("a", "b"):
        database.rows(
            "insert into ledger.receipts (environment, body, signature) values (%s, '{}', 's')",
            (name,),
        )
    database.rows("delete from ledger.receipts where environment = 'a'")
    database.rows(
        "insert into ledger.reviewed_matches (user_id, event_id, reading_id, decision, reason)"
        " select user_id, event_id, reading_id, 'both', 'two facts' from ledger.near_matches"
    )
    tables = ("receipts", "reviewed_matches")
    before = [database.rows(f"table ledger.{table}") for table in tables]
    assert all(before)
    for _ in range(2):
        with database.connect(autocommit=True) as connection:
            roll_back(connection, phases()[-1])
        apply(database, phases()[-1:])
        assert [database.rows(f"table ledger.{table}") for table in tables] == before
    database.rows(
        "insert into ledger.receipts (environment, body, signature) values ('c', '{}', 's')"
    )
    assert database.value("select max(receipt_id) from ledger.receipts") == 3
    assert database.value("select count(*) from ledger.set_aside where settled_at is null") == 0
