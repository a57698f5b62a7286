"""Many writers of one user through both paths, before the cutover and after: none waits in a ring.

A fixed number of writes, so that nothing depends on how fast the machine is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Barrier
from uuid import UUID, uuid4

import pytest

from tests.migrations.test_sync_concurrency import as_signed_in, no_double, together
from tests.support.database import Database
from tests.support.events import READING, TOPUP, VOID, day, insert, mark_voided, record
from tests.support.rollout import apply, projection_is_live
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint

CUT_OVER = "select ledger.cut_over('{upserts,functions,policies,realtime}')"
COLUMNS = ("kwh_value", "token_cost", "notes", "meter_photo_url")  # one for each old app
WRITERS, ROUNDS, SHARED = len(COLUMNS), 5, 6


@dataclass
class Written:
    """What a writer was told is done: ids that must be there, and ids that must not."""

    there: set[UUID] = field(default_factory=set)
    gone: set[UUID] = field(default_factory=set)


@pytest.mark.parametrize("cut_over", [False, True], ids=["table", "view"])
def test_writers_through_both_paths_do_not_wait_in_a_ring(
    make_database: MakeDatabase, cut_over: bool
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    apply(database, time_zone="UTC")
    database.rows("update ledger.settings set time_zone = 'UTC'")
    user = database.add_user()
    shared = [put_reading(database, user, number) for number in range(SHARED)]
    if cut_over:
        database.rows(CUT_OVER)

    jobs: list[Callable[[Barrier], Written]] = []
    jobs += [partial(old_app, database, user, number, shared) for number in range(WRITERS)]
    jobs += [partial(new_app, database, user, number, shared) for number in range(WRITERS)]
    written = together(jobs)  # whatever is refused, 40P01 too, is raised

    there = set().union(*(w.there for w in written))
    gone = set().union(*(w.gone for w in written))
    shown = database.rows("select id from electricity_readings_v where user_id = %s", (user,))
    visible = {row[0] for row in shown}
    assert len(visible) == len(shown)
    assert visible == (there | set(shared)) - gone
    rows = database.rows(
        "select kwh_value, token_cost, notes, meter_photo_url from electricity_readings"
        " where id = any (%s)",
        (shared[2:],),
    )
    assert rows == [(ROUNDS, ROUNDS, str(ROUNDS), str(ROUNDS))] * len(shared[2:])
    with database.connect() as connection:
        assert projection_is_live(connection)
        assert no_double(connection) == []


def put_reading(database: Database, user: UUID, number: int) -> UUID:
    id_ = uuid4()
    row = {"id": id_, "user_id": user, "date": day(number).date(), "kwh_value": 100, "notes": ""}
    with database.as_user(user) as request:
        insert(request, "electricity_readings", row)
    return id_


def old_app(
    database: Database, user: UUID, number: int, shared: list[UUID], start: Barrier
) -> Written:
    """Inserts, edits its column of all shared rows in one statement, deletes of its own."""
    done = Written()
    start.wait(timeout=60)
    for step in range(ROUNDS):
        id_ = put_reading(database, user, 100 + number)
        done.there.add(id_)
        edit = f"update electricity_readings set {COLUMNS[number]} = %(value)s"  # noqa: S608
        ids = shared[2:] if (number + step) % 2 else shared[:1:-1]
        change: dict[str, object] = {"value": step + 1 if number < 2 else str(step + 1), "ids": ids}
        as_signed_in(database, user, f"{edit} where id = any (%(ids)s)", change)
        if step % 2:
            delete = "delete from electricity_readings where id = %(id)s"
            as_signed_in(database, user, delete, {"id": id_})
            done.gone.add(id_)
    return done


def new_app(
    database: Database, user: UUID, number: int, shared: list[UUID], start: Barrier
) -> Written:
    """Records, and voids in two steps in either order; a shared reading too, each once."""
    done = Written()
    start.wait(timeout=60)
    for step in range(ROUNDS):
        with database.as_user(user) as request:
            kept = record(request, user, TOPUP, 1, day(200 + number), created_by=user)
            wrong = record(request, user, READING, 2, day(300 + number), created_by=user)
        done.there |= {kept, wrong}
        targets = [wrong, *(shared[:1] if number == 0 and step == 0 else [])]
        targets += shared[1:2] if number == 1 and step == 2 else []
        for target in targets:
            for half in ("mark", "tell") if step % 2 else ("tell", "mark"):
                with database.as_user(user) as request:
                    if half == "mark":
                        assert mark_voided(request, target) == 1
                    else:
                        record(request, user, VOID, 0, void_of_event=target, created_by=user)
            done.gone.add(target)
    return done
