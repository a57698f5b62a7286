"""What clients write directly keeps the ledger consistent: what is refused, and whom it binds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.support.calls import refused
from tests.support.database import Connection, Database
from tests.support.events import (
    DENIED,
    READING,
    TOPUP,
    VOID,
    day,
    mark_voided,
    readings,
    record,
    shared_database,
    sign_up,
    signed_in,
)
from tests.support.servers import MAJORS, Databases

FAR = timedelta(days=3)


@pytest.fixture(scope="module", params=MAJORS, ids=lambda number: f"pg{number}")
def ledger(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from shared_database(databases(request.param))


@pytest.fixture(scope="module")
def owner(ledger: Database) -> Iterator[Connection]:
    ledger.rows("update ledger.settings set time_zone = 'UTC'")
    with ledger.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def user(owner: Connection) -> UUID:
    return sign_up(owner, 1)[0]


@pytest.fixture
def voided(owner: Connection, user: UUID) -> tuple[UUID, UUID]:
    """An event that a client voided in two steps, and its VOID event."""
    with signed_in(owner, user):
        wrong = record(owner, user, READING, 9, day(1))
        mark_voided(owner, wrong)
        return wrong, record(owner, user, VOID, 0, void_of_event=wrong)


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
def test_a_second_void_event_is_refused_in_words(
    ledger: Database, user: UUID, voided: tuple[UUID, UUID], role: str
) -> None:
    words = f"event {voided[0]} has its VOID event already"
    with refused("23505", words) as raised, ledger.as_role(role, claims={"sub": str(user)}) as one:
        record(one, user, VOID, 0, void_of_event=voided[0])
    assert raised.value.diag.constraint_name == "token_events_one_void_a_target"


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
def test_a_void_is_not_voided_by_either_half(
    ledger: Database, user: UUID, voided: tuple[UUID, UUID], role: str
) -> None:
    who = {"sub": str(user)}
    with refused("ML202", "a void stays"), ledger.as_role(role, claims=who) as request:
        record(request, user, VOID, 0, void_of_event=voided[1])
    with refused("ML202", "a void stays"), ledger.as_role(role, claims=who) as request:
        mark_voided(request, voided[1])
    with ledger.as_role(role, claims=who) as request:
        request.execute(
            "update token_events set recalc_batch_id = null, voided_reason = null where id = %s",
            (voided[1],),
        )


def test_a_void_event_names_what_it_cancels(owner: Connection, user: UUID) -> None:
    own = uuid4()
    [stranger] = sign_up(owner, 1)
    theirs = record(owner, stranger, READING, 1)
    with refused("ML203", "names the event that it cancels"), signed_in(owner, user):
        record(owner, user, VOID, 0)
    for target in (uuid4(), theirs, own):
        with refused("23503", "is not there"), signed_in(owner, user):
            record(owner, user, VOID, 0, id=own, void_of_event=target)
    # In another's name it is row level security that answers, whatever the target is.
    for foreign in (None, theirs, uuid4()):
        with pytest.raises(DENIED), signed_in(owner, user):
            record(owner, stranger, VOID, 0, void_of_event=foreign)


@pytest.mark.parametrize("kind", [TOPUP, READING, VOID])
def test_nothing_is_recorded_more_than_a_day_ahead(
    owner: Connection, user: UUID, kind: str
) -> None:
    now = datetime.now(UTC)
    with signed_in(owner, user):
        target = record(owner, user, READING, 5)
        told = {"void_of_event": target} if kind == VOID else {}
        kwh = int(kind != VOID)
    with refused("ML201", "more than a day ahead"), signed_in(owner, user):
        record(owner, user, kind, kwh, now + timedelta(hours=25), **told)
    with signed_in(owner, user):
        record(owner, user, kind, kwh, now + timedelta(hours=23), **told)


def test_a_topup_that_takes_away_is_refused_in_words(owner: Connection, user: UUID) -> None:
    for kwh in (0, -5):
        with (
            refused("23514", f"a top-up adds more than 0 kWh, not {kwh}") as raised,
            signed_in(owner, user),
        ):
            record(owner, user, TOPUP, kwh)
        assert raised.value.diag.constraint_name == "token_events_amount_by_type"


def test_one_wrong_row_refuses_the_whole_statement(owner: Connection, user: UUID) -> None:
    with refused("ML201", "more than a day ahead"), signed_in(owner, user):
        owner.execute(
            "insert into token_events (user_id, event_type, event_date, kwh_amount)"
            " select %s, 'TOPUP', now() + n * interval '9 hours', 1 from generate_series(1, 3) n",
            (user,),
        )
    with signed_in(owner, user):
        assert readings(owner, user) == []


def test_a_void_event_may_come_with_its_target(owner: Connection, user: UUID) -> None:
    target = uuid4()
    with signed_in(owner, user):
        owner.execute(
            "insert into token_events (id, user_id, event_type, event_date, kwh_amount,"
            " void_of_event) values (%(target)s, %(user)s, 'TOPUP', now(), 1, null),"
            " (gen_random_uuid(), %(user)s, 'VOID', now(), 0, %(target)s)",
            {"target": target, "user": user},
        )
        mark_voided(owner, target)
        assert readings(owner, user) == []


def test_a_retry_of_the_void_event_itself_is_ignored_where_that_is_asked_for(
    owner: Connection, user: UUID, voided: tuple[UUID, UUID]
) -> None:
    with signed_in(owner, user):
        again = owner.execute(
            "insert into token_events (id, user_id, event_type, event_date, kwh_amount,"
            " void_of_event) values (%s, %s, 'VOID', now(), 0, %s)"
            " on conflict (user_id, id) do nothing",
            (voided[1], user, voided[0]),
        )
    assert again.rowcount == 0


def test_legacy_readings_of_the_future_are_synced_whoever_writes_them(
    owner: Connection, user: UUID
) -> None:
    future = (datetime.now(UTC) + FAR).date()
    with signed_in(owner, user):
        owner.execute(
            "insert into electricity_readings (user_id, date, kwh_value) values (%s, %s, 7)",
            (user, future),
        )
        assert [kwh for _, kwh in readings(owner, user)] == [7]
        owner.execute(
            "update electricity_readings set kwh_value = 8, token_amount = 3 where user_id = %s",
            (user,),
        )
        assert [kwh for _, kwh in readings(owner, user)] == [8]


def test_no_setting_of_a_client_lifts_a_guard(owner: Connection, user: UUID) -> None:
    for setting in ("ledger.maintenance", "request.jwt.claims"):
        with refused("ML201", "more than a day ahead"), signed_in(owner, user):
            claims = f'{{"role": "postgres", "sub": "{user}"}}'
            owner.execute("select set_config(%s, %s, true)", (setting, claims))
            record(owner, user, READING, 1, datetime.now(UTC) + FAR)


def test_the_owner_is_not_bound(owner: Connection, user: UUID) -> None:
    """Restores and migrations bring what was allowed once."""
    record(owner, user, READING, 1, datetime.now(UTC) + FAR)
    record(owner, user, VOID, 0)
