"""Keys of a user's own: idempotency keys, ids that readers see, and targets of voids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.database import Connection, Database
from tests.support.events import (
    READING,
    TOPUP,
    VOID,
    day,
    record,
    shared_database,
    sign_up,
    signed_in,
)
from tests.support.servers import MAJORS, Databases


@pytest.fixture(scope="module", params=MAJORS, ids=lambda number: f"pg{number}")
def ledger(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from shared_database(databases(request.param))


@pytest.fixture(scope="module")
def owner(ledger: Database) -> Iterator[Connection]:
    with ledger.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def user(owner: Connection) -> UUID:
    return sign_up(owner, 1)[0]


@pytest.mark.parametrize("key", ["k", "k" * 200, "⚡" * 200])
def test_an_idempotency_key_lets_an_event_in_once(owner: Connection, user: UUID, key: str) -> None:
    [other] = sign_up(owner, 1)
    with signed_in(owner, user):
        record(owner, user, idempotency_key=key)
    with signed_in(owner, other):
        record(owner, other, idempotency_key=key)
    with pytest.raises(psycopg.errors.UniqueViolation), signed_in(owner, user):
        record(owner, user, TOPUP, 2, day(4), idempotency_key=key)


def test_a_voided_events_idempotency_key_stays_taken(owner: Connection, user: UUID) -> None:
    event = record(owner, user, idempotency_key="once")
    owner.execute("update token_events set is_voided = true where id = %s", (event,))

    with pytest.raises(psycopg.errors.UniqueViolation):
        record(owner, user, idempotency_key="once")
    record(owner, user, idempotency_key="twice")


@pytest.mark.parametrize("key", ["", "k" * 201], ids=["none", "201"])
def test_an_idempotency_key_has_1_to_200_characters(
    owner: Connection, user: UUID, key: str
) -> None:
    record(owner, user, idempotency_key=None)
    record(owner, user, idempotency_key=None)
    with pytest.raises(psycopg.errors.CheckViolation):
        record(owner, user, idempotency_key=key)


def test_no_two_counted_events_of_a_user_show_under_one_id(owner: Connection, user: UUID) -> None:
    first = record(owner, user)
    with pytest.raises(psycopg.errors.UniqueViolation):
        record(owner, user, reading_id=first)
    renamed = record(owner, user, reading_id=uuid4())
    shown = owner.execute("select reading_id from token_events where id = %s", (renamed,))
    [(known_as,)] = shown.fetchall()
    with pytest.raises(psycopg.errors.UniqueViolation), signed_in(owner, user):
        record(owner, user, id=known_as)
    with signed_in(owner, user):
        record(owner, user, id=uuid4())


def test_an_id_is_free_again_for_readers_once_its_event_is_voided(
    owner: Connection, user: UUID
) -> None:
    first = record(owner, user, READING, 1)
    owner.execute("update token_events set is_voided = true where id = %s", (first,))
    record(owner, user, READING, 2, reading_id=first)
    voided = record(owner, user, READING, 3, reading_id=first, is_voided=True)

    with signed_in(owner, user):
        shown = owner.execute("select id, kwh_value from electricity_readings_v").fetchall()
    assert shown == [(first, 2)]
    assert voided != first


def test_two_users_may_have_an_event_of_the_same_id_and_both_are_shown(
    owner: Connection, user: UUID
) -> None:
    [other] = sign_up(owner, 1)
    event = record(owner, user, READING, 1)
    record(owner, other, READING, 2, id=event)
    record(owner, other, READING, 3, day(1), reading_id=record(owner, user, READING, 4, day(1)))

    for who, shown in ((user, [1, 4]), (other, [2, 3])):
        with signed_in(owner, who):
            rows = owner.execute("select kwh_value from electricity_readings_v order by date")
            assert [kwh for (kwh,) in rows] == shown
    owner.execute("select refresh_readings_mv()")


def test_a_void_event_names_an_event_of_its_own_user(owner: Connection, user: UUID) -> None:
    [other] = sign_up(owner, 1)
    own, foreign = record(owner, user), record(owner, other)
    with signed_in(owner, user):
        record(owner, user, VOID, 0, void_of_event=own)
    refusals = []
    for target in (foreign, uuid4()):
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as refused, signed_in(owner, user):
            record(owner, user, VOID, 0, void_of_event=target)
        refusals.append(str(refused.value.diag.message_primary).replace(str(target), "the target"))

    # Another's event and none at all are refused alike, so that nobody can probe for one.
    assert refusals[0] == refusals[1]
