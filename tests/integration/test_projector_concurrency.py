"""Many writers at once: nothing acknowledged is lost, and no reader sees a stale position."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import IsolationLevel

from tests.support.database import Connection, Database
from tests.support.events import (
    ADJUSTMENT,
    READING,
    TOPUP,
    day,
    differences,
    leftovers,
    mark_voided,
    readings,
    record,
    shared_database,
    sign_up,
    signed_in,
)
from tests.support.servers import MAJORS, Databases
from tests.support.waiting import blocked

WRITERS = 16
TRANSACTIONS = 8  # of each writer
ATTEMPTS = 500
TRY_AGAIN = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
LEVELS = [
    IsolationLevel.READ_COMMITTED,
    IsolationLevel.REPEATABLE_READ,
    IsolationLevel.SERIALIZABLE,
]
SNAPSHOT_LEVELS = LEVELS[1:]


@pytest.fixture(scope="module", params=MAJORS, ids=lambda number: f"pg{number}")
def ledger(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from shared_database(databases(request.param))


def by_name(level: IsolationLevel) -> str:
    return level.name.lower().replace("_", " ")


@dataclass
class Writer:
    """One client: its own connection, its own share of the events, and what was acknowledged."""

    database: Database
    users: list[UUID]
    level: IsolationLevel
    number: int
    inserted: set[UUID] = field(default_factory=set)
    voided: set[UUID] = field(default_factory=set)
    turned_away: int = 0

    def work(self) -> None:
        choice = random.Random(self.number)  # noqa: S311 - a schedule, not a secret
        with self.database.connect() as connection:
            connection.isolation_level = self.level
            for _ in range(TRANSACTIONS):
                self._until_acknowledged(connection, choice)

    def _until_acknowledged(self, connection: Connection, choice: random.Random) -> None:
        for _ in range(ATTEMPTS):
            try:
                with connection.transaction():
                    inserted, voided = self._write(connection, choice)
            except TRY_AGAIN:
                self.turned_away += 1
                continue
            self.inserted |= inserted
            self.voided |= voided
            return
        raise AssertionError(f"writer {self.number} never got its turn")

    def _write(self, connection: Connection, choice: random.Random) -> tuple[set[UUID], set[UUID]]:
        """A void, a user's own event, or a service's statement about everybody."""
        mine = sorted(self.inserted - self.voided)
        what = choice.random()
        if mine and what < 0.25:
            gone = choice.sample(mine, min(2, len(mine)))
            assert mark_voided(connection, *gone) == len(gone)
            return set(), set(gone)
        kind = choice.choice([READING, TOPUP, ADJUSTMENT])
        kwh = choice.randint(1, 50)
        if what < 0.4:
            ids = [uuid4() for _ in self.users]
            connection.execute(
                "insert into public.token_events (id, user_id, event_type, event_date, kwh_amount)"
                " select unnest(%s::uuid[]), unnest(%s::uuid[]), %s, %s, %s",
                (ids, choice.sample(self.users, len(ids)), kind, day(choice.randint(0, 9)), kwh),
            )
            return set(ids), set()
        user = choice.choice(self.users)
        with signed_in(connection, user):
            event = record(connection, user, kind, kwh, day(choice.randint(0, 9)), created_by=user)
            assert event in [reading for reading, _ in readings(connection, user)]
        return {event}, set()


@pytest.mark.parametrize("level", LEVELS, ids=by_name)
def test_nothing_is_lost_or_stale_after_sixteen_writers_on_few_users(
    ledger: Database, level: IsolationLevel
) -> None:
    with ledger.connect(autocommit=True) as postgres:
        users = sign_up(postgres, 3)
    writers = [Writer(ledger, users, level, number) for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(writer.work) for writer in writers]:
            done.result()

    if level is IsolationLevel.READ_COMMITTED:
        assert sum(writer.turned_away for writer in writers) == 0
    with ledger.connect(autocommit=True) as postgres:
        kept = postgres.execute(
            "select id, is_voided from public.token_events where user_id = any (%s)", (users,)
        ).fetchall()
        assert {event for event, _ in kept} == set().union(*(w.inserted for w in writers))
        assert {event for event, voided in kept if voided} == set().union(
            *(w.voided for w in writers)
        )
        assert differences(postgres, users) == {}


def test_a_second_writer_waits_for_the_first_and_then_counts_its_events(ledger: Database) -> None:
    with ledger.connect(autocommit=True) as postgres:
        [user] = sign_up(postgres, 1)
    with (
        ledger.connect(autocommit=True) as postgres,
        ledger.connect() as first,
        ledger.connect() as second,
    ):
        topup = record(first, user, TOPUP, 10, day(1))
        with blocked(postgres, second, lambda: record(second, user, TOPUP, 5, day(2))) as late:
            first.commit()
            latest = late.result()
        second.commit()

        assert readings(postgres, user) == [(topup, 10), (latest, 15)]


def test_writers_of_different_users_do_not_wait_for_each_other(ledger: Database) -> None:
    with ledger.connect(autocommit=True) as postgres:
        one, other = sign_up(postgres, 2)
    with ledger.connect() as first, ledger.connect() as second:
        second.execute("set local lock_timeout = '200ms'")
        record(first, one)
        record(second, other)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            record(second, one)


@pytest.mark.parametrize("level", SNAPSHOT_LEVELS, ids=by_name)
@pytest.mark.parametrize("history", [0, 2], ids=["a new user", "a user with a history"])
def test_a_writer_with_an_old_snapshot_is_told_to_try_again(
    ledger: Database, level: IsolationLevel, history: int
) -> None:
    with ledger.connect(autocommit=True) as postgres, ledger.connect() as writer:
        user, other = sign_up(postgres, 2)
        for number in range(history):
            record(postgres, user, TOPUP, 1, day(number))
        writer.isolation_level = level
        writer.execute("select count(*) from public.token_events")
        record(postgres, user, READING, 40, day(3))

        with pytest.raises(psycopg.errors.SerializationFailure), writer.transaction():
            record(writer, user, TOPUP, 2, day(4))
        record(writer, other, TOPUP, 2, day(4))
        writer.commit()
        record(writer, user, TOPUP, 2, day(4))
        writer.commit()

        assert readings(postgres, user)[-1][1] == 42
        assert differences(postgres, [user, other]) == {}


def test_a_profile_deleted_while_an_event_is_written_leaves_nothing_behind(
    ledger: Database,
) -> None:
    with ledger.connect(autocommit=True) as postgres:
        user, bystander = sign_up(postgres, 2)
        record(postgres, bystander)
    delete = "delete from public.user_profiles where id = %s"
    with (
        ledger.connect(autocommit=True) as postgres,
        ledger.connect() as writer,
        ledger.connect() as eraser,
    ):
        record(writer, user, TOPUP, 10, day(1))
        with blocked(postgres, eraser, lambda: eraser.execute(delete, (user,))) as erased:
            writer.commit()
            erased.result()
        eraser.commit()

        assert leftovers(postgres, user) == {}
        assert leftovers(postgres, bystander) != {}


def test_an_event_written_while_its_profile_is_deleted_is_refused(ledger: Database) -> None:
    with ledger.connect(autocommit=True) as postgres:
        [user] = sign_up(postgres, 1)
        record(postgres, user)
    with (
        ledger.connect(autocommit=True) as postgres,
        ledger.connect() as writer,
        ledger.connect() as eraser,
    ):
        eraser.execute("delete from public.user_profiles where id = %s", (user,))
        with blocked(postgres, writer, lambda: record(writer, user, TOPUP, 1, day(1))) as late:
            eraser.commit()
            with pytest.raises(psycopg.errors.ForeignKeyViolation):
                late.result()
        writer.rollback()

        assert leftovers(postgres, user) == {}
