"""A status in Prometheus' text exposition format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from toolkit.connection import redact
from toolkit.operations.status.model import State, Status
from toolkit.operations.status.state import own_receipts, quantile, state_of
from toolkit.operations.status.work import Work

Labels = Mapping[str, str]
Sample = tuple[Labels, float | None]

_PREFIX = "meterledger_"


@dataclass(frozen=True)
class _Metric:
    name: str
    text: str
    samples: tuple[Sample, ...]


def render_prometheus(status: Status) -> str:
    """All metrics, each a gauge as of now, labelled with the environment.

    What is not known has no sample, rather than a zero.
    """
    lines: list[str] = []
    for metric in _metrics(status):
        told = [(labels, value) for labels, value in metric.samples if value is not None]
        if not told:
            continue
        name = _PREFIX + metric.name
        lines += [f"# HELP {name} {_help(metric.text)}", f"# TYPE {name} gauge"]
        lines += [
            f"{name}{_labels({'environment': status.environment, **labels})} {_number(value)}"
            for labels, value in told
        ]
    return "\n".join(lines) + "\n"


def _metrics(status: Status) -> Iterator[_Metric]:
    state = state_of(status)
    states = (({"state": s.value}, float(s is state)) for s in State)
    yield _Metric("state", "1 for the state of the rollout that holds, else 0.", tuple(states))
    yield _Metric("phases_applied", "Phase files applied.", _one(len(status.applied)))
    yield _Metric("phases_missing", "Phase files not applied yet.", _one(len(status.missing)))
    pending, legacy = status.pending, status.legacy_rows
    yield _Metric(
        "pending_readings",
        "Legacy rows neither migrated nor rejected yet.",
        _one(None if pending is None else pending.rows),
    )
    yield _Metric("legacy_readings", "Legacy rows.", _one(None if legacy is None else legacy.rows))
    yield from _relations(status)
    yield from _refreshes(status)
    yield from _work(status.work)
    yield from _activity(status)
    yield from _decisions(status)
    yield from _record(status)


def _relations(status: Status) -> Iterator[_Metric]:
    yield _Metric(
        "relation_rows",
        "Rows of a table or view, estimated by the statistics.",
        tuple(({"relation": r.name}, r.estimated_rows) for r in status.relations),
    )
    yield _Metric(
        "relation_bytes",
        "Bytes of a table or view with its indexes.",
        tuple(({"relation": r.name}, r.total_bytes) for r in status.relations),
    )


def _refreshes(status: Status) -> Iterator[_Metric]:
    last = next(iter(status.refreshed), None)
    yield _Metric(
        "refresh_last_timestamp_seconds",
        "When the materialized view was refreshed last.",
        _one(_instant(None if last is None else last.finished_at)),
    )
    yield _Metric(
        "refresh_last_seconds",
        "How long the last refresh took.",
        _one(next(iter(status.durations), None)),
    )
    for name, share in (("median", 0.5), ("p95", 0.95)):
        yield _Metric(
            f"refresh_{name}_seconds",
            f"How long refreshes take, {name} of the newest ones.",
            _one(quantile(status.durations, share)),
        )
    yield _Metric(
        "refresh_outcomes",
        "How the newest refreshes ended.",
        tuple(({"outcome": name}, count) for name, count in sorted(status.outcomes.items())),
    )
    audit = next(iter(status.audits), None)
    yield _Metric(
        "audit_differences",
        "Differences that the newest audit found.",
        _one(None if audit is None else audit[1]),
    )
    yield _Metric(
        "audit_timestamp_seconds",
        "When the newest audit was.",
        _one(None if audit is None else _instant(audit[0])),
    )


def _work(work: Work | None) -> Iterator[_Metric]:
    """What the scheduled work says of itself; ages are by the database's clock."""
    if work is None:
        return
    yield _Metric("work_healthy", "1: the scheduled work has no problem.", _one(work.healthy))
    for name, text, value in (
        ("work_problems", "Problems of the scheduled work.", len(work.problems)),
        ("refresh_age_seconds", "Age of the last refresh.", work.seconds_since_refresh),
        (
            "refresh_run_age_seconds",
            "Since a scheduled run refreshed, or found that there was no need.",
            work.seconds_since_refresh_run,
        ),
        ("refresh_changed_users", "Users changed since the refresh.", work.changed_since_refresh),
        ("audit_age_seconds", "Age of the last scheduled audit.", work.seconds_since_audit),
        ("audit_users", "Users whom the last scheduled audit looked at.", work.last_audit_users),
        ("audit_left_over", "Changed users whom it did not reach.", work.waiting_for_audit),
        (
            "audit_differences_day",
            "Differences that scheduled audits found within 24 hours.",
            work.differences_24h,
        ),
        ("audit_differences_open", "Differences not repaired yet.", work.differences_open),
    ):
        yield _Metric(name, text, _one(value))


