"""What may be recorded as an event, and by whom: grants by column, limits, keys of a user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.database import Connection, Database
from tests.support.events import (
    ADJUSTMENT,
    DENIED,
    READING,
    START,
    TOPUP,
    VOID,
    day,
    insert,
    record,
    shared_database,
    sign_up,
    signed_in,
)
from tests.support.servers import MAJORS, Databases

LIMIT = "1000000000000"
BELOW = "999999999999.999999"


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


def facts(user: UUID) -> dict[str, object]:
    """An event as a client records it."""
    return {
        "user_id": user,
        "event_type": READING,
        "event_date": START,
        "kwh_amount": 1,
        "created_by": user,
    }


FORGED = {
    "reading_id": uuid4(),
    "is_voided": True,
    "voided_at": START,
    "voided_by": uuid4(),
    "voided_reason": "because",
    "legacy_token_amount": 5,
}


@pytest.mark.parametrize("column", FORGED)
def test_a_client_may_not_set_what_is_not_its_to_say(
    owner: Connection, user: UUID, column: str
) -> None:
    with signed_in(owner, user):
        insert(owner, "token_events", facts(user))
    with pytest.raises(DENIED), signed_in(owner, user):
        insert(owner, "token_events", facts(user) | {column: FORGED[column]})


@pytest.mark.parametrize("column", ["reading_id", "legacy_token_amount"])
def test_the_service_may_not_forge_provenance_either(
    ledger: Database, user: UUID, column: str
) -> None:
    with ledger.as_role("service_role") as service:
        event = record(service, user)
        with pytest.raises(DENIED), service.transaction():
            insert(service, "token_events", facts(user) | {column: FORGED[column]})
        with pytest.raises(DENIED), service.transaction():
            service.execute("update token_events set reading_id = %s where id = %s", (event, event))


def test_even_null_in_a_column_of_the_rollout_is_refused(owner: Connection, user: UUID) -> None:
    with pytest.raises(DENIED), signed_in(owner, user):
        insert(owner, "token_events", facts(user) | {"reading_id": None})


def test_a_client_records_in_its_own_name_only(owner: Connection, user: UUID) -> None:
    [stranger] = sign_up(owner, 1)
    with signed_in(owner, user):
        insert(owner, "token_events", facts(user) | {"created_by": user})
    with pytest.raises(DENIED), signed_in(owner, user):
        insert(owner, "token_events", facts(user) | {"created_by": stranger})


@pytest.mark.parametrize("origin", ["electricity_readings", "", None, 1])
def test_a_client_may_not_claim_that_an_event_was_migrated(
    owner: Connection, user: UUID, origin: object
) -> None:
    with signed_in(owner, user):
        insert(owner, "token_events", facts(user) | {"metadata": {"source": origin}})
    with pytest.raises(DENIED), signed_in(owner, user):
        insert(owner, "token_events", facts(user) | {"metadata": {"migrated_from": origin}})


def test_a_client_may_not_claim_it_afterwards_either(owner: Connection, user: UUID) -> None:
    with signed_in(owner, user):
        event = record(owner, user, metadata={"source": "app"})
    claim = "update token_events set metadata = %s where id = %s"
    with pytest.raises(DENIED), signed_in(owner, user):
        owner.execute(claim, ('{"migrated_from": "electricity_readings"}', event))


@pytest.mark.parametrize("metadata", [None, {}, {"nested": {"migrated_from": "elsewhere"}}])
def test_other_metadata_is_the_clients_own(owner: Connection, user: UUID, metadata: object) -> None:
    with signed_in(owner, user):
        insert(owner, "token_events", facts(user) | {"metadata": metadata})


AMOUNTS: list[tuple[str, list[str], list[str]]] = [
    (TOPUP, ["0.01", BELOW], ["0", "-1", LIMIT]),
    (READING, ["0", BELOW], ["-0.01", LIMIT]),
    (ADJUSTMENT, ["0", BELOW, f"-{BELOW}"], [LIMIT, f"-{LIMIT}"]),
    (VOID, ["0"], ["1", "-1"]),
]
NO_NUMBERS = ["NaN", "Infinity", "-Infinity"]


@pytest.mark.parametrize(
    ("kind", "fine", "refused"),
    [
        (kind, fine, wrong)
        for kind, allowed, denied in AMOUNTS
        for fine, wrong in zip(allowed * 9, denied + NO_NUMBERS, strict=False)
    ],
)
def test_the_amount_of_each_type_has_its_limits(
    owner: Connection, user: UUID, kind: str, fine: str, refused: str
) -> None:
    record(owner, user, kind, fine)
    with pytest.raises(psycopg.IntegrityError):
        record(owner, user, kind, refused)
    assert owner.execute(
        "select kwh_amount = %s::numeric from token_events where user_id = %s", (fine, user)
    ).fetchall() == [(True,)]


@pytest.mark.parametrize("cost", [LIMIT, f"-{LIMIT}", *NO_NUMBERS])
def test_a_cost_has_its_limits(owner: Connection, user: UUID, cost: str) -> None:
    record(owner, user, TOPUP, 1, token_cost=BELOW)
    with pytest.raises(psycopg.IntegrityError):
        record(owner, user, TOPUP, 1, token_cost=cost)


def test_two_readings_at_the_old_limit_overflow_no_sum(owner: Connection, user: UUID) -> None:
    for number in range(2):
        record(owner, user, TOPUP, "99999999.99", day(number))
    with signed_in(owner, user):
        [_, (total,)] = owner.execute(
            "select calculated_position::text from calculate_user_positions(%s)", (user,)
        ).fetchall()

    assert total == "199999999.98"


@pytest.mark.parametrize("kwh", ["-0.01", LIMIT, *NO_NUMBERS])
@pytest.mark.parametrize("kind", [TOPUP, ADJUSTMENT])
def test_what_the_meter_showed_is_a_number_from_zero_on(
    owner: Connection, user: UUID, kind: str, kwh: str
) -> None:
    for fine in ("0", BELOW):
        record(owner, user, kind, 1, observed_kwh=fine)
    with pytest.raises(psycopg.IntegrityError):
        record(owner, user, kind, 1, observed_kwh=kwh)


@pytest.mark.parametrize("kind", [READING, VOID])
def test_only_a_topup_or_a_correction_tells_what_the_meter_showed_after_it(
    owner: Connection, user: UUID, kind: str
) -> None:
    record(owner, user, kind, 0)
    with pytest.raises(psycopg.IntegrityError):
        record(owner, user, kind, 0, observed_kwh=5)


@pytest.mark.parametrize(
    "change",
    [
        {"event_type": "GUESS"},
        {"event_type": "topup"},
        {"event_type": None},
        {"event_date": None},
        {"event_date": "infinity"},
        {"event_date": "-infinity"},
        {"kwh_amount": None},
        {"user_id": None},
        {"created_at": None},
    ],
    ids=str,
)
def test_an_event_without_its_facts_is_refused(
    owner: Connection, user: UUID, change: dict[str, object]
) -> None:
    insert(owner, "token_events", facts(user))
    with pytest.raises(psycopg.IntegrityError):
        insert(owner, "token_events", facts(user) | change)
