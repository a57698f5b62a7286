"""A write touches what it changes and what that affects, however much the user has recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from tests.support.calls import call, refused
from tests.support.database import Connection, Database
from tests.support.events import (
    READING,
    TOPUP,
    VOID,
    mark_voided,
    record,
    sign_up,
    signed_in,
)
from tests.support.grown import CROWD, LARGE, SMALL, SPARE, Grown, grow, hours, reading, settle
from tests.support.plans import Work, undone, work_of

Act = Callable[[Connection, UUID], object]
BACK = -299.5  # hours: between two readings of a month ago
GROWN = (
    *("public.token_events", "ledger.readings", "public.electricity_readings"),
    *("ledger.migrated_readings", "public.user_profiles", "ledger.electricity_readings_archive"),
)


@dataclass(frozen=True)
class Write:
    """A write of a signed-in client, and what it may touch.

    Attributes:
        act: does it.
        read: how many rows and index entries it may read, of all tables.
        written: how many rows of all tables it writes.
    """

    act: Act
    read: int
    written: int


def event(kind: str, at: float, **columns: object) -> Act:
    return lambda connection, user: record(connection, user, kind, 7, hours(at), **columns)


def void(number: int) -> Act:
    return lambda connection, user: mark_voided(connection, reading(user, number))


def void_event(connection: Connection, user: UUID) -> None:
    mark_voided(connection, reading(user, 100))
    record(connection, user, VOID, 0, hours(24), void_of_event=reading(user, 100))


def link(connection: Connection, user: UUID) -> None:
    connection.execute(
        "update public.token_events set recalc_batch_id = gen_random_uuid() where id = %s",
        (reading(user, 100),),
    )


def legacy(statement: str, **values: object) -> Act:
    def act(connection: Connection, user: UUID) -> None:
        named = {"user": user, "id": reading(user, 100), "new": uuid4(), **values}
        assert connection.execute(statement.encode(), named).rowcount == 1

    return act


INSERT = legacy(
    "insert into public.electricity_readings (id, user_id, date, kwh_value, token_amount)"
    " values (%(new)s, %(user)s, %(at)s, 7, 3)",
    at=hours(48).date(),
)
UPDATE = legacy("update public.electricity_readings set kwh_value = 3 where id = %(id)s")
NOTE = legacy("update public.electricity_readings set notes = 'mine' where id = %(id)s")
DELETE = legacy("delete from public.electricity_readings where id = %(id)s")


def called(name: str, **arguments: object) -> Act:
    return lambda connection, _: call(connection, name, **arguments)


def called_of(name: str, number: int, **arguments: object) -> Act:
    return lambda connection, user: call(
        connection, name, event_id=reading(user, number), **arguments
    )


def void_nothing(connection: Connection, user: UUID) -> None:
    """An id that is neither an event's nor a reading's costs a look, not a search."""
    with refused("ML204", "no event"), connection.transaction():
        call(connection, "void_event", event_id=uuid4())


def repeated(connection: Connection, user: UUID) -> None:
    for _ in range(2):
        call(connection, "record_event", event_type=READING, kwh_amount=5, idempotency_key="once")


BEFORE = {
    "the newest reading": Write(event(READING, 24), 20, 3),
    "the newest top-up": Write(event(TOPUP, 24), 25, 3),
    "a back-dated reading": Write(event(READING, BACK), 35, 4),
    "a back-dated top-up": Write(event(TOPUP, BACK), 35, 4),
    "a void of the newest": Write(void(0), 20, 4),
    "a void of an old one": Write(void(100), 50, 4),
    "both halves of a void": Write(void_event, 50, 5),
    "a link to a recalculation": Write(link, 10, 2),
    "a legacy insert": Write(INSERT, 200, 7),
    "a legacy update": Write(UPDATE, 450, 16),
    "a legacy note": Write(NOTE, 450, 16),
    "a legacy delete": Write(DELETE, 60, 7),
    "record_event": Write(called("record_event", event_type=READING, kwh_amount=5), 35, 5),
    "record_event, repeated": Write(repeated, 30, 7),
    "record_event, back-dated": Write(
        called("record_event", event_type=TOPUP, kwh_amount=5, event_date=hours(BACK)), 130, 9
    ),
    "void_event of the newest": Write(called_of("void_event", 0), 40, 6),
    "void_event of an old one": Write(called_of("void_event", 100), 160, 8),
    "replace_event": Write(called_of("replace_event", 100, changes={"kwh_amount": 5}), 210, 11),
    "void_event of nothing": Write(void_nothing, 20, 1),
    "preview_backdate": Write(
        called("preview_backdate", event_type=TOPUP, kwh_amount=5, event_date=hours(BACK)), 80, 0
    ),
}
AFTER = {
    "an insert through the view": Write(INSERT, 25, 6),
    "an update through the view": Write(UPDATE, 70, 10),
    "a note through the view": Write(NOTE, 70, 10),
    "a delete through the view": Write(DELETE, 60, 6),
}


def cost(connection: Connection, user: UUID, act: Act) -> Work:
    """What a request of a user does, undone."""
    with undone(connection), work_of(connection) as done, signed_in(connection, user):
        act(connection, user)
    return done


def work(database: Database, user: UUID, act: Act) -> Work:
    """The same on a connection that has no plans yet."""
    with database.connect() as connection:
        return cost(connection, user, act)


def hold(database: Database, write: Write) -> None:
    small, large = (work(database, user, write.act) for user in (SMALL, LARGE))
    for done in (small, large):
        assert [table for table in GROWN if done.of(table).whole_scans] == []
        assert done.total.read <= write.read
        assert done.total.written == write.written
    # Rows that other tests took back still have entries in the indexes: a handful here or there.
    assert large.total.read <= small.total.read + 40
    assert large.total.blocks <= 1.5 * small.total.blocks + 20


@pytest.mark.parametrize("write", BEFORE.values(), ids=BEFORE)
def test_a_write_before_the_cutover_touches_what_it_changes(grown: Grown, write: Write) -> None:
    hold(grown.before, write)


@pytest.mark.parametrize("write", AFTER.values(), ids=AFTER)
def test_a_write_after_the_cutover_touches_what_it_changes(grown: Grown, write: Write) -> None:
    hold(grown.after, write)


@pytest.mark.slow
def test_no_write_costs_more_in_ten_times_the_ledger(db: Database) -> None:
    with db.connect() as connection:
        grow(connection, crowd=10 * CROWD)
    settle(db)
    for write in BEFORE.values():
        hold(db, write)


@pytest.mark.slow
def test_plans_of_an_empty_ledger_serve_a_grown_one(db: Database) -> None:
    """A session keeps the projector's plans while the tables grow, until they are analyzed."""
    with db.connect(autocommit=True) as session, db.connect() as others:
        [user] = sign_up(session, 1)
        for number in range(6):
            event = record(session, user, TOPUP, 7, hours(number))
            record(session, user, READING, 7, hours(-number))
            mark_voided(session, event)
        grow(others)
        others.commit()
        for name in ("the newest reading", "a back-dated reading", "a void of an old one"):
            done = cost(session, LARGE, BEFORE[name].act)
            assert done.of("ledger.readings").whole_scans == 0, name
            assert done.of("ledger.readings").read <= BEFORE[name].read, name


