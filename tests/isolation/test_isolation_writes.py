"""No user writes into another's rows, or learns from a write that they are there."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.isolation.conftest import Household, Street
from tests.support.database import Connection
from tests.support.events import DENIED, READING, TOPUP, day, insert, mark_voided, record

EVENT = {"event_type": TOPUP, "event_date": day(9), "kwh_amount": 1}
BATCH: dict[str, object] = {
    "trigger_type": "EDIT_TOPUP",
    "affected_events": [],
    "events_count": 0,
}
LEGACY = {"date": day(9).date(), "kwh_value": 1}
TABLES: dict[str, dict[str, object]] = {
    "token_events": {**EVENT},
    "recalculation_batches": BATCH,
    "electricity_readings": {**LEGACY},
}
STATE = (
    "select 'event', to_jsonb(e) from token_events e where user_id = %(user)s"
    " union all select 'batch', to_jsonb(b) from recalculation_batches b where user_id = %(user)s"
    " union all select 'legacy', to_jsonb(r) from electricity_readings r where user_id = %(user)s"
    " union all select 'shown', to_jsonb(v) from electricity_readings_v v where user_id = %(user)s"
    " union all select 'profile', to_jsonb(p) from user_profiles p where id = %(user)s"
    " order by 1, 2"
)


@pytest.fixture
def bob(street: Street) -> Iterator[Household]:
    """Bob, of whom nothing must have changed when the test is over."""

    def state(owner: Connection) -> list[tuple[object, ...]]:
        return owner.execute(STATE, {"user": street.bob.user}).fetchall()

    with street.database.connect(autocommit=True) as owner:
        before = state(owner)
        yield street.bob
        assert state(owner) == before


@pytest.fixture
def alice(street: Street, bob: Household) -> Iterator[Connection]:
    """A request of Alice's, of which nothing is kept."""
    with (
        street.ask(street.alice) as request,
        request.transaction(force_rollback=True),
    ):
        yield request


@pytest.mark.parametrize("table", TABLES)
def test_a_user_inserts_for_itself_and_for_nobody_else(
    street: Street, bob: Household, alice: Connection, table: str
) -> None:
    insert(alice, table, {"user_id": street.alice.user, **TABLES[table]})
    with pytest.raises(DENIED), alice.transaction():
        insert(alice, table, {"user_id": bob.user, **TABLES[table]})


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("clause", ["", "on conflict do nothing"])
def test_an_insert_for_another_is_never_silently_nothing(
    street: Street, bob: Household, alice: Connection, table: str, clause: str
) -> None:
    """Not even one that would meet a row of the other's."""
    taken = {
        "token_events": bob.event,
        "recalculation_batches": bob.batch,
        "electricity_readings": bob.reading,
    }[table]
    values = {"id": taken, "user_id": bob.user, **TABLES[table]}
    with pytest.raises(DENIED), alice.transaction():
        inserted(alice, table, values, clause)
    values = {"id": uuid4(), "user_id": street.alice.user, **TABLES[table]}
    assert inserted(alice, table, values, clause) == 1


def inserted(request: Connection, table: str, values: dict[str, object], clause: str) -> int:
    """How many rows an insert with an ON CONFLICT clause made."""
    columns = {
        "token_events": "(id, user_id, event_type, event_date, kwh_amount)"
        " values (%(id)s, %(user_id)s, %(event_type)s, %(event_date)s, %(kwh_amount)s)",
        "recalculation_batches": "(id, user_id, trigger_type, affected_events, events_count)"
        " values (%(id)s, %(user_id)s, %(trigger_type)s, '[]', %(events_count)s)",
        "electricity_readings": "(id, user_id, date, kwh_value)"
        " values (%(id)s, %(user_id)s, %(date)s, %(kwh_value)s)",
    }[table]
    simple = {name: value for name, value in values.items() if name != "affected_events"}
    statement = " ".join(["insert into", table, columns, clause, "returning id"])
    return request.execute(statement.encode(), simple).rowcount


@pytest.mark.parametrize("table", ["token_events", "recalculation_batches"])
def test_an_id_that_another_holds_is_free_and_tells_nothing(
    street: Street, bob: Household, alice: Connection, table: str
) -> None:
    taken = bob.event if table == "token_events" else bob.batch
    values = {"id": taken, "user_id": street.alice.user, **TABLES[table]}

    assert inserted(alice, table, values, "on conflict do nothing") == 1
    assert inserted(alice, table, values, "on conflict do nothing") == 0  # now her own


def test_an_idempotency_key_that_another_holds_is_free(
    street: Street, bob: Household, alice: Connection
) -> None:
    user = street.alice.user
    record(alice, user, TOPUP, 1, day(9), idempotency_key=bob.key)
    with pytest.raises(psycopg.errors.UniqueViolation), alice.transaction():
        record(alice, user, TOPUP, 1, day(9), idempotency_key=bob.key)


