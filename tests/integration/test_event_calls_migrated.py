"""The calls on a ledger that was migrated: merged events, readings' ids, open recalculations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from tests.support.calls import Client, refused
from tests.support.database import Connection
from tests.support.events import signed_in
from tests.support.household import ZONE, named, plant
from tests.support.rollout import apply, projection_is_live
from tests.support.servers import Databases, Template, default_major
from toolkit.bootstrap import StartingPoint

DUAL = StartingPoint.DUAL_WRITE


@pytest.fixture(scope="module")
def rolled(databases: Callable[[int], Databases]) -> Iterator[tuple[Connection, UUID]]:
    owner = databases(default_major())
    database = owner.make(Template(DUAL))
    user, _ = plant(database, DUAL)
    apply(database, time_zone=ZONE)
    with database.connect(autocommit=True) as connection:
        yield connection, user
    owner.drop(database)


@pytest.fixture
def client(rolled: tuple[Connection, UUID]) -> Iterator[Client]:
    """In a transaction that is taken back: each test finds the migrated household."""
    connection, user = rolled
    with connection.transaction(force_rollback=True):
        yield Client(connection, user)
        assert projection_is_live(connection)


def test_a_merged_events_id_means_the_event_that_stands_for_it(client: Client) -> None:
    merged, survivor = named(client.user, "e topup"), named(client.user, "topup")
    result = client.call("void_event", event_id=merged, reason="typo")

    assert result["event"]["id"] == result["void"]["void_of_event"] == str(survivor)
    assert str(survivor) not in [id_ for id_, _, _ in client.positions()]
    assert result["batch"]["trigger_type"] == "DELETE_TOPUP"


def test_an_open_recalculation_of_a_merged_event_is_rolled_back(client: Client) -> None:
    batch = named(client.user, "batch")
    result = client.call("rollback_recalculation", batch_id=batch, reason="typo")

    assert result["voided"]["id"] == str(named(client.user, "topup"))


def test_a_migrated_event_is_edited_without_its_provenance(client: Client) -> None:
    odd = named(client.user, "odd")
    result = client.call("replace_event", event_id=odd, changes={"kwh_amount": 58})

    assert result["replaced"]["metadata"] == {"migrated_from": "electricity_readings"}
    assert result["event"]["metadata"] == {"replaces": str(odd)}
    assert result["event"]["legacy_token_amount"] is None
    undone = client.call("rollback_recalculation", batch_id=result["batch"]["id"])
    assert undone["event"]["kwh_amount"] == 58.25


def test_an_id_that_two_events_answer_to_is_refused_and_each_can_be_named(client: Client) -> None:
    both = named(client.user, "namesake")
    for name, more in (("void_event", {}), ("replace_event", {"changes": {"notes": "x"}})):
        with refused("ML213", "two events answer to the id"):
            client.call(name, event_id=both, **more)
    with signed_in(client.connection, client.user) as request:
        rows = request.execute(
            "select event_type, case when id = %(id)s then reading_id else id end"
            " from token_events where %(id)s in (id, reading_id)",
            {"id": both},
        ).fetchall()
    assert {kind for kind, _ in rows} == {"ADJUSTMENT", "METER_READING"}
    for kind, id_ in rows:
        assert client.call("void_event", event_id=id_)["event"]["event_type"] == kind
