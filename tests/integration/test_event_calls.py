"""The calls that record, void and replace events: what they write, answer and refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.support.calls import Client, call, moves, refused
from tests.support.database import Connection, Database
from tests.support.events import (
    ADJUSTMENT,
    DENIED,
    READING,
    TOPUP,
    VOID,
    day,
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
    return Client(owner, sign_up(owner, 1)[0])


@pytest.fixture
def other(owner: Connection) -> Client:
    return Client(owner, sign_up(owner, 1)[0])


# record_event


def test_a_recorded_event_says_what_it_was_told_and_where_it_stands(client: Client) -> None:
    client.reading(10, 1)
    told = {
        "event_type": TOPUP,
        "kwh_amount": 20,
        "event_date": day(2),
        "token_cost": 28894,
        "notes": "☕ 'quoted'",
        "meter_photo_url": "https://example.test/meter.jpg",
        "observed_kwh": 28,
        "metadata": {"source": "app"},
        "idempotency_key": "first",
    }
    result = client.call("record_event", **told)

    event = result["event"]
    assert {name: event[name] for name in told if name != "event_date"} == {
        name: value for name, value in told.items() if name != "event_date"
    }
    assert datetime.fromisoformat(event["event_date"]) == day(2)
    assert event["user_id"] == event["created_by"] == str(client.user)
    assert (result["position_kwh"], result["consumption_kwh"], result["batch"]) == (28, 2, None)
    assert client.positions()[1] == (event["id"], 28, 2)


def test_an_event_happens_now_unless_it_says_when(client: Client) -> None:
    before = datetime.now(UTC)
    first = client.call("record_event", event_type=READING, kwh_amount=5)
    second = client.call("record_event", event_type=READING, kwh_amount=4)

    times = [datetime.fromisoformat(result["event"]["event_date"]) for result in (first, second)]
    assert before - timedelta(minutes=1) < times[0] < times[1]
    assert second["consumption_kwh"] == 1
    assert second["batch"] is None


@pytest.mark.parametrize(
    ("kind", "trigger"),
    [
        (TOPUP, "BACKDATE_TOPUP"),
        (READING, "MANUAL_CORRECTION"),
        (ADJUSTMENT, "MANUAL_CORRECTION"),
    ],
)
def test_a_back_dated_event_writes_its_recalculation(
    client: Client, kind: str, trigger: str
) -> None:
    client.reading(10, 1)
    later = client.topup(5, 3)["event"]["id"]
    client.reading(12, 5)
    client.topup(1, 6)
    result = client.record(kind, 7, day(2))

    batch = result["batch"]
    moved = 7 + 5 if kind == READING else 10 + 7 + 5
    assert (batch["trigger_type"], batch["trigger_event_id"]) == (trigger, result["event"]["id"])
    assert moves(batch) == [(later, 15, moved)]
    assert batch["events_count"] == 1
    assert client.linked(batch) == {later, result["event"]["id"]}
    [event] = batch["affected_events"]
    assert (event["event_type"], datetime.fromisoformat(event["event_date"])) == (TOPUP, day(3))
    until = datetime.fromisoformat(batch["can_rollback_until"])
    assert until - datetime.fromisoformat(batch["created_at"]) == timedelta(hours=24)


def test_before_an_anchor_it_moves_no_position_and_can_be_rolled_back_all_the_same(
    client: Client,
) -> None:
    client.reading(10, 1)
    client.reading(8, 3)
    batch = client.topup(5, 2)["batch"]

    assert (batch["affected_events"], batch["events_count"]) == ([], 0)
    assert client.call("rollback_recalculation", batch_id=batch["id"])["voided"] is not None


def test_a_date_more_than_a_day_ahead_is_refused(client: Client) -> None:
    client.record(READING, 1, datetime.now(UTC) + timedelta(hours=23))
    with refused("ML201", "more than a day ahead"):
        client.record(READING, 1, datetime.now(UTC) + timedelta(hours=25))


@pytest.mark.parametrize(
    ("kind", "kwh", "sqlstate", "words"),
    [
        (TOPUP, -1, "23514", "a top-up adds more than 0 kWh, not -1"),
        (TOPUP, 0, "23514", "a top-up adds more than 0 kWh, not 0"),
        (READING, -1, "23514", "a meter shows 0 kWh or more"),
        (VOID, 0, "ML203", "names the event that it cancels"),
        ("GUESS", 1, "23514", "token_events_known_type"),
        (None, 1, "ML200", "a type, a date and an amount"),
        (TOPUP, None, "ML200", "a type, a date and an amount"),
        (TOPUP, "NaN", "23514", "token_events_finite"),
    ],
)
def test_what_cannot_be_true_is_refused(
    client: Client, kind: str | None, kwh: object, sqlstate: str, words: str
) -> None:
    with refused(sqlstate, words):
        client.call("record_event", event_type=kind, kwh_amount=kwh)
    assert client.written() == (0, 0, 0)


# void_event


def test_a_void_is_both_halves_in_one_go(client: Client) -> None:
    client.reading(10, 1)
    wrong = client.topup(50, 2)["event"]["id"]
    later = client.topup(1, 3)["event"]["id"]
    result = client.call("void_event", event_id=wrong, reason="typed twice")

    event, void, batch = (result[name] for name in ("event", "void", "batch"))
    assert (event["id"], event["is_voided"], event["voided_reason"]) == (wrong, True, "typed twice")
    assert event["voided_by"] == str(client.user)
    assert (void["event_type"], void["void_of_event"]) == (VOID, wrong)
    assert void["metadata"] == {"reason": "typed twice"}
    assert (batch["trigger_type"], batch["trigger_event_id"]) == ("DELETE_TOPUP", wrong)
    assert moves(batch) == [(later, 61, 11)]
    assert client.linked(batch) == {later, void["id"]}
    assert client.kwh() == [10, 11]


def test_the_void_of_the_last_event_moves_nothing(client: Client) -> None:
    client.reading(10, 1)
    wrong = client.reading(50, 2)["event"]["id"]

    assert client.call("void_event", event_id=wrong)["batch"] is None
    assert client.kwh() == [10]


@pytest.mark.parametrize("first", ["marked", "told"])
def test_a_half_void_of_todays_clients_is_completed(client: Client, first: str) -> None:
    wrong, last = (client.topup(kwh, kwh)["event"]["id"] for kwh in (1, 2))
    with signed_in(client.connection, client.user) as request:
        if first == "marked":
            mark_voided(request, wrong)
        else:
            record(request, client.user, VOID, 0, day(3), void_of_event=wrong)
    result = client.call("void_event", event_id=wrong, reason="completed")

    assert result["void"]["void_of_event"] == wrong
    assert client.written() == (3, 1, int(first == "told"))
    assert client.positions() == [(last, 2, None)]
    assert result["event"]["voided_reason"] == ("wrong" if first == "marked" else "completed")
    if first == "told":
        assert client.linked(result["batch"]) == {last, result["void"]["id"]}


def test_a_void_stays_and_is_made_once(client: Client) -> None:
    wrong = client.reading(10, 1)["event"]["id"]
    void = client.call("void_event", event_id=wrong)["void"]["id"]
    with refused("ML205", "is void already"):
        client.call("void_event", event_id=wrong)
    with refused("ML202", "is a void, and a void stays"):
        client.call("void_event", event_id=void)
    assert client.written() == (2, 1, 0)


# replace_event


def test_an_edit_voids_and_records_again_what_changed(client: Client) -> None:
    client.reading(10, 1)
    told = {"token_cost": 5, "notes": "kept", "observed_kwh": None, "metadata": {"source": "app"}}
    wrong = client.topup(50, 2, **told)["event"]
    later = client.topup(1, 3)["event"]["id"]
    result = client.call(
        "replace_event",
        event_id=wrong["id"],
        changes={"kwh_amount": 20, "token_cost": None},
        reason="typo",
    )

    event, void, batch = (result[name] for name in ("event", "void", "batch"))
    changed = {"id", "kwh_amount", "token_cost", "metadata", "recalc_batch_id"}
    assert {name for name in event if event[name] != wrong[name]} == changed
    assert (event["kwh_amount"], event["token_cost"]) == (20, None)
    assert event["metadata"] == {"source": "app", "replaces": wrong["id"]}
    assert void["metadata"] == {"reason": "typo", "replaced_by": event["id"]}
    assert void["void_of_event"] == result["replaced"]["id"] == wrong["id"]
    assert result["replaced"]["voided_reason"] == "typo"
    assert (result["position_kwh"], result["consumption_kwh"]) == (30, None)
    assert (batch["trigger_type"], batch["trigger_event_id"]) == ("EDIT_TOPUP", event["id"])
    assert moves(batch) == [(later, 61, 31)]
    assert client.linked(batch) == {later, event["id"], void["id"]}
    assert client.kwh() == [10, 30, 31]


@pytest.mark.parametrize("to", [2, 7])
def test_an_edit_may_move_an_event_past_others(client: Client, to: int) -> None:
    client.reading(10, 1)
    ids = [client.topup(1, at)["event"]["id"] for at in (3, 4, 5, 6)]
    result = client.call(
        "replace_event", event_id=ids[1], changes={"event_date": day(to).isoformat()}
    )

    # It added its kWh after the third day, or not before the sixth any more.
    moved = [(ids[0], 11, 12)] if to == 2 else [(ids[2], 13, 12), (ids[3], 14, 13)]
    assert moves(result["batch"]) == moved


def test_an_edit_of_words_moves_nothing_and_keeps_its_place(client: Client) -> None:
    first, second = (client.topup(kwh, 1)["event"]["id"] for kwh in (1, 2))
    result = client.call("replace_event", event_id=first, changes={"notes": "new"})

    assert result["batch"]["affected_events"] == []
    assert client.positions() == [(result["event"]["id"], 1, None), (second, 3, None)]


@pytest.mark.parametrize(
    ("old", "new", "trigger"),
    [
        (READING, {"kwh_amount": 2}, "MANUAL_CORRECTION"),
        (READING, {"event_type": TOPUP}, "EDIT_TOPUP"),
        (TOPUP, {"event_type": READING}, "EDIT_TOPUP"),
        (ADJUSTMENT, {"kwh_amount": -1}, "MANUAL_CORRECTION"),
    ],
)
def test_an_edit_of_a_topup_is_called_so(
    client: Client, old: str, new: dict[str, object], trigger: str
) -> None:
    event = client.record(old, 1, day(1))["event"]["id"]
    batch = client.call("replace_event", event_id=event, changes=new)["batch"]
    assert batch["trigger_type"] == trigger


@pytest.mark.parametrize(
    ("changes", "sqlstate", "words"),
    [
        ({}, "ML200", "an object of the columns to change"),
        (["notes"], "ML200", "an object of the columns to change"),
        ({"notes": "x", "user_id": str(uuid4())}, "ML200", "user_id cannot be replaced"),
        ({"is_voided": True}, "ML200", "is_voided cannot be replaced"),
        ({"kwh_amount": -1}, "23514", "a top-up adds more than 0 kWh"),
        ({"kwh_amount": None}, "ML200", "a type, a date and an amount"),
        ({"kwh_amount": "many"}, "22P02", "numeric"),
        ({"event_date": "2999-01-01"}, "ML201", "more than a day ahead"),
        ({"event_type": VOID, "kwh_amount": 0}, "ML203", "names the event"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused(
    client: Client, changes: object, sqlstate: str, words: str
) -> None:
    event = client.topup(1, 1)["event"]["id"]
    with refused(sqlstate, words):
        client.call("replace_event", event_id=event, changes=changes)
    assert client.written() == (1, 0, 0)


def test_nothing_stands_in_for_a_void(client: Client) -> None:
    event = client.topup(1, 1)["event"]["id"]
    void = client.call("void_event", event_id=event)["void"]["id"]
    with refused("ML205", "is void, and nothing can stand in for it"):
        client.call("replace_event", event_id=event, changes={"notes": "x"})
    with refused("ML202", "is a void"):
        client.call("replace_event", event_id=void, changes={"notes": "x"})


# preview_backdate


def test_a_preview_says_what_would_be_and_writes_nothing(client: Client) -> None:
    client.reading(10, 1)
    later = client.topup(5, 3)["event"]["id"]
    anchor = client.reading(9, 5)["event"]["id"]
    client.topup(1, 6)
    before = client.written()
    told = {"event_type": TOPUP, "kwh_amount": 7, "event_date": day(2)}
    preview = client.call("preview_backdate", **told)

    assert (preview["position_kwh"], preview["consumption_kwh"]) == (17, None)
    assert [
        tuple(event[f"{when}_{what}"] for what in ("kwh", "consumption_kwh") for when in OLD_NEW)
        for event in preview["later"]
    ] == [(15, 22, None, None), (9, 9, 6, 13)]
    assert [event["event_id"] for event in preview["later"]] == [later, anchor]
    assert client.written() == before
    assert moves(client.call("record_event", **told)["batch"]) == [(later, 15, 22)]


OLD_NEW = ("old", "new")


def test_a_preview_refuses_what_recording_would(client: Client) -> None:
    for kind, kwh, sqlstate in ((TOPUP, -1, "23514"), (VOID, 0, "ML203"), (TOPUP, None, "ML200")):
        with pytest.raises(psycopg.Error) as raised:
            client.call("preview_backdate", event_type=kind, kwh_amount=kwh)
        assert raised.value.sqlstate == sqlstate


# Who may call, and on whose events.

ARGUMENTS: list[tuple[str, dict[str, object]]] = [
    ("record_event", {"event_type": READING, "kwh_amount": 1}),
    ("preview_backdate", {"event_type": READING, "kwh_amount": 1}),
    ("void_event", {"event_id": None}),
    ("replace_event", {"event_id": None, "changes": {"notes": "x"}}),
    ("recalculate", {"event_id": None}),
    ("rollback_recalculation", {"batch_id": None}),
]
NAMES = [name for name, _ in ARGUMENTS]


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS, ids=NAMES)
@pytest.mark.parametrize("role", ["anon", "service_role"])
def test_only_signed_in_users_may_call(
    ledger: Database, name: str, arguments: dict[str, object], role: str
) -> None:
    with pytest.raises(DENIED), ledger.as_role(role) as request:
        call(request, name, **arguments)


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS, ids=NAMES)
def test_a_token_that_names_nobody_is_nobody_signed_in(
    ledger: Database, name: str, arguments: dict[str, object]
) -> None:
    with refused("28000", "nobody is signed in"), ledger.as_role("authenticated") as request:
        call(request, name, **arguments)


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS[2:], ids=NAMES[2:])
def test_anothers_events_are_not_there(
    client: Client, other: Client, name: str, arguments: dict[str, object]
) -> None:
    other.topup(1, 2)
    theirs = other.topup(1, 1)
    target = theirs["batch"] if "batch_id" in arguments else theirs["event"]
    key = next(iter(arguments))
    before = other.written()
    told = []
    for id_ in (target["id"], uuid4()):
        with refused("ML204", "in this ledger") as raised:
            client.call(name, **arguments | {key: id_})
        told.append(str(raised.value).replace(str(id_), "…"))
    assert told[0] == told[1]
    assert other.written() == before
