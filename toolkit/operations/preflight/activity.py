"""Items about what else goes on in the server right now."""

from __future__ import annotations

from toolkit.operations.preflight.context import Context, from_sql, rows
from toolkit.operations.preflight.report import CheckItem, judged

LONG_SECONDS = 60
LAG_BYTES = 1 << 30

prepared_transactions = from_sql(
    "prepared_transactions", "prepared transactions", quiet="none is left over"
)
lock_waits = from_sql("lock_waits", "who waits for a lock on the tables", quiet="nobody")
maintenance = from_sql(
    "maintenance", "vacuum, analyze or index builds on the tables", quiet="none at work"
)


def long_transactions(context: Context, seconds: float = LONG_SECONDS) -> CheckItem:
    """Transactions that a phase would wait for."""
    found = rows(context.connection, "preflight_long_transactions", {"seconds": seconds})
    return judged(
        "long_transactions",
        f"transactions older than {seconds:g} seconds",
        found,
        quiet="none",
    )


def replication_slots(context: Context, lag_bytes: int = LAG_BYTES) -> CheckItem:
    """Slots for which the server would keep all that the rollout writes."""
    found = rows(context.connection, "preflight_replication_slots", {"lag_bytes": lag_bytes})
    return judged("replication_slots", "replication slots", found, quiet="none lags or is idle")
