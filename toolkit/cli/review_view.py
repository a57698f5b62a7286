"""How rejects and near matches look on stdout, or as JSON. What users typed only shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from toolkit.cli.console import print_table, printable, say
from toolkit.cli.target import Target
from toolkit.connection import redact
from toolkit.errors import named
from toolkit.operations.review.matches import Match
from toolkit.operations.review.mend import Retried
from toolkit.operations.review.rejects import Reason, Reject
from toolkit.rollout.standing import BACKFILL, Data

_LONGEST = 200
_LISTED = 50


def tell(text: str, style: str = "") -> None:
    """One line on stdout that steers nothing."""
    line = printable(redact(text))
    say(Text(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…", style=style))


def would(dry_run: bool) -> str:
    """What comes before an outcome that was taken back."""
    return "nothing was changed, but would be: " if dry_run else ""


def rows(count: int) -> str:
    """A count with its noun."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def left(count: int) -> str:
    """How many rejects are to be decided."""
    return f"{rows(count)} left to decide" if count else "nothing left to decide"


def print_data(data: Data, environment: str) -> None:
    """That a list is not whole before the data was moved, and what moves it."""
    if data is not Data.MOVED:
        tell(f"{data.value}: the list is whole after the backfill", "yellow")
        tell(f"next: {named(BACKFILL, environment)}", "dim")


def data_object(data: Data, where: Target) -> dict[str, Any]:
    """The same for --json: null where there is nothing left to move."""
    moved = data is Data.MOVED
    return {"data": data.value, "next_step": None if moved else named(BACKFILL, where.words)}


def print_rejects(
    reasons: Sequence[Reason], found: Sequence[Reject], open_rows: int, environment: str
) -> None:
    """The reasons with their counts, and the rows."""
    if not reasons:
        tell("no rejects")
        return
    _table(
        "rejected legacy rows",
        ("reason", "to decide", "waived"),
        [(r.reason, f"{r.open_rows:,}", f"{r.waived_rows:,}") for r in reasons],
    )
    for reject in found:
        waiver = f"  (waived {_waiver(reject)})" if reject.waived_at is not None else ""
        tell(f"{reject.reading_id}  {reject.reason}{waiver}")
    total = sum(r.open_rows + r.waived_rows for r in reasons)
    if total > len(found):
        tell(f"{len(found):,} of {total:,} shown: --limit, --reason-is, or export", "dim")
    tell(left(open_rows), "yellow" if open_rows else "green")
    if open_rows:
        tell(
            f"next: meterledger rejects show {environment} ID, then correct, waive or retry", "dim"
        )


def rejects_object(
    reasons: Sequence[Reason], found: Sequence[Reject], open_rows: int
) -> dict[str, Any]:
    """Rejects for --json, without what the rows hold."""
    return {
        "left": open_rows,
        "reasons": [
            {"reason": r.reason, "left": r.open_rows, "waived": r.waived_rows} for r in reasons
        ],
        "rejects": [reject_object(r) for r in found],
    }


def reject_object(reject: Reject, *, whole: bool = False) -> dict[str, Any]:
    """One reject for --json and files; `whole` with the row, which is personal data."""
    told: dict[str, Any] = {
        "reading_id": str(reject.reading_id),
        "user_id": None if reject.user_id is None else str(reject.user_id),
        "reason": reject.reason,
        "rejected_at": reject.rejected_at.isoformat(),
        "waived_at": None if reject.waived_at is None else reject.waived_at.isoformat(),
        "waived_by": reject.waived_by,
        "waived_reason": reject.waived_reason,
    }
    return {**told, "next_step": reject.next_step, "row": dict(reject.row_text)} if whole else told


def print_reject(reject: Reject) -> None:
    """One reject with its row."""
    _table(f"reading {reject.reading_id}", ("column", "value"), _pairs(reject.row_text))
    tell(f"rejected: {reject.reason}", "yellow")
    if reject.waived_at is not None:
        tell(f"waived {_waiver(reject)}", "green")
    tell(f"next: {reject.next_step}")