def test_an_upsert_updates_ones_own_event_and_nobody_elses(
    street: Street, bob: Household, alice: Connection
) -> None:
    upsert = (
        "insert into token_events (id, user_id, event_type, event_date, kwh_amount)"
        " values (%s, %s, 'TOPUP', now(), 1)"
        " on conflict (user_id, id) do update set voided_reason = 'mine' returning user_id"
    )
    own = alice.execute(upsert, (street.alice.event, street.alice.user)).fetchall()
    assert own == [(street.alice.user,)]
    with pytest.raises(DENIED), alice.transaction():
        alice.execute(upsert, (bob.event, bob.user))


def test_a_legacy_upsert_never_takes_over_anothers_reading(
    street: Street, bob: Household, alice: Connection
) -> None:
    upsert = (
        "insert into electricity_readings (id, user_id, date, kwh_value)"
        " values (%s, %s, %s, 1) on conflict (id) do update set kwh_value = 3, user_id = %s"
        " returning id"
    )
    user = street.alice.user
    own = alice.execute(upsert, (street.alice.reading, user, day(5).date(), user)).fetchall()
    assert own == [(street.alice.reading,)]
    with pytest.raises(DENIED), alice.transaction():
        alice.execute(upsert, (bob.reading, user, day(5).date(), user))


@pytest.mark.parametrize(
    "statement",
    [
        "update token_events set recalc_batch_id = gen_random_uuid() returning user_id",
        "update token_events set is_voided = true where event_type <> 'VOID' returning user_id",
        "update recalculation_batches set rollback_reason = 'mine' returning user_id",
        "update electricity_readings set notes = 'mine' returning user_id",
        "delete from electricity_readings returning user_id",
        "update user_profiles set display_name = 'mine' returning id",
    ],
)
def test_a_statement_about_everything_touches_and_returns_ones_own_rows(
    street: Street, alice: Connection, statement: str
) -> None:
    touched = {owner for (owner,) in alice.execute(statement.encode())}

    assert touched == {street.alice.user}


@pytest.mark.parametrize(
    ("statement", "target"),
    [
        ("update token_events set is_voided = true where id = %s", "event"),
        ("update token_events set recalc_batch_id = null where id = %s", "voided"),
        ("update recalculation_batches set rolled_back_at = now() where id = %s", "batch"),
        ("update electricity_readings set kwh_value = 0 where id = %s", "reading"),
        ("delete from electricity_readings where id = %s", "reading"),
        ("update user_profiles set role = 'user' where id = %s", "user"),
    ],
)
def test_a_statement_about_anothers_row_finds_nothing(
    street: Street, bob: Household, alice: Connection, statement: str, target: str
) -> None:
    assert alice.execute(statement.encode(), (getattr(bob, target),)).rowcount == 0
    assert alice.execute(statement.encode(), (getattr(street.alice, target),)).rowcount == 1


@pytest.mark.parametrize(
    "statement",
    [
        # Without a condition nothing is read, so that no policy but that of the update checks.
        "update recalculation_batches set user_id = %(bob)s",
        "update electricity_readings set user_id = %(bob)s",
        "update token_events set user_id = %(bob)s",
        "update user_profiles set id = %(bob)s",
        "update recalculation_batches set user_id = %(bob)s where id = %(batch)s returning id",
    ],
)
def test_a_user_gives_no_row_of_its_own_away(
    street: Street, bob: Household, alice: Connection, statement: str
) -> None:
    own = street.alice
    with pytest.raises(DENIED), alice.transaction():
        alice.execute(statement.encode(), {"bob": bob.user, "batch": own.batch})
    kept = "update recalculation_batches set user_id = user_id where id = %s"
    assert alice.execute(kept, (own.batch,)).rowcount == 1


def test_a_legacy_reading_under_anothers_id_changes_nothing_of_the_others(
    street: Street, bob: Household, alice: Connection
) -> None:
    """The legacy key is on id alone, so this one id is refused; Bob's events stay as they are."""
    values = {"user_id": street.alice.user, **LEGACY}
    insert(alice, "electricity_readings", {"id": uuid4(), **values})
    with pytest.raises(psycopg.errors.UniqueViolation), alice.transaction():
        insert(alice, "electricity_readings", {"id": bob.reading, **values})


def test_a_user_without_a_profile_writes_nothing(street: Street, bob: Household) -> None:
    newcomer = UUID(int=1)
    for table, values in TABLES.items():
        with (
            pytest.raises(psycopg.errors.ForeignKeyViolation),
            street.database.as_user(newcomer) as request,
        ):
            insert(request, table, {"user_id": newcomer, **values})
    with street.database.as_user(newcomer) as request:
        assert mark_voided(request, bob.event) == 0
        assert request.execute("delete from electricity_readings").rowcount == 0


def test_nobody_anonymous_writes_anything(street: Street, bob: Household) -> None:
    for table, values in TABLES.items():
        with pytest.raises(DENIED), street.database.as_role("anon") as request:
            insert(request, table, {"user_id": bob.user, **values})
    with pytest.raises(DENIED), street.database.as_role("anon") as request:
        mark_voided(request, bob.event)


def test_the_service_writes_for_anybody_who_has_a_profile(street: Street) -> None:
    user = street.database.add_user()
    with street.database.as_role("service_role") as service:
        record(service, user, READING, 3, day(1))
        with pytest.raises(psycopg.errors.ForeignKeyViolation), service.transaction():
            record(service, uuid4(), READING, 3, day(1))
