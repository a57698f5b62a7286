"""Any sequence of calls and direct writes: all computations agree, every recalculation is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.calls import Client, Result, moves
from tests.support.database import Connection
from tests.support.events import (
    ADJUSTMENT,
    READING,
    TOPUP,
    VOID,
    day,
    differences,
    mark_voided,
    record,
    shared_database,
    sign_up,
    signed_in,
)
from tests.support.servers import Databases, default_major

# What a call may be refused for, here: the event or the recalculation is not as it must be.
FAIR = {"ML202", "ML205", "ML207", "ML209", "ML212", "23514", "23505"}


@pytest.fixture(scope="module")
def postgres(databases: Callable[[int], Databases]) -> Iterator[Connection]:
    for database in shared_database(databases(default_major())):
        with database.connect(autocommit=True) as connection:
            yield connection


@dataclass
class History:
    """What a client did, and what it may come back to."""

    client: Client
    events: list[UUID] = field(default_factory=list)
    batches: list[Result] = field(default_factory=list)

    def act(self, name: str, **arguments: object) -> Result | None:
        """A call, held against what it did; None where it was fairly refused."""
        before = dict(self._kwh())
        try:
            result = self.client.call(name, **arguments)
        except psycopg.Error as error:
            assert error.sqlstate in FAIR, error  # noqa: PT017 - other codes are the failure
            assert dict(self._kwh()) == before
            return None
        told = result if "affected_events" in result else result["batch"]
        after = self._kwh()
        moved = [
            (id_, before[id_], kwh) for id_, kwh in after if id_ in before and before[id_] != kwh
        ]
        if told is None:
            assert moved == []
        elif name != "recalculate":
            assert moves(told) == moved
        else:
            # It changes nothing: the new positions are the present ones, the old ones others.
            assert moved == []
            assert [(id_, new) for id_, _, new in moves(told)] == [
                (id_, kwh) for id_, kwh in after if id_ in {id_ for id_, _, _ in moves(told)}
            ]
            assert all(old != new for _, old, new in moves(told))
        if name != "rollback_recalculation" and result["batch"] is not None:
            self.batches.append(result["batch"])
        for part in ("event", "void"):
            if result.get(part) is not None:
                self.events.append(UUID(result[part]["id"]))
        return result

    def record(self, **told: Any) -> None:  # noqa: ANN401 - the call's arguments
        preview = self._previewed(told)
        before = {id_: (kwh, used) for id_, kwh, used in self.client.positions()}
        result = self.act("record_event", **told)
        if result is None:
            assert preview is None
            return
        assert preview is not None
        after = [
            (id_, *before[id_], kwh, used)
            for id_, kwh, used in self.client.positions()
            if id_ in before and before[id_] != (kwh, used)
        ]
        names = ("event_id", "old_kwh", "old_consumption_kwh", "new_kwh", "new_consumption_kwh")
        assert [tuple(event[name] for name in names) for event in preview["later"]] == after
        for name in ("position_kwh", "consumption_kwh"):
            assert preview[name] == result[name]

    def directly(self, told: dict[str, Any], *, recalculated: bool) -> None:
        """Today's clients insert; some ask for the recalculation afterwards."""
        with signed_in(self.client.connection, self.client.user) as request:
            event = record(
                request, self.client.user, told["event_type"], told["kwh_amount"],
                told["event_date"], observed_kwh=told.get("observed_kwh"),
                created_at=datetime.now(UTC),  # all in one transaction, and no ties
            )  # fmt: skip
        self.events.append(event)
        if recalculated:
            assert self.act("recalculate", event_id=event) is not None

    def void_directly(self, number: int, *, marked_first: bool) -> None:
        """Today's two steps, either first; a void is refused, a second VOID event too."""
        if (event := self._event(number)) is None:
            return
        halves = [
            lambda request: mark_voided(request, event),
            lambda request: record(request, self.client.user, VOID, 0, void_of_event=event),
        ]
        for half in halves if marked_first else reversed(halves):
            try:
                with signed_in(self.client.connection, self.client.user) as request:
                    half(request)
            except psycopg.Error as error:
                assert error.sqlstate in FAIR, error  # noqa: PT017

    def on_event(self, name: str, number: int, **arguments: object) -> None:
        if (event := self._event(number)) is not None:
            self.act(name, event_id=event, **arguments)

    def undo(self, number: int) -> None:
        if self.batches:
            batch = self.batches[number % len(self.batches)]
            self.act("rollback_recalculation", batch_id=batch["id"])

    def there_and_back(self, number: int, changes: dict[str, object] | None) -> None:
        """A change that is taken back at once leaves every position as it was."""
        event, before = self._event(number), self._by_place()
        name = "void_event" if changes is None else "replace_event"
        arguments = {} if changes is None else {"changes": changes}
        result = None if event is None else self.act(name, event_id=event, **arguments)
        if result is not None and result["batch"] is not None:
            again = self.act("rollback_recalculation", batch_id=result["batch"]["id"])
            assert again is not None
            assert self._by_place() == before

    def _event(self, number: int) -> UUID | None:
        return self.events[number % len(self.events)] if self.events else None

    def _kwh(self) -> list[tuple[str, Any]]:
        return [(id_, kwh) for id_, kwh, _ in self.client.positions()]

    def _by_place(self) -> list[tuple[Any, Any]]:
        """Positions without the ids, which change: sorted, since they break the last ties."""
        return sorted(self.client.connection.execute(
            "select date, kwh_value from public.electricity_readings_v where user_id = %s",
            (self.client.user,),
        ).fetchall())  # fmt: skip

    def _previewed(self, told: dict[str, Any]) -> Result | None:
        names = ("event_type", "kwh_amount", "event_date", "observed_kwh")
        arguments = {name: told[name] for name in names if name in told}
        try:
            return self.client.call("preview_backdate", **arguments)
        except psycopg.Error as error:
            assert error.sqlstate in FAIR, error  # noqa: PT017
            return None