def print_changes(reject: Reject, values: Mapping[str, str | None]) -> None:
    """What would be changed, before it is."""
    tell(f"reading {reject.reading_id}, rejected: {reject.reason}")
    for name, value in values.items():
        tell(f"  {name}: {_short(reject.row_text.get(name))} → {_short(value)}")


def print_retried(retried: Retried, dry_run: bool, environment: str) -> None:
    """What became of rejects that were tried again."""
    tell(
        f"{would(dry_run)}migrated: {rows(retried.migrated)}, of which {retried.merged:,} absorbed "
        f"a dual-written event; rejected still: {len(retried.still):,}"
    )
    for reject in retried.still[:_LISTED]:
        tell(f"{reject.reading_id}  {reject.reason}: {reject.next_step}")
    if len(retried.still) > _LISTED:
        tell(f"the others: meterledger rejects {environment}", "dim")


def retried_object(retried: Retried) -> dict[str, Any]:
    """A retry for --json."""
    return {
        "migrated": retried.migrated,
        "merged": retried.merged,
        "still": [reject_object(r) for r in retried.still],
    }


def print_matches(found: Sequence[Match], count: int, environment: str) -> None:
    """The pairs, one a row."""
    if not count:
        tell("no near matches left to decide", "green")
        return
    # Lines rather than a table, which would break the ids that are to be copied.
    for m in found:
        tell(f"event {m.event_id} of {m.event_day}: {m.event_type} {m.event_kwh} kWh")
        tell(f"  beside reading {m.reading_id} of {m.reading_day}: {m.reading_kwh} kWh")
    if count > len(found):
        tell(f"{len(found):,} of {count:,} shown: --limit, or export", "dim")
    tell(f"{count:,} left to decide", "yellow")
    step = f"meterledger duplicates show {environment} EVENT READING, then keep or merge"
    tell(f"next: {step}", "dim")


def matches_object(found: Sequence[Match], count: int) -> dict[str, Any]:
    """Near matches for --json."""
    return {"left": count, "matches": [match_object(m) for m in found]}


def match_object(match: Match) -> dict[str, Any]:
    """One pair for --json and files; with both sides where they were asked for."""
    told: dict[str, Any] = {
        "user_id": str(match.user_id),
        "event_id": str(match.event_id),
        "reading_id": str(match.reading_id),
        "event_type": match.event_type,
        "event_day": match.event_day.isoformat(),
        "reading_day": match.reading_day.isoformat(),
        "event_kwh": str(match.event_kwh),
        "reading_kwh": str(match.reading_kwh),
    }
    if match.event_text is None or match.reading_text is None:
        return told
    return {**told, "event": dict(match.event_text), "reading": dict(match.reading_text)}


def print_match(match: Match) -> None:
    """One pair, side by side."""
    event, reading = match.event_text or {}, match.reading_text or {}
    names = sorted({*event, *reading})
    sides = [(name, event.get(name), reading.get(name)) for name in names]
    _table(
        f"event {match.event_id} beside reading {match.reading_id}",
        ("column", "event", "reading"),
        [row for row in sides if row[1:] != (None, None)],
    )
    tell("next: keep, where both are facts; merge, where the event repeats the reading")


def warn_exported(file: Path, count: int) -> None:
    """Where the rows are, and that they are somebody's."""
    typer.echo(f"written: {printable(str(file))} ({rows(count)})", err=True)
    typer.echo(
        "it holds personal data: keep it where only you can read it, and delete it when done",
        err=True,
    )


def _table(title: str, headings: Sequence[str], rows_: Sequence[Sequence[object]]) -> None:
    print_table(
        title,
        headings,
        [[None if cell is None else redact(str(cell)) for cell in row] for row in rows_],
    )


def _waiver(reject: Reject) -> str | None:
    if reject.waived_at is None:
        return None
    return f"{reject.waived_at:%Y-%m-%d} by {reject.waived_by}: {reject.waived_reason}"


def _pairs(row: Mapping[str, str | None]) -> list[tuple[str, str | None]]:
    return sorted(row.items())


def _short(value: str | None) -> str:
    if value is None:
        return "null"
    return value if len(value) <= 60 else value[:57] + "…"
