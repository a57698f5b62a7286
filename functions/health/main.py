"""For uptime monitors: 200 where all scheduled work is done and found nothing amiss, else 503."""

from __future__ import annotations

from functions.entry import Entry
from functions.runtime import HandlerError, Result, Run


def work(run: Run) -> Result:
    """The database's own word, or that there is none."""
    try:
        health = run.call("ledger_health", p_stale_seconds=run.config.stale_seconds)
    except HandlerError as error:
        return {"healthy": False, "problems": [f"no answer: {error}"], "status": 503}
    return health | {"status": 200 if health["healthy"] else 503}


entry = Entry("health", work, watched=False)
aws, gcf, wsgi, asgi = entry.doors()
