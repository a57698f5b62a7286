"""A status as one HTML file: no script, nothing loaded, charts as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources

from toolkit.operations.status import charts
from toolkit.operations.status.charts import Point
from toolkit.operations.status.model import State, Status
from toolkit.operations.status.state import detail_of, quantile, state_of
from toolkit.operations.status.work import Work
from toolkit.page.markup import Html, facts_of, many, page, row, section, table, tag

_CHARTED = 120  # refreshes and audits; more would be thinner than a pixel


def render_html(status: Status) -> str:
    """One self-contained HTML file.

    Args:
        status: its texts may hold anything; they are escaped, and secrets are hidden.
    """
    body = (_head(status), _charts(status), _numbers(status), _decisions(status), _record(status))
    return page(
        f"Status of {status.environment}: {state_of(status)}",
        body,
        style=resources.files("toolkit.operations.status")
        .joinpath("charts.css")
        .read_text("utf-8"),
    )


def _head(status: Status) -> Html:
    state = state_of(status)
    told = (
        ("Environment", status.environment),
        ("Database", status.database),
        ("Server", f"PostgreSQL {status.objects.server_version}"),
        ("Time zone", status.time_zone or "not confirmed"),
        ("Read at", _moment(status.taken_at)),
        ("Large tables", "counted" if status.exact else "estimated, where a number begins with ~"),
    )
    reached = list(State).index(state)
    steps = (
        tag("li", step.value, class_="here" if step is state else "done" if n < reached else "")
        for n, step in enumerate(State)
    )
    notes = [tag("li", note) for note in status.notes]
    class_ = "fine" if state in (State.VALIDATED, State.CUTOVER, State.CONTRACT) else "partial"
    return tag(
        "header",
        tag("h1", f"Status of {status.environment}"),
        facts_of(told, "where"),
        tag(
            "p",
            tag("strong", state.value, class_="stamp"),
            detail_of(status),
            class_=f"verdict {class_}",
        ),
        tag("ul", many(steps), class_="steps", aria_label="Steps of the rollout"),
        tag(
            "div", tag("p", tag("strong", "Not answered:")), tag("ul", *notes), class_="verdict bad"
        )
        if notes
        else Html(),
    )


def _charts(status: Status) -> Html:
    return section(
        "Charts",
        _figure(
            "Refresh time",
            "seconds a refresh of the materialized view, oldest to newest",
            charts.line,
            [
                Point(_moment(r.started_at), r.seconds)
                for r in reversed(status.refreshed[:_CHARTED])
                if r.seconds is not None
            ],
            "s",
        ),
        _figure(
            "Audit differences",
            "rows in which an audit found projection and recomputation apart; none is right",
            charts.bars,
            [
                Point(_moment(when), float(count), bad=count > 0)
                for when, count in reversed(status.audits[:_CHARTED])
            ],
            "differences",
        ),
        _figure(
            "Events a day",
            f"recorded in the last {status.days} days, by the app's days"
            + ("" if status.events is None or status.events.exact else "; estimated by a sample"),
            charts.bars,
            _days(status),
            "events",
        ),
    )


def _figure(title: str, what: str, draw: charts.Draw, points: Sequence[Point], unit: str) -> Html:
    drawn = draw(points, unit, title) if points else tag("p", "Nothing recorded yet.")
    return tag("figure", tag("figcaption", title, tag("small", what)), drawn)


def _days(status: Status) -> list[Point]:
    """Every day of the window, those without an event too."""
    found = status.events.by_day if status.events is not None else {}
    if not found:
        return []
    first, last = min(found), max(found)
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [Point(day.isoformat(), float(found.get(day, 0))) for day in days]


def _numbers(status: Status) -> Html:
    sizes = (
        row(
            r.name,
            f"~{r.estimated_rows:,}",
            f"{r.total_bytes:,}",
            "not populated" if r.populated is False else "",
        )
        for r in status.relations
    )
    events = status.events
    mark = "" if events is None or events.exact else "~"
    kinds = (
        row(e.event_type, *(f"{mark}{n:,}" for n in (e.total, e.voided, e.active)))
        for e in (events.by_type if events is not None else ())
    )
    mark = "" if status.batches_exact else "~"
    batches = (
        row(
            b.recorded_on.isoformat(), b.trigger_type, f"{mark}{b.batches:,}", f"{mark}{b.events:,}"
        )
        for b in status.batches
    )
    return section(
        "Numbers",
        _table("Tables and views", ("name", "rows", "bytes", ""), sizes),
        facts_of(_durations(status), "where"),
        _table("Events", ("type", "total", "voided", "active"), kinds),
        _table("Recalculations", ("day", "trigger", "batches", "events"), batches),
    )


def _durations(status: Status) -> tuple[tuple[str, str], ...]:
    last = next(iter(status.refreshed), None)
    shares = (quantile(status.durations, 0.5), quantile(status.durations, 0.95))
    median, high = ("" if value is None else f"{value:,.3f} s" for value in shares)
    return (
        ("Last refresh", "never" if last is None else _moment(last.started_at)),
        ("It took", "" if last is None or last.seconds is None else f"{last.seconds:,.3f} s"),
        ("Median", median),
        ("95th percentile", high),
        ("Outcomes", ", ".join(f"{name}: {n:,}" for name, n in sorted(status.outcomes.items()))),
        *_work(status.work),
    )


def _work(work: Work | None) -> Iterable[tuple[str, str]]:
    if work is not None:
        for words in (work.refresh_words(), work.audit_words()):
            name, _, said = words.partition(": ")
            yield name.capitalize(), said
        yield "Problems of the scheduled work", "; ".join(work.problems) or "none"


def _decisions(status: Status) -> Html:
    told = (
        ("Rejects left", _known(status.rejects_open)),
        ("Rejects waived", _known(status.rejects_waived)),
        ("Near matches left", _known(status.near_matches)),
        ("Set aside, left", _known(status.set_aside)),
        ("Legacy rows pending", _known(status.pending)),
        ("Data", status.data.value),
    )
    return section("To decide", facts_of(told, "where"))


def _record(status: Status) -> Html:
    deployments = (
        row(
            *(d.version, d.name, d.checksum[:12], d.deployed_by, _moment(d.deployed_at)),
            "" if d.rolled_back_at is None else _moment(d.rolled_back_at),
        )
        for d in status.deployments
    )
    runs = (
        row(
            str(r.run_id),
            r.kind,
            _moment(r.started_at),
            _moment(r.finished_at) if r.finished_at is not None else "not finished",
            r.started_by,
            f"{r.migrated:,}",
            f"{r.merged:,}",
            f"{r.rejected:,}",
        )
        for r in status.runs
    )
    receipts = (
        row(
            _moment(r.made_at),
            r.environment,
            r.says,
            r.git_commit[:12],
            r.made_by,
            class_="bad" if r.says == "red" else "",
        )
        for r in status.receipts
    )
    deployed = ("version", "name", "checksum", "by", "at", "rolled back")
    moved = ("run", "kind", "started", "finished", "by", "migrated", "merged", "rejected")
    return section(
        "Record",
        _table("Deployments", deployed, deployments),
        _table("Runs of the data migration", moved, runs),
        _table("Receipts", ("made at", "environment", "says", "commit", "by"), receipts),
        _locks(status),
    )


def _locks(status: Status) -> Html:
    locks = (
        row(
            k.name,
            str(k.pid),
            "holds" if k.granted else "waits",
            k.role_name,
            k.application,
            _moment(k.since) if k.since is not None else "",
        )
        for k in status.locks
    )
    headings = ("lock", "process", "", "role", "application", "since")
    return _table("Locks", headings, locks)


def _table(caption: str, headings: Sequence[str], rows: Iterable[Html]) -> Html:
    told = many(rows)
    if not told:
        return tag("p", f"{caption}: none.")
    return table(caption, headings, tag("tbody", told))


def _known(value: object) -> str:
    return (
        "not counted" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    )


def _moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
