"""Removes what is past its time: logs, answers to clients' keys, recalculations; never events."""

from __future__ import annotations

from functions.entry import Entry
from functions.runtime import Result, Run

ROWS = 10_000


def work(run: Run) -> Result:
    """Prune in small transactions until nothing is left, or the time is."""
    total: Result = {}
    more = True
    while more and run.left() > 0:
        pruned = run.call("prune_ledger", p_limit=ROWS)
        more = pruned["more"]
        for name, value in pruned.items():
            counted = isinstance(value, int) and not isinstance(value, bool)
            total[name] = total.get(name, 0) + value if counted else value
    return total


entry = Entry("prune", work)
aws, gcf, wsgi, asgi = entry.doors()