_kwh = st.sampled_from(["0.5", "1", "7.25", "20"])
_days = st.integers(0, 5).map(day)
_numbers = st.integers(0, 30)
_facts = st.one_of(
    st.fixed_dictionaries(
        {"event_type": st.sampled_from([TOPUP, ADJUSTMENT]), "kwh_amount": _kwh,
         "event_date": _days},
        optional={"observed_kwh": _kwh},
    ),
    st.fixed_dictionaries(
        {"event_type": st.just(READING), "kwh_amount": _kwh, "event_date": _days}
    ),
)  # fmt: skip
_changes = st.fixed_dictionaries(
    {"notes": st.just("edited")},
    optional={
        "kwh_amount": _kwh,
        "event_date": _days.map(lambda at: at.isoformat()),
        "observed_kwh": st.one_of(st.none(), _kwh),
        "event_type": st.sampled_from([TOPUP, READING, ADJUSTMENT]),
    },
)
Step = Callable[[History], object]
_steps: st.SearchStrategy[Step] = st.one_of(
    _facts.map(lambda told: lambda history: history.record(**told)),
    st.builds(
        lambda told, also: lambda history: history.directly(told, recalculated=also),
        _facts, st.booleans(),
    ),
    st.builds(
        lambda number, first: lambda history: history.void_directly(number, marked_first=first),
        _numbers, st.booleans(),
    ),
    _numbers.map(lambda number: lambda history: history.on_event("void_event", number)),
    _numbers.map(lambda number: lambda history: history.on_event("recalculate", number)),
    st.builds(
        lambda number, changes: lambda history: history.on_event(
            "replace_event", number, changes=changes
        ),
        _numbers, _changes,
    ),
    _numbers.map(lambda number: lambda history: history.undo(number)),
    st.builds(
        lambda number, changes: lambda history: history.there_and_back(number, changes),
        _numbers, st.one_of(st.none(), _changes),
    ),
)  # fmt: skip


@settings(max_examples=40)
@given(st.lists(_facts, min_size=2, max_size=5), st.lists(_steps, min_size=1, max_size=10))
def test_every_computation_agrees_and_every_recalculation_is_true(
    postgres: Connection, start: list[dict[str, Any]], later: list[Step]
) -> None:
    with postgres.transaction(force_rollback=True):
        history = History(Client(postgres, sign_up(postgres, 1)[0]))
        for told in start:
            history.directly(told, recalculated=False)
        for step in later:
            step(history)

        assert differences(postgres, [history.client.user]) == {}
