"""Refreshes electricity_readings_mv where users changed and it is worth it."""

from __future__ import annotations

from functions.entry import Entry
from functions.runtime import Result, Run


def work(run: Run) -> Result:
    """Ask the database, which knows whether it is due: refreshed, not needed or skipped."""
    return run.call("refresh_readings", p_trigger=run.trigger, p_deadline_ms=run.budget_ms())


entry = Entry("refresh_readings", work)
aws, gcf, wsgi, asgi = entry.doors()
