"""One insert, by every way there is, beside the same insert with the table's triggers off."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from toolkit.connection import connect
from toolkit.operations.cutover import run_cutover
from toolkit.operations.cutover.report import TOPICS
from toolkit.operations.review import rejects
from tools.bench import pgbench
from tools.bench.measure import Comparison, Load, loads_in_turns
from tools.bench.moving import Quiet
from tools.bench.stage import APP, USERS, Stage, user_id

SIZE = 2_000
NO_TRIGGER = "no trigger"
WRITERS = (1, 16)

# Fifteen days pass a second, from the end of the users' histories on: so that a user has a few
# events a day, as in life, and each is the newest.
_NOW = (
    "(timestamptz '2012-06-01' + interval '15 days'"
    " * (extract(epoch from clock_timestamp()) - BEGAN)::float8)"
)
_DRAWN = "\\set kwh random(0, 30000)\n\\set second random(0, 157680000)\n"
_EVENT = "insert into public.token_events (user_id, event_type, event_date, kwh_amount) "
_READING = "insert into public.electricity_readings (user_id, date, kwh_value) "
_AT_ONCE = (
    "select USER, 'METER_READING', timestamptz '2003-01-01' + interval '1 second' * :second"
    " + interval '8 hours' * n, n % 300 from generate_series(1, 1000) as n"
)
_VALUES = _EVENT + "values (USER, 'METER_READING', "
NEWEST = _VALUES + f"{_NOW}, :kwh / 100.0)"
BACK_DATED = _VALUES + "timestamptz '2003-01-01' + interval '1 second' * :second, :kwh / 100.0)"
BULK = _EVENT + _AT_ONCE
READING = _READING + f"values (USER, {_NOW}::date, :kwh / 100.0)"
CALL = f"select public.record_event('METER_READING', :kwh / 100.0, {_NOW})"


def measure(stage: Stage) -> None:
    """Needs APP, migrated; leaves it cut over, with the new rows in it."""
    for writers in WRITERS:
        _compare(stage, f"insert.newest.{writers}", "newest event", NEWEST, writers=writers)
        _compare(
            stage, f"insert.back-dated.{writers}", "event in the middle of 2,000", BACK_DATED,
            writers=writers,
        )  # fmt: skip
    _compare(
        stage, "insert.one-user", "newest event, all of one user", NEWEST, writers=16, one=True
    )
    _compare(stage, "insert.bulk", "1,000 events in a statement", BULK, writers=1)
    ways = {"sync from the legacy table": READING, "record_event()": CALL}
    _compare_ways(stage, "insert.before", "before the cutover", ways)
    _waive_rejects(stage)
    run_cutover(stage.server.url(APP), Quiet(), environment="bench", acknowledged=[*TOPICS])
    ways = {"through the cutover view": READING, "record_event()": CALL}
    _compare_ways(stage, "insert.after", "after the cutover", ways)


def _waive_rejects(stage: Stage) -> None:
    """A cutover wants every reject decided; these are the generator's hard cases."""
    with connect(stage.server.url(APP)) as connection:
        for reason in rejects.reasons(connection):
            rejects.waive(connection, "made to be rejected", reason=reason.reason)
        connection.commit()


def load(stage: Stage, statement: str, *, writers: int, one: bool = False) -> Load:
    """Clients that write, each its own user's rows, or all of them one user's."""
    user = user_id(SIZE, "0" if one else f":client_id % {USERS[SIZE]}")
    stage.began = stage.began or time.time()
    text = pgbench.script(statement, user=user, prepare=_DRAWN)
    text = text.replace("BEGAN", str(stage.began))
    return pgbench.run(stage.server, APP, text, clients=writers, seconds=stage.seconds)


def _compare(
    stage: Stage, key: str, what: str, statement: str,
    *, writers: int, one: bool = False,
) -> None:  # fmt: skip
    write = partial(load, stage, statement, writers=writers, one=one)
    acts = {NO_TRIGGER: partial(_without_triggers, stage, write), "projector": write}
    _add(stage, key, f"Inserts: {what}", writers, acts)


def _compare_ways(stage: Stage, key: str, when: str, ways: dict[str, str]) -> None:
    for writers in WRITERS:
        write = partial(load, stage, NEWEST, writers=writers)
        acts: dict[str, Callable[[], Load]] = {
            NO_TRIGGER: partial(_without_triggers, stage, write),
            "projector": write,
        }
        for name, statement in ways.items():
            acts[name] = partial(load, stage, statement, writers=writers)
        _add(stage, f"{key}.{writers}", f"Inserts {when}, newest", writers, acts)


def _add(
    stage: Stage, key: str, title: str, writers: int, acts: Mapping[str, Callable[[], Load]]
) -> None:
    variants = loads_in_turns(acts, stage.rounds)
    who = f"{writers} writer{'s' if writers > 1 else ''}"
    stage.add(Comparison(key, f"{title}, {who}", stage.rows, "1/s", NO_TRIGGER, variants))


def _without_triggers(stage: Stage, write: Callable[[], Load]) -> Load:
    """Foreign keys stay; the projection is brought up to date afterwards, unmeasured."""
    with connect(stage.server.admin_url(APP), autocommit=True) as connection:
        connection.execute("alter table public.token_events disable trigger user")
        try:
            return write()
        finally:
            connection.execute("alter table public.token_events enable trigger user")
            users = ", ".join(user_id(SIZE, str(number)) for number in range(USERS[SIZE]))
            connection.execute(f"select ledger.project_everything(array[{users}])".encode())
