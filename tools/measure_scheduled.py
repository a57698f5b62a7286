"""What scheduled work costs, in shares of a full refresh, on the database of `demo --keep`.

meterledger demo --rows 1000000 --users 2000 --keep
python -m tools.measure_scheduled "$(meterledger local url --database demo)"

The functions take a connection in autocommit, as the owner's, and may be used by themselves;
settle() first.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from functions.entry import Entry
from functions.refresh_readings.main import entry as refresh_handler
from functions.runtime import Config, Run
from functions.verify_readings.main import CALL_MS
from functions.verify_readings.main import entry as audit_handler
from toolkit.connection import connect

Connection = psycopg.Connection[TupleRow]
TIMES = 3
RUN_MS = 900_000
SHARES = (0.1, 1.0, 10.0)  # per cent of the users


def full_refresh(connection: Connection) -> dict[str, Any]:
    """A refresh of the materialized view, with its log and its guard, whatever changed."""
    return _answer(connection, "select public.refresh_readings('measure', null, true)")


def refresh_run(connection: Connection) -> dict[str, Any]:
    """What the handler asks on its schedule: refreshed, not needed or skipped."""
    return _answer(connection, f"select public.refresh_readings('measure', {RUN_MS})")


def audit_run(connection: Connection) -> int:
    """What the handler asks on its schedule, until nobody is left; how many users it looked at."""
    users, more = 0, True
    while more:
        answer = _answer(connection, f"select public.audit_readings('measure', {CALL_MS})")
        if answer["outcome"] != "clean":
            raise SystemExit(f"the audit is not clean: {answer}")
        users, more = users + answer["users"], answer["more"]
    return users


def change_users(connection: Connection, percent: float) -> int:
    """One more reading for so many of the users; how many they were, one at least."""
    return connection.execute(
        "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
        " select h.user_id, 'METER_READING', clock_timestamp(), 5 from ledger.heads as h"
        " order by h.user_id limit (select ceil(count(*) * %s / 100) from ledger.heads)",
        (percent,),
    ).rowcount


def forget_audits(connection: Connection) -> None:
    """Make everybody due for an audit."""
    connection.execute("update ledger.audit_marks set version = -1")


def settle(connection: Connection) -> None:
    """Refresh and audit until nothing is left to do, with statistics as autovacuum keeps them."""
    connection.execute("analyze")
    full_refresh(connection)
    audit_run(connection)


def handler_run(url: str, entry: Entry) -> None:
    """A whole run of a handler, which opens connections of its own."""
    config = Config(via="database", database_url=url, seconds=RUN_MS / 1000)
    deadline = time.monotonic() + config.seconds
    _, result = entry.run(Run(entry.name, config, deadline=deadline, write=lambda _: None))
    if result["outcome"] not in ("refreshed", "not needed", "clean"):
        raise SystemExit(f"{entry.name}: {result}")


def seconds(act: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """The median duration; `before` is done each time, and not counted."""
    taken = []
    for _ in range(TIMES):
        before()
        started = time.monotonic()
        act()
        taken.append(time.monotonic() - started)
    return statistics.median(taken)


def measure(connection: Connection, url: str) -> dict[str, float]:
    """Seconds by name; the newest events are added to, nothing else changes."""
    settle(connection)
    figures = {
        "full refresh": seconds(lambda: full_refresh(connection)),
        "refresh handler, nothing changed": seconds(lambda: handler_run(url, refresh_handler)),
        "audit handler, nothing changed": seconds(lambda: handler_run(url, audit_handler)),
        "refresh call, nothing changed": seconds(lambda: refresh_run(connection)),
        "audit call, nothing changed": seconds(lambda: audit_run(connection)),
    }
    for percent in SHARES:
        figures[f"refresh, {percent:g}% of users changed"] = seconds(
            lambda: full_refresh(connection), partial(change_users, connection, percent)
        )
        audit_run(connection)
        figures[f"audit, {percent:g}% of users changed"] = seconds(
            lambda: audit_run(connection), partial(change_users, connection, percent)
        )
    figures["audit handler, 1% of users changed"] = seconds(
        lambda: handler_run(url, audit_handler), lambda: change_users(connection, 1)
    )
    figures["audit of everybody"] = seconds(
        lambda: audit_run(connection), lambda: forget_audits(connection)
    )
    return figures


def _answer(connection: Connection, call: str) -> dict[str, Any]:
    row = connection.execute(call.encode()).fetchone()
    answer: dict[str, Any] = row[0] if row else {}
    if answer.get("outcome") == "failed":
        raise SystemExit(f"it failed: {answer}")
    return answer


def main() -> int:
    """Print the figures of the database whose URL was given."""
    url = sys.argv[1]
    with connect(url, autocommit=True) as connection:
        figures = measure(connection, url)
    full = figures["full refresh"]
    for name, value in figures.items():
        print(f"{name:36} {value:8.3f} s {value / full:8.4f} of a full refresh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
