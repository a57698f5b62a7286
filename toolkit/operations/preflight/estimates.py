"""Items that look ahead: the disk that the rollout needs, and how long it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from toolkit.operations.preflight.context import Context
from toolkit.operations.preflight.report import CheckItem, Finding, Verdict, judged
from toolkit.resources import statement

# Measured by `meterledger demo --rows 60000 --keep` (PostgreSQL 17, two cores): 60,000 readings
# beside 58,900 dual-written events grew token_events, ledger.readings, the materialized view and
# the lists of ledger by 133 MB, indexes and dead row versions among it; that is 1,500 bytes a
# reading and 800 an event that was there. Phases 1 to 3 took 3.6 s, the data 9.3 s.
BYTES_PER_READING = 1_500
BYTES_PER_EVENT = 800
# The materialized view is written a second time when it is refreshed, and WAL is kept meanwhile.
IN_HAND = 2
READINGS_PER_SECOND = 6_500
EVENTS_PER_SECOND = 33_000
BASE_SECONDS = 5.0  # a dozen files through the CLI
SAMPLE_ROWS = 2_000
SAMPLE_SECONDS = 0.006  # what reading SAMPLE_ROWS took on that machine
SLOWEST = 20.0


@dataclass(frozen=True)
class Estimate:
    """What the rollout still has to do.

    Attributes:
        growth: bytes that stay.
        needed: bytes that should be free when it begins.
        seconds: for all phases and the data together.
    """

    growth: int
    needed: int
    seconds: float


def estimate(pending: int, events: int, factor: float = 1.0) -> Estimate:
    """What is to be expected.

    Args:
        pending: legacy rows that have not moved yet.
        events: rows of token_events that the phases have not projected yet.
        factor: how many times slower this server is than the measured one.
    """
    growth = pending * BYTES_PER_READING + events * BYTES_PER_EVENT
    seconds = BASE_SECONDS + pending / READINGS_PER_SECOND + events / EVENTS_PER_SECOND
    return Estimate(growth, growth * IN_HAND, seconds * factor)


def disk(context: Context) -> CheckItem:
    """Nobody can see a hosted server's free disk from SQL: the number that is needed is told."""
    title = "room on the disk"
    found = context.connection.execute(statement("preflight_sizes")).fetchone()
    sizes = dict(
        zip(("database", "legacy", "events", "projection"), found or (0, 0, 0, 0), strict=True)
    )
    ahead = estimate(*_to_do(context))
    figures = {"bytes": sizes, "growth_bytes": ahead.growth, "needed_bytes": ahead.needed}
    told = (
        f"the rollout will add about {_size(ahead.growth)} to the {_size(sizes['database'])} of "
        f"this database, and should find {_size(ahead.needed)} free"
    )
    if ahead.growth == 0:
        return CheckItem("disk", title, Verdict.PASS, "nothing is left to grow", "", figures)
    if "disk" in context.options.acknowledged:
        return CheckItem("disk", title, Verdict.PASS, f"acknowledged: {told}", "", figures)
    finding = Finding(
        Verdict.WARN,
        "disk",
        f"{told}; how much is free cannot be known from here",
        "look at the server's disk (Supabase shows it in the project's reports), then: "
        "--acknowledge disk",
        ahead.needed,
    )
    return judged("disk", title, [finding], quiet="", figures=figures)


def duration(context: Context) -> CheckItem:
    """An estimate: measured rates, slowed down by how long a sample takes here."""
    title = "how long it will take"
    pending, events = _to_do(context)
    sample, seconds = _sample(context)
    factor = 1.0
    if sample:
        expected = SAMPLE_SECONDS * sample / SAMPLE_ROWS
        factor = min(max(seconds / max(expected, SAMPLE_SECONDS / 10), 1.0), SLOWEST)
    ahead = estimate(pending, events, factor)
    low, high = ahead.seconds / 2, ahead.seconds * 3
    user, most = _biggest_user(context)
    batch = most / READINGS_PER_SECOND * factor
    return CheckItem(
        "duration",
        title,
        Verdict.PASS,
        f"an estimate: between {_time(low)} and {_time(high)} for {pending:,} readings and "
        f"{events:,} events, if nothing else slows the server down"
        + (
            f"; the biggest user, {user}, has {most:,} readings, which are one batch of about "
            f"{_time(batch)}, and this user's writers wait for it"
            if most
            else ""
        ),
        ""
        if pending < READINGS_PER_SECOND * 8
        else "move the data in batches: meterledger "
        "backfill; in one run, writers of the moved users wait until it commits",
        {
            "estimated_seconds": round(ahead.seconds, 1),
            "pending_readings": pending,
            "events": events,
            "biggest_user": user,
            "biggest_user_rows": most,
            "biggest_user_seconds": round(batch, 1),
            "sample_rows": sample,
            "sample_seconds": round(seconds, 4),
            "slower_than_measured": round(factor, 2),
        },
    )


def _to_do(context: Context) -> tuple[int, int]:
    """Readings that have not moved, and events that no phase has projected."""
    scene = context.scene
    pending = max(scene.legacy_rows - scene.migrated, 0)
    return pending, 0 if scene.has_migration else scene.event_rows


def _biggest_user(context: Context) -> tuple[str | None, int]:
    """Who has the most readings, and how many; nobody where there are none."""
    if not context.scene.has_legacy:
        return None, 0
    row = context.connection.execute(statement("preflight_biggest_user")).fetchone()
    return (str(row[0]), int(row[1])) if row is not None else (None, 0)


def _sample(context: Context) -> tuple[int, float]:
    scene = context.scene
    if not (scene.has_legacy and scene.has_profiles):
        return 0, 0.0
    query, parameters = statement("preflight_sample"), {"limit": SAMPLE_ROWS}
    context.connection.execute(query, parameters)  # the first one pays for a cold cache
    started = time.monotonic()
    row = context.connection.execute(query, parameters).fetchone()
    taken = time.monotonic() - started
    started = time.monotonic()
    context.connection.execute("select")  # the way there and back says nothing of the server
    return (int(row[0]) if row else 0), max(taken - (time.monotonic() - started), 0.0)


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if number < 1024:
            return f"{number:,.0f} {unit}"
        number /= 1024
    return f"{number:,.1f} GB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes"
