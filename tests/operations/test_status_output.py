"""What meterledger status shows: Prometheus' format, the page, the command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from tests.support.database import Database
from tests.support.proven import proven, proven_copy
from tests.support.servers import Databases, default_major
from toolkit.cli import status_view
from toolkit.cli.console import out
from toolkit.operations.status import Status, read_status
from toolkit.operations.status.html import render_html
from toolkit.operations.status.model import EventCount, Events, Refresh
from toolkit.operations.status.prometheus import render_prometheus

HOSTILE = 'a"b\\c\nd </title><script>alert(1)</script> \x1b[31m password=tr0ub4dor'
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(
    rf"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\{{(?P<labels>{_LABEL}(?:,{_LABEL})*)\}} "
    r"(?P<value>-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
)


@pytest.fixture
def shared(databases: Callable[[int], Databases]) -> Database:
    return proven(databases(default_major()))


@pytest.fixture
def found(shared: Database) -> Status:
    with shared.connect(autocommit=True) as connection:
        return read_status(connection, environment="staging", url=shared.url)


@pytest.fixture
def copy(databases: Callable[[int], Databases]) -> Iterator[Database]:
    with proven_copy(databases(default_major())) as copy:
        yield copy


def hostile(found: Status) -> Status:
    """A status whose texts would steer a terminal, a page or a scraper."""
    refresh = Refresh(datetime.now(UTC), datetime.now(UTC), HOSTILE, "x", 1, 0.5, 1)
    return replace(
        found,
        recorded=HOSTILE,
        notes=(HOSTILE,),
        events=Events((EventCount(HOSTILE, 1, 2),), {}, exact=False),
        refreshes=(refresh, replace(refresh, outcome="refreshed")),
    )


def parse(text: str) -> dict[str, dict[str, float]]:
    """A small parser of the exposition format; strict about order, types and escapes."""
    metrics: dict[str, dict[str, float]] = {}
    current = helped = ""
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped = line.split(" ")[2]
            assert helped not in metrics
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert (current, kind) == (helped, "gauge")
            metrics[current] = {}
        else:
            match = _SAMPLE.fullmatch(line)
            assert match is not None, line
            assert match["name"] == current
            assert match["labels"] not in metrics[current]
            metrics[current][match["labels"]] = float(match["value"])
    return metrics


def test_prometheus_reads_every_line(found: Status, shared: Database) -> None:
    metrics = parse(render_prometheus(found))
    states = metrics["meterledger_state"]
    assert [labels for labels, value in states.items() if value == 1] == [
        'environment="staging",state="backfill"'
    ]
    assert len(states) == 7
    assert sum(metrics["meterledger_events"].values()) == shared.value(
        "select count(*) from public.token_events"
    )
    assert metrics["meterledger_pending_readings"] == {'environment="staging"': 0}
    assert "meterledger_receipt_green" not in metrics  # there is none, which is no zero
    assert all(labels.startswith('environment="staging"') for m in metrics.values() for labels in m)


def test_prometheus_labels_are_escaped_and_hold_no_secret(found: Status) -> None:
    text = render_prometheus(hostile(found))
    labels = parse(text)["meterledger_events"]
    assert any(r"a\"b\\c\nd" in label for label in labels)
    assert "tr0ub4dor" not in text


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_the_page_holds_three_charts_and_loads_nothing(copy: Database) -> None:
    with copy.connect(autocommit=True) as connection:
        connection.execute("select public.refresh_readings_mv()")
        connection.execute("update ledger.refresh_log set details = '{\"differences\": 0}'")
        connection.execute(
            "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
            " select p.id, 'TOPUP', now(), 5 from public.user_profiles as p limit 3"
        )
        text = render_html(read_status(connection, environment="staging", url=copy.url))
    page = _Page()
    page.feed(text)
    assert page.tags.count("svg") == 3
    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    assert not {"style", "src", "href", "onload", "onclick"} & set(page.attributes)
    assert "default-src 'none'; style-src 'sha256-" in text
    assert "$" not in text.split("</style>")[1]


def test_the_page_escapes_what_it_shows(found: Status) -> None:
    text = render_html(hostile(found))
    page = _Page()
    page.feed(text)
    assert "script" not in page.tags
    assert "tr0ub4dor" not in text
    assert "\x1b" not in text


def test_a_status_of_nothing_is_shown_in_every_form(
    databases: Callable[[int], Databases], capsys: pytest.CaptureFixture[str]
) -> None:
    server = databases(default_major()).server
    database = Database("postgres", server.url(), server.admin_url(), "", 17)
    with database.connect(autocommit=True) as connection:
        found = read_status(connection, environment="local", url=database.url)
    assert parse(render_prometheus(found))
    assert "Nothing recorded yet." in render_html(found)
    assert json.dumps(status_view.status_object(found, "local"), default=str)
    out.print(status_view.view(found, "local"))
    assert "[nothing]" in capsys.readouterr().out


def test_a_terminal_is_not_steered(found: Status, capsys: pytest.CaptureFixture[str]) -> None:
    out.print(status_view.view(hostile(found), "local"))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "tr0ub4dor" not in shown
    assert "~3" in shown
