"""What bounds a statement in the database: the caller's deadline, the function's own time-out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from functions.refresh_readings.main import aws
from functions.refresh_readings.main import entry as refresh
from functions.runtime import MARGIN_SECONDS, Run
from tests.functions.conftest import Place
from tests.support.database import Connection
from tests.support.postgrest import Rest
from tests.support.processes import wait_until
from tests.support.servers import default_major

SLEEPS = (
    "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
    " and datname = current_database()"
)
OUTCOMES = "select outcome, details ->> 'sqlstate' from ledger.refresh_log"


@pytest.fixture
def slow(owner: Connection) -> Iterator[None]:
    """A refresh that takes ten minutes, at its last step."""
    step = "ledger.mark_refreshed(uuid[], bigint[])"
    body = owner.execute("select pg_get_functiondef(%s::regprocedure)", (step,)).fetchone()
    assert body is not None
    owner.execute(
        "create or replace function ledger.mark_refreshed(p_users uuid[], p_versions bigint[])"
        " returns bigint language sql volatile set search_path = '' as"
        " $$ select pg_sleep(600); select 0::bigint $$"
    )
    yield
    owner.execute(str(body[0]).encode())


@pytest.fixture
def limit(owner: Connection, rest: Rest) -> Iterator[Callable[[str], None]]:
    """Give refresh_readings() another time-out of its own, and have the API know it."""

    def set_limit(duration: str) -> None:
        owner.execute(
            "alter function public.refresh_readings(text, integer, boolean)"
            f" set statement_timeout = '{duration}'".encode()
        )
        rest.reload()

    yield set_limit
    set_limit("10min")


class Context:
    """What Lambda hands over: with so much left to work, beside what is kept for the alert."""

    aws_request_id = "11111111-2222-3333-4444-555555555555"

    def get_remaining_time_in_millis(self) -> int:
        return int(MARGIN_SECONDS * 1000) + 1500


@pytest.mark.skipif(default_major() < 17, reason="transaction_timeout is PostgreSQL 17's")
@pytest.mark.usefixtures("slow")
def test_the_platforms_deadline_ends_the_statement_through_the_api(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", place.config.api_url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", place.config.service_key)
    monkeypatch.setenv("METERLEDGER_ALERT_URL", place.config.alert_url)
    with pytest.raises(RuntimeError, match="failed"):
        aws({}, Context())

    wait_until(lambda: place.database.value(SLEEPS) == 0, seconds=20)
    assert place.database.rows(OUTCOMES) == []


def test_after_a_deadline_the_next_run_does_it(place: Place) -> None:
    status, result = place.run(refresh)

    assert (status, result["outcome"]) == (200, "refreshed")


@pytest.mark.usefixtures("slow")
def test_the_deadline_is_the_statement_timeout_over_a_connection(place: Place) -> None:
    config = replace(place.config, via="database")
    deadline = time.monotonic() + MARGIN_SECONDS + 1.5
    run = Run(refresh.name, config, deadline=deadline, write=place.lines.append)
    status, result = refresh.run(run)

    assert (status, result["code"]) == (500, "57014")
    assert place.database.value(SLEEPS) == 0
    assert place.database.rows(OUTCOMES) == [("failed", "57014")]


@pytest.mark.usefixtures("slow")
def test_the_api_applies_the_functions_own_time_out(
    place: Place, limit: Callable[[str], None]
) -> None:
    """What is left on PostgreSQL 15: PostgREST 12 hoists it, over the role's 8 seconds."""
    limit("300ms")
    status, result = place.run(refresh)

    assert (status, result["code"]) == (500, "57014")
    assert place.database.rows(OUTCOMES) == [("failed", "57014")]
