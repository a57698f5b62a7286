"""The scheduled handlers, in shares of a full refresh; and who feels it meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from functions.entry import Entry
from functions.refresh_readings.main import entry as refresh
from functions.runtime import Config, Run
from functions.verify_readings.main import entry as verify
from toolkit.connection import connect
from toolkit.errors import OperationalError
from tools.bench import reading, writing
from tools.bench.measure import Comparison, Load, in_turns, loads_in_turns, seconds_of
from tools.bench.stage import APP, Stage

FULL = "full refresh"
SHARES = (0.1, 1, 10)
_LIMIT_SECONDS = 900
_REFRESH = b"select public.refresh_readings('bench', null, true)"
_CHANGE = (
    "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
    " select h.user_id, 'METER_READING', clock_timestamp(), 5 from ledger.heads as h"
    " order by h.user_id desc limit (select ceil(count(*) * %s / 100) from ledger.heads)"
)


def measure(stage: Stage) -> None:
    """Needs APP, migrated; adds the newest readings of some users."""
    _handle(stage, verify)
    acts: dict[str, Callable[[], float]] = {
        FULL: partial(_refreshed, stage),
        "refresh handler, nothing changed": partial(_handle, stage, refresh),
        "audit handler, nothing changed": partial(_handle, stage, verify),
    }
    for share in SHARES:
        acts[f"audit handler, {share:g}% of users changed"] = partial(_audited, stage, share)
    title = "Scheduled work, seconds of a run"
    variants = in_turns(acts, stage.rounds)
    stage.add(Comparison("scheduled", title, stage.rows, "s", FULL, variants))
    stage.add(_refresh_by_change(stage))
    _meanwhile(stage)


def _refresh_by_change(stage: Stage) -> Comparison:
    """A refresh costs its rows, whatever changed; shown, not assumed."""
    base = "nothing changed"
    acts: dict[str, Callable[[], float]] = {base: partial(_refreshed, stage)}
    for share in SHARES:
        acts[f"{share:g}% changed"] = partial(_refreshed, stage, share)
    variants = in_turns(acts, stage.rounds)
    title = "Full refresh, by the share of users that changed"
    return Comparison("refresh.by-change", title, stage.rows, "s", base, variants)


def _meanwhile(stage: Stage) -> None:
    """Readers and writers while refreshes follow each other, beside a quiet database."""
    text = reading.SOURCES[reading.VIEW].replace("ROWS", "100")
    works: dict[str, Callable[[], Load]] = {
        "Reads of 100 rows, 1 client": partial(
            reading.load, stage, text, size=writing.SIZE, clients=1
        ),
        "Inserts, 1 writer": partial(writing.load, stage, writing.NEWEST, writers=1),
    }
    for what, work in works.items():
        acts: dict[str, Callable[[], Load]] = {
            "quiet": work,
            "during refreshes": partial(_besides, stage, work),
        }
        variants = loads_in_turns(acts, stage.rounds)
        key = f"meanwhile.{what.split()[0].lower()}"
        stage.add(Comparison(key, what, stage.rows, "1/s", "quiet", variants))


def _besides(stage: Stage, work: Callable[[], Load]) -> Load:
    enough = threading.Event()

    def refreshing() -> None:
        while not enough.is_set():
            _execute(stage, _REFRESH)

    thread = threading.Thread(target=refreshing)
    thread.start()
    try:
        return work()
    finally:
        enough.set()
        thread.join()


def _refreshed(stage: Stage, share: float = 0) -> float:
    if share:
        _execute(stage, _CHANGE.encode(), share)
    return seconds_of(lambda: _execute(stage, _REFRESH))


def _audited(stage: Stage, share: float) -> float:
    _execute(stage, _CHANGE.encode(), share)
    return _handle(stage, verify)


def _handle(stage: Stage, entry: Entry) -> float:
    """Seconds of a handler's run, over a connection of its own as the platforms do it."""
    url = stage.server.url(APP)
    config = Config(via="database", database_url=url, seconds=_LIMIT_SECONDS)
    started = time.perf_counter()
    run = Run(entry.name, config, deadline=time.monotonic() + _LIMIT_SECONDS, write=lambda _: None)
    status, answer = entry.run(run)
    seconds = time.perf_counter() - started
    if status != 200:
        raise OperationalError(
            f"The handler {entry.name} answered {status}.",
            next_step="this is a defect: report it",
            details=(str(answer),),
        )
    return seconds


def _execute(stage: Stage, statement: bytes, *parameters: object) -> None:
    with connect(stage.server.url(APP), autocommit=True) as connection:
        connection.execute(statement, parameters or None)
