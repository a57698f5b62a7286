"""Events are append-only: nobody changes what one says, un-voids it, or deletes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.support.database import Connection, Database
from tests.support.events import (
    READING,
    TOPUP,
    VOID,
    day,
    mark_voided,
    readings,
    record,
    shared_database,
    sign_up,
)
from tests.support.servers import MAJORS, Databases

WHAT_IT_SAYS: dict[str, object] = {
    "id": uuid4(),
    "user_id": None,  # another user's
    "event_type": "ADJUSTMENT",
    "event_date": day(9),
    "kwh_amount": 77,
    "token_cost": 77,
    "notes": "changed",
    "meter_photo_url": "https://example.test/other.jpg",
    "void_of_event": None,  # another event
    "created_by": None,  # another user
    "metadata": Jsonb({"changed": True}),
    "created_at": day(9),
    "observed_kwh": 77,
    "reading_id": uuid4(),
    "idempotency_key": "changed",
    "legacy_token_amount": 77,
}
MAY_BE_SET: dict[str, object] = {
    "is_voided": True,
    "voided_at": day(9),
    "voided_by": None,  # the user
    "voided_reason": "typo",
    "recalc_batch_id": uuid4(),
}
WRITERS = ["the user", "service_role", "postgres"]
Acting = Callable[[str, UUID], AbstractContextManager[Connection]]


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
def acting(ledger: Database) -> Acting:
    """A request of one of WRITERS."""

    @contextmanager
    def begin(writer: str, user: UUID) -> Iterator[Connection]:
        doors: dict[str, Callable[[], AbstractContextManager[Connection]]] = {
            "the user": lambda: ledger.as_user(user),
            "service_role": lambda: ledger.as_role("service_role"),
            "postgres": ledger.connect,
        }
        with doors[writer]() as connection:
            yield connection

    return begin


@pytest.fixture
def user(owner: Connection) -> UUID:
    return sign_up(owner, 1)[0]


@pytest.fixture
def event(owner: Connection, user: UUID) -> UUID:
    return record(owner, user, TOPUP, 5, day(1), created_by=user)


def setting(column: str) -> sql.Composed:
    return sql.SQL("update public.token_events set {} = %s where id = %s").format(
        sql.Identifier(column)
    )


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("column", WHAT_IT_SAYS)
def test_nobody_changes_what_an_event_says(
    owner: Connection, acting: Acting, user: UUID, event: UUID, writer: str, column: str
) -> None:
    stranger = sign_up(owner, 1)[0]
    value = WHAT_IT_SAYS[column]
    if column in ("user_id", "created_by"):
        value = stranger
    elif column == "void_of_event":
        value = record(owner, user)
    whole = "select to_jsonb(token_events) from token_events where id = %s"
    before = owner.execute(whole, (event,)).fetchall()

    with pytest.raises(psycopg.Error), acting(writer, user) as request:
        request.execute(setting(column), (value, event))

    assert owner.execute(whole, (event,)).fetchall() == before


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("column", MAY_BE_SET)
def test_the_void_columns_and_the_batch_may_be_set(
    owner: Connection, acting: Acting, user: UUID, event: UUID, writer: str, column: str
) -> None:
    value = user if column == "voided_by" else MAY_BE_SET[column]

    with acting(writer, user) as request:
        assert request.execute(setting(column), (value, event)).rowcount == 1

    found = sql.SQL("select {} from token_events where id = %s").format(sql.Identifier(column))
    assert owner.execute(found, (event,)).fetchall() == [(value,)]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("value", [False, None])
def test_a_void_is_never_taken_back(
    owner: Connection,
    acting: Acting,
    user: UUID,
    event: UUID,
    writer: str,
    value: bool | None,
) -> None:
    with acting(writer, user) as request:
        assert mark_voided(request, event) == 1
    with acting(writer, user) as request:
        assert mark_voided(request, event) == 1  # again, as the second half of a void may

    with pytest.raises(psycopg.Error), acting(writer, user) as request:
        request.execute(setting("is_voided"), (value, event))

    assert readings(owner, user) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_a_void_is_not_taken_back_among_many(
    owner: Connection, acting: Acting, user: UUID, event: UUID, writer: str
) -> None:
    other = record(owner, user, READING, 3, day(2))
    mark_voided(owner, event)
    with pytest.raises(psycopg.Error), acting(writer, user) as request:
        request.execute(
            "update token_events set is_voided = (id = %s) where user_id = %s", (other, user)
        )

    assert readings(owner, user) == [(other, 3)]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("state", ["live", "voided", "VOID"])
def test_nobody_deletes_an_event(
    owner: Connection, acting: Acting, user: UUID, event: UUID, writer: str, state: str
) -> None:
    doomed = event
    if state == "voided":
        mark_voided(owner, event)
    if state == "VOID":
        doomed = record(owner, user, VOID, 0, day(2), void_of_event=event)

    with pytest.raises(psycopg.Error), acting(writer, user) as request:
        request.execute("delete from token_events where id = %s", (doomed,))

    count = "select count(*) from token_events where id = %s"
    assert owner.execute(count, (doomed,)).fetchall() == [(1,)]


@pytest.mark.parametrize("statement", ["truncate token_events", "truncate user_profiles cascade"])
@pytest.mark.parametrize("writer", WRITERS)
def test_nobody_truncates_the_events(
    owner: Connection, acting: Acting, user: UUID, event: UUID, writer: str, statement: str
) -> None:
    with pytest.raises(psycopg.Error), acting(writer, user) as request:
        request.execute(statement.encode())

    assert readings(owner, user) == [(event, 5)]


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
@pytest.mark.parametrize(
    "statement",
    [
        "insert into ledger.readings (id, user_id, date, kwh_value, created_at)"
        " values (gen_random_uuid(), %(user)s, now(), 1, now())",
        "update ledger.readings set kwh_value = 0 where user_id = %(user)s",
        "delete from ledger.readings where user_id = %(user)s",
        "update ledger.heads set version = 0 where user_id = %(user)s",
        "insert into electricity_readings_v (id, user_id, date, kwh_value)"
        " values (gen_random_uuid(), %(user)s, now(), 1)",
        "update electricity_readings_v set kwh_value = 0 where user_id = %(user)s",
        "delete from electricity_readings_v where user_id = %(user)s",
    ],
    ids=lambda statement: " ".join(statement.split()[:3]),
)
def test_only_the_projector_writes_what_readers_see(
    owner: Connection, ledger: Database, user: UUID, event: UUID, role: str, statement: str
) -> None:
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        ledger.as_role(role, claims={"sub": str(user)}) as request,
    ):
        request.execute(statement.encode(), {"user": user})
    with ledger.as_role(role, claims={"sub": str(user)}) as request:
        assert readings(request, user) == [(event, 5)]


def test_a_generated_column_of_the_apps_own_is_no_change(ledger: Database) -> None:
    with ledger.connect() as owner:
        owner.execute(
            "alter table public.token_events add column kwh_cents numeric"
            " generated always as (kwh_amount * 100) stored"
        )
    try:
        user = ledger.add_user()
        with ledger.as_user(user) as request:
            event = record(request, user, TOPUP, 5, day(1))
            assert mark_voided(request, event) == 1
        with pytest.raises(psycopg.errors.DatabaseError) as caught, ledger.connect() as owner:
            owner.execute("update public.token_events set kwh_amount = 6 where id = %s", (event,))
        assert caught.value.sqlstate == "ML101"
    finally:
        with ledger.connect() as owner:
            owner.execute("alter table public.token_events drop column kwh_cents")
