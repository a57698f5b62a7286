"""The same reads through PostgREST: what a client sees, over kept connections."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.support.database import Database
from tests.support.postgrest import Rest, postgrest
from toolkit.errors import OperationalError
from tools.bench.measure import Comparison, Load, loads_in_turns, percentiles
from tools.bench.reading import LEGACY, LIVE, VIEW
from tools.bench.stage import APP, USERS, Stage

CLIENTS = (1, 8, 32)
_POOL = "10"
_NEWEST = "select=*&order=date.desc,created_at.desc&limit=100"
PATHS = {
    LEGACY: f"/electricity_readings?{_NEWEST}",
    VIEW: f"/electricity_readings_v?{_NEWEST}",
    LIVE: "/rpc/calculate_user_positions?p_user_id=USER"
    "&order=event_date.desc,created_at.desc&limit=100",
}


def measure(stage: Stage) -> None:
    """Needs APP, migrated and not cut over."""
    server = stage.server
    database = Database(
        APP, server.url(APP), server.admin_url(APP), server.url(APP, "authenticator"), 17
    )
    with postgrest(database, options={"PGRST_DB_POOL": _POOL}) as rest:
        users = [f"00000000-0000-4000-8000-{2_000_000 + n:012}" for n in range(USERS[2_000])]
        tokens = {user: rest.keys.user(user) for user in users}
        for clients in CLIENTS:
            variants = loads_in_turns(
                {
                    name: partial(_load, stage, rest, path, tokens, clients)
                    for name, path in PATHS.items()
                },
                stage.rounds,
            )
            who = f"{clients} client{'s' if clients > 1 else ''}"
            title = f"Newest 100 rows through PostgREST, {who}"
            stage.add(Comparison(f"rest.{clients}", title, stage.rows, "1/s", LEGACY, variants))


@dataclass
class _Client:
    """One client's requests, one after the other, until the time is over."""

    rest: Rest
    path: str
    token: str
    until: float
    milliseconds: list[float]
    trouble: str = ""

    def work(self) -> None:
        parts = urlsplit(self.rest.direct_url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}"}
        while time.monotonic() < self.until:
            started = time.perf_counter()
            connection.request("GET", self.path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            self.milliseconds.append((time.perf_counter() - started) * 1000)
            if answer.status != 200:
                self.trouble = f"{answer.status} {body[:200]!r}"
                return
        connection.close()


def _load(stage: Stage, rest: Rest, path: str, tokens: dict[str, str], clients: int) -> Load:
    until = time.monotonic() + stage.seconds
    users = list(tokens)
    working = [
        _Client(rest, path.replace("USER", user), tokens[user], until, [])
        for user in (users[number % len(users)] for number in range(clients))
    ]
    threads = [threading.Thread(target=client.work) for client in working]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trouble = [client.trouble for client in working if client.trouble]
    if trouble:
        raise OperationalError(
            "PostgREST refused a read.",
            next_step="this is a defect: report it",
            details=(*trouble,),
        )
    taken = [took for client in working for took in client.milliseconds]
    return Load(len(taken) / stage.seconds, percentiles(taken))
