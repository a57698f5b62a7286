"""What scheduled work costs, in shares of a full refresh, on the database of `demo --keep`.

meterledger demo --rows 1000000 --users 2000 --keep
python -m tools.measure_scheduled "$(meterledger local url --database demo)"
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from functions.entry import Entry
from functions.refresh_readings.main import entry as refresh
from functions.runtime import Config, Run
from functions.verify_readings.main import entry as verify
from toolkit.connection import connect

TIMES = 3


def main() -> int:
    """Print the figures; the database's newest events are added to, nothing else changes."""
    url = sys.argv[1]
    config = Config(via="database", database_url=url, seconds=900)

    def run(entry: Entry) -> None:
        deadline = time.monotonic() + config.seconds
        run = Run(entry.name, config, deadline=deadline, write=lambda _: None)
        status, result = entry.run(run)
        if status != 200 and result.get("outcome") == "failed":
            raise SystemExit(str(result))

    def median(act: Callable[[], object]) -> float:
        taken = []
        for _ in range(TIMES):
            started = time.monotonic()
            act()
            taken.append(time.monotonic() - started)
        return statistics.median(taken)

    with connect(url, autocommit=True) as connection:

        def change(percent: float) -> None:
            connection.execute(
                "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
                " select h.user_id, 'METER_READING', clock_timestamp(), 5 from ledger.heads as h"
                " order by h.user_id limit (select ceil(count(*) * %s / 100) from ledger.heads)",
                (percent,),
            )

        full = median(
            lambda: connection.execute("select public.refresh_readings('measure', null, true)")
        )
        run(verify)
        idle_refresh, idle_audit = median(lambda: run(refresh)), median(lambda: run(verify))
        changed = []
        for _ in range(TIMES):
            change(1)
            started = time.monotonic()
            run(verify)
            changed.append(time.monotonic() - started)
        connection.execute("update ledger.audit_marks set version = -1")
        everybody = time.monotonic()
        run(verify)
        everybody = time.monotonic() - everybody
    print(f"full refresh                     {full:8.3f} s")
    for name, seconds in (
        ("refresh run, nothing changed", idle_refresh),
        ("audit run, nothing changed", idle_audit),
        ("audit run, 1% of users changed", statistics.median(changed)),
        ("audit of everybody", everybody),
    ):
        print(f"{name:32} {seconds:8.3f} s {seconds / full:8.4f} of a full refresh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
