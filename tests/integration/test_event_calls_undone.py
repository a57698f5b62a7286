"""recalculate, rollback_recalculation, and what a client's key makes of a repeated call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest

from tests.support.calls import Client, Result, moves, refused
from tests.support.database import Connection, Database
from tests.support.events import (
    ADJUSTMENT,
    READING,
    TOPUP,
    VOID,
    day,
    insert,
    mark_voided,
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
def client(owner: Connection) -> Client:
    """With 10 kWh on the first day and a top-up of 5 on the fifth."""
    client = Client(owner, sign_up(owner, 1)[0])
    client.reading(10, 1)
    client.topup(5, 5)
    return client


def undo(client: Client, result: Result, **arguments: object) -> Result:
    return client.call("rollback_recalculation", batch_id=result["batch"]["id"], **arguments)


# recalculate


@pytest.mark.parametrize(
    ("kind", "trigger"), [(TOPUP, "BACKDATE_TOPUP"), (ADJUSTMENT, "MANUAL_CORRECTION")]
)
def test_a_direct_back_dated_write_gets_its_recalculation_afterwards(
    client: Client, kind: str, trigger: str
) -> None:
    with signed_in(client.connection, client.user) as request:
        event = str(record(request, client.user, kind, 7, day(2)))
    last = client.positions()[-1][0]
    batch = client.call("recalculate", event_id=event)["batch"]

    assert (batch["trigger_type"], batch["trigger_event_id"]) == (trigger, event)
    assert moves(batch) == [(last, 15, 22)]
    assert client.linked(batch) == {event, last}
    with refused("ML212", f"recorded already, in recalculation {batch['id']}"):
        client.call("recalculate", event_id=event)


def test_a_direct_void_gets_its_recalculation_afterwards(client: Client) -> None:
    event = client.topup(7, 2)["event"]["id"]
    last = client.positions()[-1][0]
    with signed_in(client.connection, client.user) as request:
        mark_voided(request, event)
    with refused("ML209", "is half void"):
        client.call("recalculate", event_id=event)
    with signed_in(client.connection, client.user) as request:
        void = record(request, client.user, VOID, 0, void_of_event=event)
    result = client.call("recalculate", event_id=event)

    assert result["batch"]["trigger_type"] == "DELETE_TOPUP"
    assert moves(result["batch"]) == [(last, 22, 15)]
    assert client.linked(result["batch"]) == {event, str(void), last}
    with refused("ML212", "recorded already"):
        client.call("recalculate", event_id=event)
    assert undo(client, result)["event"]["kwh_amount"] == 7
    assert client.kwh() == [10, 17, 22]


def test_a_direct_edit_gets_its_recalculation_by_the_event_that_it_names(client: Client) -> None:
    wrong = client.topup(7, 2)["event"]["id"]
    last = client.positions()[-1][0]
    with signed_in(client.connection, client.user) as request:
        mark_voided(request, wrong)
        record(request, client.user, VOID, 0, void_of_event=wrong)
        told = {"metadata": {"replaces": wrong}}
        event = str(record(request, client.user, TOPUP, 8, day(3), **told))
    result = client.call("recalculate", event_id=event)

    assert result["batch"]["trigger_type"] == "EDIT_TOPUP"
    assert moves(result["batch"]) == [(last, 22, 23)]
    assert undo(client, result)["event"]["kwh_amount"] == 7
    assert client.kwh() == [10, 17, 22]


@pytest.mark.parametrize("link", ["not-an-id", "00000000-0000-0000-0000-000000000000", 5])
def test_a_link_to_nothing_is_no_link(client: Client, link: object) -> None:
    with signed_in(client.connection, client.user) as request:
        event = record(request, client.user, TOPUP, 7, day(2), metadata={"replaces": link})
    batch = client.call("recalculate", event_id=event)["batch"]
    assert batch["trigger_type"] == "BACKDATE_TOPUP"


# rollback_recalculation


def test_what_was_recorded_is_voided(client: Client) -> None:
    last = client.positions()[-1][0]
    recorded = client.topup(7, 2)
    result = undo(client, recorded, reason="not mine")

    assert result["event"] is None
    assert result["voided"]["id"] == recorded["event"]["id"]
    assert result["voided"]["voided_reason"] == result["batch"]["rollback_reason"] == "not mine"
    assert result["batch"]["rolled_back_at"] is not None
    assert moves(result) == [(last, 22, 15)]
    assert client.kwh() == [10, 15]


def test_what_was_voided_is_recorded_again(client: Client) -> None:
    told = {"token_cost": 9, "notes": "n", "observed_kwh": 16, "metadata": {"source": "app"}}
    event = client.topup(7, 2, **told)["event"]
    result = undo(client, client.call("void_event", event_id=event["id"]))

    again = result["event"]
    assert result["voided"] is None
    assert {name for name in event if again[name] != event[name]} == {
        *("id", "metadata", "recalc_batch_id")
    }
    assert again["metadata"] == {"source": "app", "recreates": event["id"]}
    assert client.kwh() == [10, 16, 21]


def test_an_edit_is_taken_back(client: Client) -> None:
    event = client.topup(7, 2)["event"]
    edited = client.call(
        "replace_event",
        event_id=event["id"],
        changes={"kwh_amount": 70, "event_date": day(3).isoformat()},
    )
    result = undo(client, edited)

    assert result["voided"]["id"] == edited["event"]["id"]
    assert result["event"]["kwh_amount"] == 7
    assert result["event"]["event_date"] == event["event_date"]
    assert client.kwh() == [10, 17, 22]


def test_what_came_in_since_stays(client: Client) -> None:
    recorded = client.topup(7, 2)
    client.topup(1, 3)
    client.reading(20, 6)
    undo(client, recorded)

    assert client.kwh() == [10, 11, 16, 20]


def test_changes_of_one_event_are_taken_back_from_the_last_one_on(client: Client) -> None:
    before = client.kwh()
    recorded = client.topup(7, 2)
    edited, again = recorded, []
    for kwh in (8, 9):
        edited = client.call(
            "replace_event", event_id=edited["event"]["id"], changes={"kwh_amount": kwh}
        )
        again.append(edited)
    voided = client.call("void_event", event_id=edited["event"]["id"])
    for earlier in (recorded, *again):
        with refused("ML209", "has changed since: event .* is void"):
            undo(client, earlier)
    seen = []
    for change in (voided, *reversed(again), recorded):
        undo(client, change)
        seen.append(client.kwh())
    assert seen == [[10, 19, 24], [10, 18, 23], [10, 17, 22], before]


def test_a_rollback_is_made_once_and_within_its_day(client: Client) -> None:
    recorded, late = client.topup(7, 2), client.topup(7, 2)
    undo(client, recorded, idempotency_key="undo")
    with refused("ML207", "was rolled back at"):
        undo(client, recorded)
    client.connection.execute(
        "update public.recalculation_batches set can_rollback_until = now() - interval '1 second'"
        " where id = %s",
        (late["batch"]["id"],),
    )
    with refused("ML208", "can no longer be rolled back"):
        undo(client, late)
    # The repeat is answered all the same.
    client.connection.execute(
        "update public.recalculation_batches set can_rollback_until = now() - interval '1 second'"
        " where id = %s",
        (recorded["batch"]["id"],),
    )
    assert undo(client, recorded, idempotency_key="undo")["batch"]["rolled_back_at"] is not None


@pytest.mark.parametrize("told", [{}, {"trigger_event_id": uuid4()}], ids=["nothing", "unknown"])
def test_a_clients_own_batch_that_names_no_event_cannot_be_rolled_back(
    client: Client, told: dict[str, object]
) -> None:
    batch = uuid4()
    row = {"id": batch, "user_id": client.user, "trigger_type": "MANUAL_CORRECTION"}
    with signed_in(client.connection, client.user) as request:
        insert(
            request,
            "recalculation_batches",
            {**row, "affected_events": [], "events_count": 0, **told},
        )
    with refused("ML209", "is not known"):
        client.call("rollback_recalculation", batch_id=batch)


def test_a_batch_that_more_than_one_void_names_cannot_be_rolled_back(client: Client) -> None:
    ids = [client.topup(7, 2)["event"]["id"] for _ in range(2)]
    batch = client.call("void_event", event_id=ids[0])["batch"]
    void = client.call("void_event", event_id=ids[1])["void"]
    with signed_in(client.connection, client.user) as request:
        request.execute(
            "update token_events set recalc_batch_id = %s where id = %s", (batch["id"], void["id"])
        )
    with refused("ML209", "more than one void"):
        client.call("rollback_recalculation", batch_id=batch["id"])


# The client's key


def acts(client: Client) -> list[tuple[str, dict[str, object], dict[str, object]]]:
    """Each writing call with arguments that work, and with others that would work too."""
    events = [client.topup(kwh, 2)["event"]["id"] for kwh in (1, 2, 3, 4)]
    with signed_in(client.connection, client.user) as request:
        direct = [record(request, client.user, TOPUP, kwh, day(2)) for kwh in (6, 7)]
    batches = [client.topup(kwh, 2)["batch"]["id"] for kwh in (8, 9)]
    return [
        (
            "record_event",
            {"event_type": TOPUP, "kwh_amount": 5},
            {"event_type": READING, "kwh_amount": 5},
        ),
        ("void_event", {"event_id": events[0]}, {"event_id": events[0], "reason": "other"}),
        (
            "replace_event",
            {"event_id": events[1], "changes": {"notes": "x"}},
            {"event_id": events[1], "changes": {"notes": "y"}},
        ),
        ("recalculate", {"event_id": direct[0]}, {"event_id": direct[1]}),
        ("rollback_recalculation", {"batch_id": batches[0]}, {"batch_id": batches[1]}),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_repeated_call_is_answered_as_the_first_one_was(client: Client, number: int) -> None:
    name, arguments, others = acts(client)[number]
    first = client.call(name, **arguments, idempotency_key="once")
    after = client.written()
    client.topup(1, 9)
    written = client.written()

    assert client.call(name, **arguments, idempotency_key="once") == first
    assert client.written() == written
    assert written[0] == after[0] + 1
    with refused("ML206", f"came with another call before: {name}"):
        client.call(name, **others, idempotency_key="once")
    with refused("ML206", f"came with another call before: {name}"):
        client.call("record_event", event_type=READING, kwh_amount=1, idempotency_key="once")
    assert client.written() == written


def test_the_same_number_or_instant_in_other_words_is_the_same_argument(client: Client) -> None:
    first = client.call(
        "record_event", event_type=TOPUP, kwh_amount="5", event_date="2026-01-08 07:00+07",
        idempotency_key="k",
    )  # fmt: skip
    client.connection.execute("set time zone 'Asia/Jakarta'")
    again = client.call(
        "record_event", event_type=TOPUP, kwh_amount="5.00", event_date="2026-01-08T00:00:00Z",
        idempotency_key="k",
    )  # fmt: skip
    client.connection.execute("reset time zone")
    assert again == first


def test_a_key_is_a_users_own_and_stands_on_the_event(client: Client, owner: Connection) -> None:
    other = Client(owner, sign_up(owner, 1)[0])
    for someone in (client, other):
        recorded = someone.topup(5, 8, idempotency_key="shared")
        assert recorded["event"]["idempotency_key"] == "shared"
    voided = client.call(
        "void_event", event_id=client.positions()[0][0], idempotency_key="of the void"
    )
    assert voided["void"]["idempotency_key"] == "of the void"
    with pytest.raises(psycopg.errors.UniqueViolation), signed_in(owner, client.user) as request:
        record(request, client.user, TOPUP, 1, idempotency_key="of the void")


def test_a_key_of_a_direct_insert_is_taken(client: Client) -> None:
    with signed_in(client.connection, client.user) as request:
        record(request, client.user, TOPUP, 5, day(8), idempotency_key="direct")
    with refused("ML206", "an event that was inserted directly"):
        client.topup(5, 8, idempotency_key="direct")


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_has_a_length(client: Client, key: str) -> None:
    with refused("ML200", "has 1 to 200 characters"):
        client.topup(5, 8, idempotency_key=key)


def test_a_refused_call_keeps_no_key(client: Client) -> None:
    with refused("23514", "a top-up adds"):
        client.topup(-5, 8, idempotency_key="k")
    assert client.topup(5, 8, idempotency_key="k")["position_kwh"] == 20
