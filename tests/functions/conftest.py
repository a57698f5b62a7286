"""A migrated database behind the real PostgREST, a webhook, and handlers aimed at both."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from functions.entry import Entry
from functions.runtime import Config, Result, Run
from tests.support.database import Connection, Database
from tests.support.events import TOPUP, day, record, shared_database, sign_up
from tests.support.postgrest import Rest, postgrest
from tests.support.servers import Databases, default_major


@dataclass
class Webhook:
    """Takes alerts."""

    url: str
    alerts: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Place:
    """A database with users and events, and the way for handlers."""

    database: Database
    config: Config
    webhook: Webhook
    lines: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def run(self, entry: Entry, **changes: object) -> tuple[int, Result]:
        """One run, whose log goes to `lines`; changes are of the configuration."""
        config = replace(self.config, **changes)  # type: ignore[arg-type]
        run = Run(entry.name, config, write=self.lines.append, sleep=self.waits.append)
        return entry.run(run)


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.alerts.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Webhook(f"http://127.0.0.1:{server.server_address[1]}/planted-hook-path")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield hook
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def ledger(databases: Callable[[int], Databases]) -> Iterator[Database]:
    yield from shared_database(databases(default_major()))


@pytest.fixture(scope="module")
def rest(ledger: Database) -> Iterator[Rest]:
    with postgrest(ledger) as served:
        yield served


@pytest.fixture
def owner(ledger: Database) -> Iterator[Connection]:
    with ledger.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def place(ledger: Database, rest: Rest, owner: Connection, webhook: Webhook) -> Place:
    """Some users with events, nothing refreshed or audited yet, nobody alarmed."""
    owner.execute(
        "delete from ledger.audit_marks; delete from ledger.refresh_marks; delete from"
        " ledger.audits; delete from ledger.audit_differences; delete from ledger.refresh_log;"
        " delete from auth.users;"
        " update ledger.work_state set installed_at = now(), swept_to = null, swept_at = now()"
    )
    for user in sign_up(owner, 3):
        for number in range(4):
            record(owner, user, TOPUP, 5, day(number))
    webhook.alerts.clear()
    config = Config(
        via="rpc",
        api_url=rest.url,
        service_key=rest.keys.service,
        database_url=ledger.url,
        alert_url=webhook.url,
    )
    return Place(ledger, config, webhook)
