"""The optional pg_cron schedule, on the system's PostgreSQL 15: installs, runs, removes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.processes import CHECKOUT, wait_until
from tests.support.servers import Databases, Template
from toolkit.local.binaries import find_binaries
from toolkit.local.temporary import temporary_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BINARIES = Path("/usr/lib/postgresql/15/bin")
CONTROL = Path("/usr/share/postgresql/15/extension/pg_cron.control")
RECIPES = CHECKOUT / "functions" / "deploy" / "cron"
JOBS = "select jobname from cron.job where jobname like 'meterledger %' order by 1"


@pytest.fixture
def scheduled() -> Iterator[Database]:
    """A migrated database whose server has pg_cron, as Supabase gives it to postgres."""
    if not CONTROL.is_file():
        pytest.skip("no PostgreSQL 15 with pg_cron on this machine")
    settings = {
        "shared_preload_libraries": "pg_cron",
        "cron.database_name": "test_1",
        "cron.use_background_workers": "on",
    }
    binaries = find_binaries(BINARIES, major=15)
    with temporary_server(binaries=binaries, settings=settings) as server:
        database = Databases(server).make(Template(migrated=True))
        with database.admin() as connection:
            connection.execute("create extension pg_cron")
            connection.execute("grant usage on schema cron to postgres")
            connection.execute("grant all on all tables in schema cron to postgres")
        yield database


def problems(database: Database) -> list[str]:
    found: list[str] = database.value("select public.ledger_health() -> 'problems'")
    return found


def say(database: Database, recipe: str) -> None:
    with database.connect() as connection:
        connection.execute((RECIPES / f"{recipe}.sql").read_bytes())


def test_the_schedule_installs_twice_runs_and_goes(scheduled: Database) -> None:
    say(scheduled, "install")
    say(scheduled, "install")
    assert [name for (name,) in scheduled.rows(JOBS)] == [
        "meterledger prune",
        "meterledger prune pg_cron",
        "meterledger refresh_readings",
        "meterledger verify_readings",
    ]

    scheduled.rows("select cron.schedule('meterledger broken', '* * * * *', 'select 1 / 0')")
    # pg_cron 1.4 counts in minutes: every one of them is the soonest.
    with scheduled.admin() as connection:
        connection.execute("select cron.alter_job(jobid, schedule => '* * * * *') from cron.job")
    ran = (
        "select count(distinct j.jobname) from cron.job_run_details as d"
        " join cron.job as j using (jobid) where d.status = 'succeeded'"
    )
    wait_until(lambda: scheduled.value(ran) == 4, seconds=150)
    failed = "select count(*) > 0 from cron.job_run_details where status = 'failed'"
    wait_until(lambda: bool(scheduled.value(failed)), seconds=90)
    assert [p for p in problems(scheduled) if "division by zero" in p] == problems(scheduled)
    assert scheduled.value(
        "select count(*) > 0 from ledger.refresh_log where trigger_source = 'pg_cron'"
    )
    assert scheduled.value(
        "select count(*) > 0 from ledger.audits where trigger_source = 'pg_cron'"
    )

    say(scheduled, "remove")
    say(scheduled, "remove")
    assert scheduled.rows(JOBS) == []
    assert problems(scheduled) == []
