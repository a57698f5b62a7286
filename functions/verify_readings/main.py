"""Audits the projection against the events, has it repaired, and raises the alarm."""

from __future__ import annotations

from functions.entry import Entry
from functions.runtime import Result, Run

CALL_MS = 2000  # one call is one transaction, and repairs hold their users' turns until it ends


def work(run: Run) -> Result:
    """Audit until nobody is left, or the time is; every difference is a defect, and is told."""
    total: Result = {"outcome": "clean", "users": 0, "differences": 0, "unrepaired": 0}
    causes: set[str] = set()
    more, calls = True, 0
    while more and (not calls or run.left() > 2 * CALL_MS / 1000):
        found = run.call("audit_readings", p_trigger=run.trigger, p_budget_ms=CALL_MS)
        if found["outcome"] == "skipped":
            return total | found if not calls else total | {"more": True}
        for name in ("users", "differences", "unrepaired"):
            total[name] += found[name]
        causes.update(found["causes"])
        total |= {k: found[k] for k in found.keys() & {"triggers_off", "triggers_missing"}}
        if found["refresh"]:
            again = run.call("refresh_readings", p_trigger="repair", p_force=True)
            total["refresh"] = again["outcome"]
        more, calls = found["more"], calls + 1
    total["more"] = more
    if total["differences"]:
        total |= {"outcome": "differences", "causes": sorted(causes)}
        told = run.alert("the projection and the events differed", kind="differences", **total)
        total["status"] = 200 if told else 500
    return total


entry = Entry("verify_readings", work)
aws, gcf, wsgi, asgi = entry.doors()
