"""Databases that wait for their backfill, and what one leaves, comparable between runs."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg

from tests.support.database import Database
from tests.support.proven import SPEC, ZONE
from tests.support.rollout import apply
from tests.support.servers import Databases, Template
from toolkit.bootstrap import StartingPoint
from toolkit.demo.generator import generate
from toolkit.demo.loading import load

_made: dict[Databases, Database] = {}

# What differs between two runs by nature: random ids and the hour. An event that got a new id is
# named after its reading; an event that stepped aside, after itself.
_NAMED = """
with named as (
  select
    e.user_id, e.id,
    case when l.reading_id <> e.id then 'new of ' || l.reading_id else e.id::text end as name,
    case
      when a.reason = 'displaced' then 'aside of ' || e.id
      else e.reading_id::text
    end as shown,
    case
      when a.reason = 'displaced' then 'aside of ' || e.id
      else coalesce(e.reading_id, e.id)::text
    end as visible,
    coalesce(e.reading_id, e.id) as visible_id
  from public.token_events as e
  left join ledger.migrated_readings as l on l.user_id = e.user_id and l.event_id = e.id
  left join ledger.amended_events as a on a.user_id = e.user_id and a.event_id = e.id
)
"""
_PARTS = {
    "token_events": """
      select jsonb_build_array(n.name, n.shown, to_jsonb(e) - 'id' - 'reading_id'
        - case when g.event_id is null then '' else 'voided_at' end)::text
      from public.token_events as e
      inner join named as n on n.user_id = e.user_id and n.id = e.id
      left join ledger."merges" as g on g.user_id = e.user_id and g.event_id = e.id
    """,
    "readings": """
      select jsonb_build_array(n.visible, to_jsonb(r) - 'id')::text
      from ledger.readings as r
      left join named as n on n.user_id = r.user_id and n.visible_id = r.id
        and exists (select from public.token_events as e
          where e.user_id = n.user_id and e.id = n.id and not e.is_voided)
    """,
    "merges": """
      select jsonb_build_array(g.user_id, g.event_id, g.reading_id, n.name)::text
      from ledger."merges" as g
      inner join named as n on n.user_id = g.user_id and n.id = g.survivor_id
    """,
    "migrated_readings": """
      select jsonb_build_array(n.name, to_jsonb(l) - 'event_id' - 'run_id')::text
      from ledger.migrated_readings as l
      inner join named as n on n.user_id = l.user_id and n.id = l.event_id
    """,
    "migration_rejects": """
      select (to_jsonb(x) - 'run_id' - 'rejected_at')::text from ledger.migration_rejects as x
    """,
    "amended_events": """
      select (to_jsonb(a) - 'run_id')::text from ledger.amended_events as a
    """,
}


@dataclass
class Said:
    """An observer that keeps what it is told, and may do something at it.

    Attributes:
        at_progress, at_note: called with the number of calls so far, or with the text.
    """

    at_progress: Callable[[int], None] | None = None
    at_note: Callable[[str], None] | None = None
    steps: list[str] = field(default_factory=list)
    done: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def step(self, name: str) -> None:
        self.steps.append(name)

    def progress(self, done: int, total: int) -> None:
        self.done.append((done, total))
        if self.at_progress is not None:
            self.at_progress(len(self.done))

    def note(self, text: str) -> None:
        self.notes.append(text)
        if self.at_note is not None:
            self.at_note(text)


@dataclass
class Writer:
    """An app that inserts, updates and deletes legacy rows until it is stopped.

    Attributes:
        kept: kwh of each row that it wrote and left, by user and id.
        deleted: rows that it took away.
    """

    database: Database
    seed: int
    kept: dict[tuple[UUID, UUID], Decimal] = field(default_factory=dict)
    deleted: set[tuple[UUID, UUID]] = field(default_factory=set)
    errors: list[Exception] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Writer:
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._thread.join()

    def _write(self) -> None:
        chance = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        try:
            with self.database.connect(autocommit=True, name="app") as app:
                rows = app.execute(
                    "select r.user_id, r.id from electricity_readings as r"
                    " inner join user_profiles as p on p.id = r.user_id order by r.id"
                ).fetchall()
                mine = rows[self.seed :: 2]  # two writers don't touch the same row
                while not self.stopped.is_set():
                    self._one(app, chance, mine)
        except Exception as error:
            self.errors.append(error)

    def _one(
        self,
        app: psycopg.Connection[tuple[object, ...]],
        chance: random.Random,
        rows: list[tuple[UUID, UUID]],
    ) -> None:
        user, id_ = rows[chance.randrange(len(rows))]
        kwh = Decimal(chance.randrange(10_000))
        what = chance.choice(("insert", "update", "update", "delete"))
        if what == "insert":
            id_ = uuid4()
            app.execute(
                "insert into electricity_readings (id, user_id, date, kwh_value)"
                " values (%s, %s, '2026-05-01', %s)",
                (id_, user, kwh),
            )
            rows.append((user, id_))
        elif what == "update":
            app.execute(
                "update electricity_readings set kwh_value = %s, token_amount = null where id = %s",
                (kwh, id_),
            )
        else:
            app.execute("delete from electricity_readings where id = %s", (id_,))
            rows.remove((user, id_))
            self.deleted.add((user, id_))
            self.kept.pop((user, id_), None)
            return
        self.kept[user, id_] = kwh


def waiting_for_backfill(databases: Databases) -> Database:
    """Every hard case, rolled out with the data left alone; made once a server, to be copied."""
    if databases not in _made:
        database = databases.make(Template(StartingPoint.DUAL_WRITE))
        with database.admin() as connection:
            load(connection, generate(SPEC))
        apply(database, time_zone=ZONE, defer_backfill=True)
        _made[databases] = database
    return _made[databases]


def outcome(database: Database) -> dict[str, list[str]]:
    """All rows that a backfill makes or changes; equal for two runs that did the same."""
    return {
        name: sorted(row[0] for row in database.rows(_NAMED + query))
        for name, query in _PARTS.items()
    }


def run_row(database: Database) -> dict[str, Any]:
    """The only run of the data migration."""
    row: dict[str, Any] = database.value(
        "select to_jsonb(m) from ledger.migration_runs as m where m.kind = 'migrate'"
    )
    return row
