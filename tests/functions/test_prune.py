"""Pruning: the answers to clients' keys go after their time, young ones stay, events never go."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from functions.prune.main import entry as prune
from tests.functions.conftest import Place
from tests.support.database import Connection
from tests.support.events import signed_in

CALL = "select public.record_event('TOPUP', 5, p_idempotency_key => %s)"


def some_user(owner: Connection) -> UUID:
    row = owner.execute("select user_id from ledger.heads order by 1 limit 1").fetchone()
    assert row is not None
    return UUID(str(row[0]))


def call(owner: Connection, user: UUID, key: str) -> object:
    with signed_in(owner, user):
        row = owner.execute(CALL, (key,)).fetchone()
    assert row is not None
    return row[0]


def age(owner: Connection, key: str, days: float) -> None:
    owner.execute(
        "update ledger.event_calls set called_at = now() - %s * interval '1 day'"
        " where idempotency_key = %s",
        (days, key),
    )


def keys(place: Place) -> list[str]:
    return [k for (k,) in place.database.rows("select idempotency_key from ledger.event_calls")]


def events(place: Place) -> list[tuple[object, ...]]:
    """Whole events, ids and keys and all."""
    return place.database.rows("select to_jsonb(e) from public.token_events as e order by e.id")


def test_old_answers_go_and_young_ones_and_events_stay(place: Place, owner: Connection) -> None:
    user = some_user(owner)
    answers = {key: call(owner, user, key) for key in ("old", "within", "recent")}
    age(owner, "old", 30.5)
    age(owner, "within", 29.5)
    before = events(place)
    assert len(before) == 15
    result = place.run(prune)[1]

    assert (result["outcome"], result["calls"]) == ("pruned", 1)
    assert sorted(keys(place)) == ["recent", "within"]
    assert events(place) == before
    # A repeat within the time gets the first answer; a later one is refused, not done again.
    assert call(owner, user, "within") == answers["within"]
    with pytest.raises(psycopg.Error, match="belongs to an event") as refused:
        call(owner, user, "old")
    assert refused.value.sqlstate == "ML206"
    assert events(place) == before
    assert place.run(prune)[1]["calls"] == 0


def test_the_time_is_a_setting(place: Place, owner: Connection) -> None:
    user = some_user(owner)
    call(owner, user, "mine")
    age(owner, "mine", 2)
    owner.execute("update ledger.work_settings set keep_calls = '1 day'")
    result = place.run(prune)[1]
    owner.execute("update ledger.work_settings set keep_calls = '30 days'")

    assert (result["calls"], keys(place)) == (1, [])


def test_a_call_that_a_client_repeats_now_is_left_for_the_next_time(
    place: Place, owner: Connection
) -> None:
    user = some_user(owner)
    for key in ("held", "free"):
        call(owner, user, key)
        age(owner, key, 40)
    with place.database.connect() as client:
        client.execute("select from ledger.event_calls where idempotency_key = 'held' for update")
        assert place.run(prune)[1]["calls"] == 1
    assert keys(place) == ["held"]
    assert place.run(prune)[1]["calls"] == 1


def test_many_go_in_small_transactions(place: Place, owner: Connection) -> None:
    owner.execute(
        "insert into ledger.event_calls (user_id, idempotency_key, call, arguments, result,"
        " called_at) select %s, n::text, 'record_event', '{}', '{}', now() - interval '31 days'"
        " from generate_series(1, 5) as n",
        (some_user(owner),),
    )
    first = owner.execute("select public.prune_ledger(2)").fetchone()
    assert first is not None
    assert (first[0]["calls"], first[0]["more"]) == (2, True)
    assert place.run(prune)[1]["calls"] == 3
