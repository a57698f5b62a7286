"""What can be done to events, as steps that Hypothesis strings together into histories."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from psycopg import sql

from tests.support.database import Connection
from tests.support.events import ADJUSTMENT, READING, TOPUP, VOID, day, mark_voided, record

USERS = 3
COLUMNS = sql.SQL(
    "id, user_id, event_type, event_date, created_at, kwh_amount,"
    " observed_kwh, reading_id, legacy_token_amount, notes"
)
DRAFTS = sql.SQL(
    "(select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[],"
    " %s::timestamptz[], %s::numeric[], %s::numeric[], %s::uuid[], %s::numeric[], %s::text[])"
    " as drafts ({})) as drafts"
).format(COLUMNS)
COPY = sql.SQL("copy public.token_events ({}) from stdin").format(COLUMNS)
INSERT = sql.SQL("insert into public.token_events ({}) select * from {}").format(COLUMNS, DRAFTS)
SWAP = sql.SQL(
    "with voided as (update public.token_events set is_voided = true where id = any (%s)) {}"
).format(INSERT)
MERGE = sql.SQL(
    "merge into public.token_events as events using {}"
    " on events.user_id = drafts.user_id and events.id = drafts.id"
    " when matched then update set is_voided = true"
    " when not matched then insert ({}) values (drafts.id, drafts.user_id, event_type,"
    " event_date, created_at, kwh_amount, observed_kwh, reading_id, legacy_token_amount, notes)"
).format(DRAFTS, COLUMNS)


@dataclass(frozen=True)
class Draft:
    """An event to be; few days and instants, so that many tie."""

    who: int
    kind: str
    kwh: Decimal
    observed: Decimal | None
    day: int
    second: int
    order: int  # the id's first bits, which break ties
    renamed: bool


@dataclass
class World:
    """The users of one example, and the ids of their events so far."""

    connection: Connection
    users: list[UUID | None]
    events: list[tuple[UUID, UUID]] = field(default_factory=list)
    number: int = 0

    def row(self, draft: Draft) -> tuple[Any, ...]:
        """A draft as a row of COLUMNS, under an id that nothing else has."""
        self.number += 1
        user = self.users[draft.who]
        event = UUID(int=(draft.order << 120) + (id(self) % 2**40 << 40) + self.number)
        return (
            *(event, user, draft.kind, day(draft.day), day(0) + timedelta(seconds=draft.second)),
            *(draft.kwh, draft.observed, UUID(int=event.int + 2**100) if draft.renamed else None),
            *(Decimal(-1) if draft.renamed and draft.kind == READING else None, f"event {event}"),
        )

    def rows(self, drafts: list[Draft]) -> list[tuple[Any, ...]]:
        """The drafts of users that are still there."""
        return [self.row(draft) for draft in drafts if self.users[draft.who] is not None]

    def known(self, picks: list[int]) -> list[UUID]:
        """Some of the events so far."""
        return [self.events[pick % len(self.events)][1] for pick in picks if self.events]


Step = Callable[[World], None]


def _columns(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[]] * 10


def _remember(world: World, rows: list[tuple[Any, ...]]) -> None:
    world.events += [(row[1], row[0]) for row in rows]


@dataclass(frozen=True)
class Insert:
    """Events of several users in one statement."""

    drafts: list[Draft]
    by_copy: bool

    def __call__(self, world: World) -> None:
        rows = world.rows(self.drafts)
        if self.by_copy:
            with world.connection.cursor().copy(COPY) as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            world.connection.execute(INSERT, _columns(rows))
        _remember(world, rows)


@dataclass(frozen=True)
class Void:
    """Events, of anybody, marked in one statement."""

    picks: list[int]

    def __call__(self, world: World) -> None:
        mark_voided(world.connection, *world.known(self.picks))


@dataclass(frozen=True)
class VoidEvent:
    """A VOID event whose target nobody marks; the second one for a target is refused."""

    pick: int
    day: int

    def __call__(self, world: World) -> None:
        if not world.events:
            return
        user, target = world.events[self.pick % len(world.events)]
        if user not in world.users:
            return
        with suppress(psycopg.errors.UniqueViolation), world.connection.transaction():
            record(world.connection, user, VOID, 0, day(self.day), void_of_event=target)


@dataclass(frozen=True)
class Swap:
    """Voids and inserts in one statement, as a correction is written."""

    picks: list[int]
    drafts: list[Draft]
    by_merge: bool

    def __call__(self, world: World) -> None:
        rows = world.rows(self.drafts)
        if self.by_merge:
            known = {world.events[pick % len(world.events)] for pick in self.picks if world.events}
            gone = [
                (event, user, *[None] * 8) for user, event in sorted(known) if user in world.users
            ]
            world.connection.execute(MERGE, _columns(rows + gone))
        else:
            world.connection.execute(SWAP, [world.known(self.picks), *_columns(rows)])
        _remember(world, rows)


@dataclass(frozen=True)
class Batch:
    """Events are put under a recalculation, which changes nothing that readers see."""

    picks: list[int]

    def __call__(self, world: World) -> None:
        world.connection.execute(
            "update public.token_events set recalc_batch_id = gen_random_uuid()"
            " where id = any (%s)",
            (world.known(self.picks),),
        )


@dataclass(frozen=True)
class Erase:
    """A profile is deleted, and everything of its user with it."""

    who: int

    def __call__(self, world: World) -> None:
        world.connection.execute(
            "delete from public.user_profiles where id = %s", (world.users[self.who],)
        )
        world.users[self.who] = None


@dataclass(frozen=True)
class Undone:
    """Steps of a savepoint that is rolled back."""

    steps: list[Step]

    def __call__(self, world: World) -> None:
        inside = World(
            world.connection, list(world.users), list(world.events), world.number + 10**6
        )
        with world.connection.transaction(), world.connection.transaction(force_rollback=True):
            for step in self.steps:
                step(inside)


kwh = st.decimals(0, 200, places=2) | st.sampled_from(
    [Decimal("999999999999.99"), Decimal("0.0000000001"), Decimal(0)]
)
drafts = st.builds(
    lambda kind, amount, observed, sign, **rest: Draft(
        kind=kind,
        kwh={READING: amount, TOPUP: amount or Decimal(1), ADJUSTMENT: amount * sign}[kind],
        observed=None if kind == READING else observed,
        **rest,
    ),
    kind=st.sampled_from([READING, TOPUP, ADJUSTMENT]),
    amount=kwh,
    observed=st.none() | kwh,
    sign=st.sampled_from([1, -1]),
    who=st.integers(0, USERS - 1),
    day=st.integers(0, 5),
    second=st.integers(0, 2),
    order=st.integers(0, 3),
    renamed=st.integers(0, 9).map(lambda number: number == 0),
)
some_drafts = st.lists(drafts, min_size=1, max_size=6)
picks = st.lists(st.integers(0, 40), min_size=1, max_size=4)
plain_steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Insert, some_drafts, st.booleans()),
    st.builds(Insert, st.lists(drafts, min_size=1, max_size=1), st.just(value=False)),
    st.builds(Void, picks),
    st.builds(VoidEvent, st.integers(0, 40), st.integers(0, 5)),
    st.builds(Swap, picks, some_drafts, st.booleans()),
    st.builds(Batch, picks),
    st.builds(Erase, st.integers(0, USERS - 1)),
)
steps = plain_steps | st.builds(Undone, st.lists(plain_steps, min_size=1, max_size=3))