def bulk(connection: Connection, user: UUID) -> None:
    """A thousand readings after the last one, twelve a day."""
    connection.execute(
        "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
        " select %s, 'METER_READING', %s + n * interval '2 hours', 1000 - n"
        " from generate_series(1, 1000) as n",
        (user, hours(24)),
    )


def test_a_thousand_events_at_once_touch_themselves(grown: Grown) -> None:
    for user in (SPARE, LARGE):
        done = work(grown.after, user, bulk)
        assert [table for table in GROWN if done.of(table).whole_scans] == []
        assert done.total.written == 2001  # an event and a reading each, and the user's turn
        assert done.total.read <= 20 * 1000


FAULTS = {
    "the order's index is lost": "drop index public.token_events_order",
    "every insert recomputes all of the user's readings": """
        create or replace function ledger.project_inserts() returns trigger
        language plpgsql security definer set search_path = '' as $$
        begin
          perform ledger.project_everything((select array_agg(n.user_id) from new_rows as n));
          return null;
        end;
        $$
    """,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_write_that_reads_too_much_is_noticed(grown: Grown, fault: str) -> None:
    write = BEFORE["the newest top-up"]
    with grown.before.connect() as connection, undone(connection):
        connection.execute(fault.encode())
        with work_of(connection) as done, signed_in(connection, LARGE):
            write.act(connection, LARGE)
    assert done.total.read > 100 * write.read


def test_a_whole_scan_is_counted_with_its_rows(grown: Grown) -> None:
    with grown.before.connect() as connection, undone(connection):
        connection.execute("set local enable_indexscan = off")
        connection.execute("set local enable_bitmapscan = off")
        with work_of(connection) as done, signed_in(connection, SMALL):
            mark_voided(connection, reading(SMALL, 1))
    events = done.of("public.token_events")
    assert events.whole_scans > 0
    assert events.read > 20_000
