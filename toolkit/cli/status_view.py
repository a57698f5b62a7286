"""How a status looks on a terminal, or as JSON. What the database holds only shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from toolkit.cli.console import printable
from toolkit.connection import redact
from toolkit.errors import named
from toolkit.operations.status import (
    State,
    Status,
    detail_of,
    left_of,
    next_step_of,
    state_of,
)
from toolkit.operations.status.model import Count, Events
from toolkit.operations.status.state import quantile
from toolkit.validation.catalogue import SETTLE

_LONGEST = 60
_LISTED = 5
_GOOD = (State.VALIDATED, State.CUTOVER, State.CONTRACT)


def view(status: Status, environment: str) -> Group:
    """Everything, with the newest of each history; `environment` aims a command at it."""
    return Group(
        *_summary(status, environment), *_numbers(status), *_record(status), *_notes(status)
    )


def short_view(status: Status, environment: str) -> Group:
    """What changes while one watches, on one screen."""
    return Group(
        *_summary(status, environment), *_numbers(status), *_locks(status), *_notes(status)
    )


def _summary(status: Status, environment: str) -> Iterator[RenderableType]:
    state = state_of(status)
    yield _text(
        f"{status.environment}: {status.database}, PostgreSQL {status.objects.server_version}"
        + (", a replica" if status.objects.replica else "")
        + f", {_moment(status.taken_at)}",
        "bold",
    )
    steps = Text()
    for step in State:
        style = ("bold green" if state in _GOOD else "bold yellow") if step is state else "dim"
        steps.append(f"[{step}]" if step is state else step.value, style=style)
        steps.append("" if step is State.CONTRACT else " → ", style="dim")
    yield steps
    yield _text(detail_of(status))
    if next_step := next_step_of(status):
        yield _text(f"next: {named(next_step, environment)}")
    yield _text(f"time zone: {status.time_zone or 'not confirmed'}; {left_of(status)}")
    if status.set_aside:
        yield _text(f"set aside by a rollback, to decide: {status.set_aside:,}; {SETTLE}", "yellow")
    yield _text(_refreshes(status))
    audit = next(iter(status.audits), None)
    if audit is not None:
        yield _text(
            f"last audit: {audit[1]:,} differences, {_moment(audit[0])}", "red" if audit[1] else ""
        )
    if status.work is not None:
        yield _text(status.work.refresh_words())
        yield _text(status.work.audit_words(), "red" if status.work.differences_open else "")
        for problem in status.work.problems:
            yield _text(f"scheduled work: {problem}", "yellow")


def _numbers(status: Status) -> Iterator[RenderableType]:
    yield from _table(
        "tables and views (rows estimated)",
        ("name", "rows", "bytes"),
        [
            (
                f"{r.name}{' (not populated)' if r.populated is False else ''}",
                f"~{r.estimated_rows:,}",
                f"{r.total_bytes:,}",
            )
            for r in status.relations
        ],
    )
    if status.events is not None:
        exact = status.events.exact
        yield from _table(
            "events",
            ("type", "total", "voided", "active"),
            [
                (e.event_type, *(str(Count(n, exact)) for n in (e.total, e.voided, e.active)))
                for e in status.events.by_type
            ],
        )
    exact = status.batches_exact
    yield from _table(
        f"recalculations, newest of the last {status.days} days",
        ("day", "trigger", "batches", "events"),
        [
            (b.recorded_on, b.trigger_type, Count(b.batches, exact), Count(b.events, exact))
            for b in status.batches[: 2 * _LISTED]
        ],
    )


def _record(status: Status) -> Iterator[RenderableType]:
    yield from _table(
        "deployments",
        ("version", "name", "checksum", "by", "at", "rolled back"),
        [
            (
                *(d.version, d.name, d.checksum[:12], d.deployed_by, _moment(d.deployed_at)),
                None if d.rolled_back_at is None else _moment(d.rolled_back_at),
            )
            for d in status.deployments[:_LISTED]
        ],
    )
    yield from _table(
        "runs of the data migration",
        ("run", "kind", "started", "finished", "migrated", "merged", "rejected"),
        [
            (
                *(r.run_id, r.kind, _moment(r.started_at), _moment(r.finished_at)),
                *(f"{n:,}" for n in (r.migrated, r.merged, r.rejected)),
            )
            for r in status.runs[:_LISTED]
        ],
    )
    yield from _table(
        "receipts (signatures not checked here)",
        ("made at", "environment", "says", "commit", "by"),
        [
            (
                *(_moment(r.made_at), r.environment, r.says),
                *(r.git_commit[:12], r.made_by),
            )
            for r in status.receipts[:_LISTED]
        ],
    )
    yield from _locks(status)


def _locks(status: Status) -> Iterator[RenderableType]:
    yield from _table(
        "locks",
        ("lock", "process", "", "role", "application", "since"),
        [
            (
                *(k.name, k.pid, "holds" if k.granted else "waits"),
                *(k.role_name, k.application, _moment(k.since)),
            )
            for k in status.locks
        ],
    )


def _notes(status: Status) -> Iterator[RenderableType]:
    for note in status.notes:
        yield _text(note, "yellow")


def _refreshes(status: Status) -> str:
    last = next(iter(status.refreshed), None)
    told = ", ".join(f"{name}: {count:,}" for name, count in sorted(status.outcomes.items()))
    if last is None:
        return f"last refresh: never{f' ({told})' if told else ''}"
    shares = [quantile(status.durations, share) or 0.0 for share in (0.5, 0.95)]
    return (
        f"last refresh: {_moment(last.started_at)}, {last.seconds or 0:,.3f} s (median "
        f"{shares[0]:,.3f} s, 95% within {shares[1]:,.3f} s; {told})"
    )


def _table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]
) -> Iterator[RenderableType]:
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(Text(heading), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else _text(_short(value)) for value in row))
    yield _text(title, "bold")
    yield table


def _text(text: str, style: str = "") -> Text:
    return Text(printable(redact(text)), style=style)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _moment(value: datetime | None) -> str:
    return "not yet" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def status_object(status: Status, environment: str) -> dict[str, Any]:
    """A status for --json; times in UTC, durations in seconds."""
    return {
        "environment": status.environment,
        "recorded_environment": status.recorded,
        "database": redact(status.database),
        "server_version": status.objects.server_version,
        "replica": status.objects.replica,
        "taken_at": _iso(status.taken_at),
        "state": state_of(status).value,
        "detail": redact(detail_of(status)),
        "data": status.data.value,
        "next_step": named(next_step_of(status), environment) or None,
        "cutover": None if status.cutover is None else _fields(status.cutover),
        "time_zone": status.time_zone,
        "phases": {"applied": list(status.applied), "missing": list(status.missing)},
        "legacy_rows": _count(status.legacy_rows),
        "pending": _count(status.pending),
        "rejects": {"left": status.rejects_open, "waived": status.rejects_waived},
        "near_matches": status.near_matches,
        "set_aside": status.set_aside,
        "relations": [_fields(r) for r in status.relations],
        "refreshes": {
            "last": _fields(status.refreshed[0]) if status.refreshed else None,
            "median_seconds": quantile(status.durations, 0.5),
            "p95_seconds": quantile(status.durations, 0.95),
            "outcomes": dict(status.outcomes),
        },
        "audits": [{"at": _iso(when), "differences": n} for when, n in status.audits],
        "work": None
        if status.work is None
        else {**_fields(status.work), "problems": [redact(p) for p in status.work.problems]},
        "events": _events_object(status.events),
        "recalculations": {
            "exact": status.batches_exact,
            "days": status.days,
            "batches": [_fields(b) for b in status.batches],
        },
        "deployments": [_fields(d) for d in status.deployments],
        "runs": [_fields(r) for r in status.runs],
        "receipts": [{**_fields(r), "green": r.green} for r in status.receipts],
        "locks": [_fields(k) for k in status.locks],
        "notes": list(status.notes),
    }


def _events_object(events: Events | None) -> dict[str, Any] | None:
    if events is None:
        return None
    return {
        "exact": events.exact,
        "by_type": [{**_fields(e), "total": e.total} for e in events.by_type],
        "by_day": {day.isoformat(): n for day, n in events.by_day.items()},
    }


def _fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the model's dataclasses
    return {
        name: _iso(field)
        if isinstance(field, datetime)
        else redact(field)
        if isinstance(field, str)
        else field
        for name, field in vars(value).items()
    }


def _count(count: Count | None) -> dict[str, Any] | None:
    return None if count is None else {"rows": count.rows, "exact": count.exact}


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat()
