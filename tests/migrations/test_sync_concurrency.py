"""Forward sync among many writers: nothing is lost, nobody waits in a ring, no write fails."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import TupleRow

from tests.support.database import Database
from tests.support.household import ZONE, events_of, named, put_events, put_readings, readings_of
from tests.support.processes import wait_until
from tests.support.rollout import apply, projection_is_live
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.connection import connect

LEGACY_WRITERS = 8
EVENT_WRITERS = 4
ROUNDS = 6
Result = TypeVar("Result")


def test_writers_of_one_user_take_turns(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    user = database.add_user()
    with database.connect() as connection:
        put_readings(connection, readings_of(user))
        put_events(connection, events_of(user))
    apply(database, time_zone=ZONE)
    found = set(ids_of(database, user))

    jobs: list[Callable[[Barrier], set[UUID]]] = []
    for number in range(LEGACY_WRITERS):
        jobs.append(partial(write_readings, database, user, number))
    for number in range(EVENT_WRITERS):
        jobs.append(partial(write_events, database, user, number))
    written = set().union(*together(jobs))

    assert set(ids_of(database, user)) == (found | written) - {named(user, "zero")}
    settled(database)
    own = database.value("select count(*) from token_events where notes = 'own' and not is_voided")
    assert own == EVENT_WRITERS * ROUNDS / 2


def write_readings(database: Database, user: UUID, number: int, start: Barrier) -> set[UUID]:
    """A phone with the old app: it adds, edits and deletes rows, its own and a shared one."""
    ids = [uuid4() for _ in range(ROUNDS)]
    start.wait(timeout=60)
    for step, id_ in enumerate(ids):
        row = {"id": id_, "user_id": user, "date": f"2024-04-{step + 1:02}", "kwh_value": number}
        if step % 2:  # dual-write: the event first
            as_signed_in(
                database,
                user,
                "insert into token_events (user_id, event_type, event_date, kwh_amount)"
                " values (%(user)s, 'METER_READING', %(date)s::date + time '05:00', %(kwh)s)",
                {"user": user, "date": row["date"], "kwh": number},
            )
        with database.as_user(user) as request:
            put_readings(request, [row])
        change = "update electricity_readings set kwh_value = kwh_value + 1 where id = %(id)s"
        as_signed_in(database, user, change, {"id": named(user, "topup")})
        notes = "update electricity_readings set notes = notes || 'x' where id = any (%(ids)s)"
        as_signed_in(database, user, notes, {"ids": sorted(ids)})
    as_signed_in(
        database,
        user,
        "delete from electricity_readings where id = any (%(ids)s)",
        {"ids": [ids[0], named(user, "zero")]},
    )
    return set(ids[1:])


def write_events(database: Database, user: UUID, number: int, start: Barrier) -> set[UUID]:
    """A phone with the new app: it adds events, and voids what it sees, migrated events too."""
    chance = random.Random(number)  # noqa: S311 - only has to differ
    start.wait(timeout=60)
    for step in range(ROUNDS):
        id_ = uuid4()
        as_signed_in(
            database,
            user,
            "insert into token_events (id, user_id, event_type, event_date, kwh_amount, notes)"
            " values (%(id)s, %(user)s, 'ADJUSTMENT', now(), 0.25, 'own')",
            {"id": id_, "user": user},
        )
        seen = database.rows(
            "select id from token_events where user_id = %s and notes is distinct from 'own'"
            " and event_type <> 'VOID'",
            (user,),
        )
        targets = [chance.choice(seen)[0], *([id_] if step % 2 else [])]
        as_signed_in(
            database,
            user,
            "update token_events set is_voided = true, voided_at = now(), voided_by = %(user)s"
            " where id = any (%(ids)s)",
            {"ids": targets, "user": user},
        )
    return set()


def test_live_writes_go_on_during_a_deferred_backfill(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    users = [database.add_user() for _ in range(12)]
    with database.connect() as connection:
        for user in users:
            put_readings(connection, readings_of(user))
            put_events(connection, events_of(user))
    apply(database, time_zone=ZONE, defer_backfill=True)
    assert database.value("select count(*) from ledger.migrated_readings") == 0

    jobs: list[Callable[[Barrier], None]] = [partial(backfill, database, users)]
    for number in range(LEGACY_WRITERS):
        jobs.append(partial(live_writes, database, users, number))
    jobs.append(partial(leave, database, users[::5]))
    together(jobs)

    settled(database)
    runs = database.rows("select finished_at is not null from ledger.migration_runs")
    assert runs == [(True,)]


def backfill(database: Database, users: list[UUID], start: Barrier) -> None:
    """An operator's connection: batches of two users, each its own transaction."""
    start.wait(timeout=60)
    with connect(database.url, autocommit=True) as connection:
        run = connection.execute("select ledger.start_migration()").fetchone()
        assert run is not None
        for first in range(0, len(users), 2):
            batch = users[first : first + 2]
            connection.execute("select ledger.migrate_users(%s, %s)", (run[0], batch))
        connection.execute("select ledger.finish_migration(%s)", (run[0],))