def _activity(status: Status) -> Iterator[_Metric]:
    if status.events is not None:
        yield _Metric(
            "events",
            "Events by type, active and voided; estimated where events_exact is 0.",
            tuple(
                ({"event_type": count.event_type, "status": name}, value)
                for count in status.events.by_type
                for name, value in (("active", count.active), ("voided", count.voided))
            ),
        )
        yield _Metric("events_exact", "1: events are counted.", _one(status.events.exact))
    sums: dict[str, list[int]] = {}
    for found in status.batches:
        total = sums.setdefault(found.trigger_type, [0, 0])
        total[0] += found.batches
        total[1] += found.events
    for name, text, column in (
        ("recalculation_batches", "Recalculations", 0),
        ("recalculation_events", "Events changed by recalculations", 1),
    ):
        yield _Metric(
            name,
            f"{text} of the last {status.days} days.",
            tuple(({"trigger_type": kind}, total[column]) for kind, total in sorted(sums.items())),
        )


def _decisions(status: Status) -> Iterator[_Metric]:
    yield _Metric("rejects_open", "Rejects left to decide.", _one(status.rejects_open))
    yield _Metric("rejects_waived", "Rejects waived.", _one(status.rejects_waived))
    yield _Metric("set_aside_open", "Set aside, left to decide.", _one(status.set_aside))
    yield _Metric("near_matches_open", "Near matches left to decide.", _one(status.near_matches))


def _record(status: Status) -> Iterator[_Metric]:
    receipt = next(iter(own_receipts(status)), None)
    deployment = next(iter(status.deployments), None)
    yield _Metric(
        "receipt_timestamp_seconds",
        "When the newest receipt was made.",
        _one(None if receipt is None else _instant(receipt.made_at)),
    )
    yield _Metric(
        "receipt_green",
        "1: the newest receipt is green.",
        _one(None if receipt is None else receipt.green),
    )
    yield _Metric(
        "deployment_timestamp_seconds",
        "When a phase file was deployed last.",
        _one(None if deployment is None else _instant(deployment.deployed_at)),
    )
    held = {lock.name for lock in status.locks if lock.granted}
    names = ("deploy", "backfill", "refresh_readings_mv")
    yield _Metric(
        "lock_held",
        "1: somebody holds the lock.",
        tuple(({"lock": name}, float(f"meterledger.{name}" in held)) for name in names),
    )
    yield _Metric("unanswered", "Questions that could not be answered.", _one(len(status.notes)))
    yield _Metric(
        "status_timestamp_seconds", "When this was read.", _one(_instant(status.taken_at))
    )


def _one(value: float | None) -> tuple[Sample, ...]:
    return (({}, value),)


def _instant(value: datetime | None) -> float | None:
    return None if value is None else value.timestamp()


def _number(value: float) -> str:
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    text = redact(value).replace("\\", r"\\").replace('"', r"\"")
    # A bare carriage return is legal, and breaks readers that split lines by it.
    return text.replace("\r", " ").replace("\n", r"\n")


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