def live_writes(database: Database, users: list[UUID], number: int, start: Barrier) -> None:
    chance = random.Random(number)  # noqa: S311 - only has to differ
    staying = [user for user in users if user not in users[::5]]
    start.wait(timeout=60)
    for _ in range(ROUNDS):
        user = chance.choice(staying)
        name = chance.choice(["first", "topup", "same id", "namesake", "undated"])
        row = {"id": uuid4(), "user_id": user, "date": "2024-04-01", "kwh_value": number}
        with database.as_user(user) as request:
            put_readings(request, [row])
        edit = "update electricity_readings set kwh_value = kwh_value + 1 where id = %(id)s"
        as_signed_in(database, user, edit, {"id": named(user, name)})
        delete = "delete from electricity_readings where id = any (%(ids)s)"
        as_signed_in(database, user, delete, {"ids": [named(user, "odd")]})


def leave(database: Database, users: list[UUID], start: Barrier) -> None:
    start.wait(timeout=60)
    for user in users:
        database.rows("delete from auth.users where id = %s", (user,))


def test_a_client_voids_an_event_that_a_legacy_write_is_about_to_void(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    user = database.add_user()
    with database.connect() as connection:
        put_readings(connection, readings_of(user))
    apply(database, time_zone=ZONE)
    id_ = named(user, "topup")
    with database.connect() as legacy, ThreadPoolExecutor(1) as pool:
        # The legacy writer has the turn; then the client comes for the same event.
        legacy.execute("update electricity_readings set notes = 'x' where kwh_value = 12.5")
        void = pool.submit(
            as_signed_in,
            database,
            user,
            "update token_events set is_voided = true, voided_reason = 'mine' where id = %(id)s",
            {"id": id_},
        )
        wait_until(lambda: database.waits("update token_events"))
        legacy.execute("update electricity_readings set kwh_value = 60 where id = %s", (id_,))
        legacy.commit()
        void.result(timeout=60)
    settled(database)


def test_a_profile_goes_while_its_rows_are_migrated(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    user, other = database.add_user(), database.add_user()
    with database.connect() as connection:
        put_readings(connection, readings_of(user))
        put_readings(connection, readings_of(other))
    apply(database, time_zone=ZONE, defer_backfill=True)
    with database.connect() as operator, ThreadPoolExecutor(1) as pool:
        run = operator.execute("select ledger.start_migration()").fetchone()
        assert run is not None
        operator.execute("select ledger.migrate_users(%s, %s)", (run[0], [other]))
        operator.execute("select ledger.take_turns(%s)", ([user],))
        gone: Future[object] = pool.submit(
            database.rows, "delete from user_profiles where id = %s", (user,)
        )
        wait_until(lambda: database.waits("delete from user_profiles"))
        operator.execute("select ledger.migrate_users(%s, %s)", (run[0], [user]))
        operator.execute("select ledger.finish_migration(%s)", (run[0],))
        operator.commit()
        gone.result(timeout=60)
    left = database.value(
        "select (select count(*) from ledger.migrated_readings where user_id = %(user)s)"
        " + (select count(*) from token_events where user_id = %(user)s)"
        " + (select count(*) from ledger.readings where user_id = %(user)s)"
        " + (select count(*) from ledger.heads where user_id = %(user)s)",
        {"user": user},
    )
    assert left == 0
    settled(database)


def together(jobs: Sequence[Callable[[Barrier], Result]]) -> list[Result]:
    """Run all at once; the first error is raised."""
    start = Barrier(len(jobs))
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result(timeout=240) for future in [pool.submit(job, start) for job in jobs]]


def as_signed_in(
    database: Database, user: UUID, statement: str, parameters: Mapping[str, object]
) -> None:
    with database.as_user(user) as request:
        request.execute(statement.encode(), parameters)


def ids_of(database: Database, user: UUID) -> list[UUID]:
    rows = database.rows("select id from electricity_readings where user_id = %s", (user,))
    return [row[0] for row in rows]


def settled(database: Database) -> None:
    assert database.rows("select * from ledger.migration_differences()") == []
    assert database.rows("select * from ledger.pending_readings") == []
    with database.connect() as connection:
        assert projection_is_live(connection)
        assert no_double(connection) == []


def no_double(connection: Connection[TupleRow]) -> list[TupleRow]:
    """Readings for which two counted events stand."""
    return connection.execute(
        "select l.user_id, l.reading_id from ledger.migrated_readings as l"
        " inner join token_events as e on e.user_id = l.user_id and e.id = l.event_id"
        " where not e.is_voided group by 1, 2 having count(*) > 1"
    ).fetchall()
