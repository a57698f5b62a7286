"""meterledger status reads what the scheduled work left: refreshes, audits, open differences."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.health.main import entry as health
from functions.refresh_readings.main import entry as refresh
from functions.verify_readings.main import entry as verify
from tests.functions.conftest import Place
from tests.support.database import Connection
from toolkit.cli import status_view
from toolkit.cli.console import out
from toolkit.operations.status import Status, read_status
from toolkit.operations.status.html import render_html
from toolkit.operations.status.prometheus import render_prometheus
from toolkit.operations.status.work import Work


def looked_at(place: Place) -> Status:
    with place.database.connect(autocommit=True) as connection:
        return read_status(connection, environment="staging", url=place.database.url)


def work_of(place: Place) -> Work:
    work = looked_at(place).work
    assert work is not None
    return work


def metrics(place: Place) -> dict[str, float]:
    """Those without a label of their own."""
    lines = render_prometheus(looked_at(place)).splitlines()
    samples = (line.split('{environment="staging"} ') for line in lines if line[0] != "#")
    return {s[0].removeprefix("meterledger_"): float(s[1]) for s in samples if len(s) == 2}


def spoil(owner: Connection) -> None:
    """A row that is wrong, of users whose time for an audit has come."""
    owner.execute("update ledger.readings set kwh_value = kwh_value + 1 where kwh_value = 10")
    owner.execute("update ledger.audit_marks set version = -1")


def test_nothing_ran_yet(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    found = looked_at(place)
    out.print(status_view.view(found, "staging"))

    assert found.notes == ()
    assert "scheduled refresh: never" in capsys.readouterr().out
    known = metrics(place)
    assert "audit_age_seconds" not in known
    assert "audit_differences" not in known
    assert (known["work_healthy"], known["refresh_changed_users"]) == (1, 3)


def test_a_refresh_and_an_audit_have_an_age(
    place: Place, owner: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    place.run(refresh)
    place.run(verify)
    owner.execute(
        "update ledger.refresh_log set finished_at = now() - interval '2 hours';"
        " update ledger.audits set finished_at = now() - interval '3 hours'"
    )
    place.run(refresh)
    known = metrics(place)
    out.print(status_view.view(looked_at(place), "staging"))
    shown = " ".join(capsys.readouterr().out.split())

    assert 7200 <= known["refresh_age_seconds"] < 7800
    assert known["refresh_run_age_seconds"] < 600
    assert 10800 <= known["audit_age_seconds"] < 11400
    assert (known["audit_users"], known["audit_differences"]) == (3, 0)
    assert (known["audit_differences_open"], known["work_problems"]) == (0, 0)
    assert "2 h ago; last run: not needed, users changed since: 0" in shown
    assert "3 h ago; users: 3, left over: 0, differences: 0, within a day: 0, open: 0" in shown
    object_ = status_view.status_object(looked_at(place), "staging")
    assert object_["work"]["last_audit_users"] == 3
    assert [audit["differences"] for audit in object_["audits"]] == [0]


def test_a_planted_difference_is_counted_until_it_is_repaired(
    place: Place, owner: Connection
) -> None:
    place.run(refresh)
    place.run(verify)
    spoil(owner)
    with place.database.connect() as writer:
        writer.execute("select from ledger.heads for update")  # the repair has to wait
        place.run(verify)
    found, known = looked_at(place), metrics(place)
    assert found.work is not None
    assert (known["audit_differences"], known["audit_differences_open"]) == (3, 3)
    assert known["work_healthy"] == 0
    assert "what an audit found is not repaired yet" in found.work.problems
    assert "not repaired yet" in render_html(found)

    place.run(verify)
    known = metrics(place)
    assert known["audit_differences_open"] == 0
    assert known["audit_differences_day"] == 6  # found twice
    place.run(verify)
    known = metrics(place)
    assert (known["audit_differences"], known["audit_differences_day"]) == (0, 6)
    assert [n for _, n in reversed(looked_at(place).audits)] == [0, 3, 3, 0]


def test_what_repaired_itself_is_not_open_for_ever(place: Place, owner: Connection) -> None:
    place.run(verify)
    spoil(owner)
    with place.database.connect() as writer:
        writer.execute("select from ledger.heads for update")
        place.run(verify)
    assert work_of(place).differences_open == 3
    owner.execute("select ledger.project_everything((select array_agg(user_id) from ledger.heads))")
    place.run(verify)
    assert work_of(place).differences_open == 0


def test_a_difference_of_the_view_is_open_until_it_was_compared_again(
    place: Place, owner: Connection
) -> None:
    place.run(verify)
    owner.execute(
        "insert into ledger.audit_differences (user_id, audit_id, row_id, found_in, finding)"
        " select h.user_id, 0, gen_random_uuid(), 'materialized view', 'wrong'"
        " from ledger.heads as h"
    )
    owner.execute("update ledger.audit_marks set version = -1")
    place.run(verify)  # nothing was refreshed: the view is not compared
    assert work_of(place).differences_open == 3
    place.run(refresh)
    place.run(verify)
    assert work_of(place).differences_open == 0


def test_a_failed_run_is_a_problem_until_one_succeeds(place: Place, owner: Connection) -> None:
    place.run(refresh)
    owner.execute(
        "insert into ledger.refresh_log (finished_at, outcome, details)"
        " values (now(), 'failed', '{\"reason\": \"planted\"}')"
    )
    owner.execute("insert into ledger.refresh_log (finished_at, outcome) values (now(), 'skipped')")
    assert work_of(place).problems == ["the last refresh run failed: planted"]
    place.run(refresh)
    assert work_of(place).problems == []


@pytest.fixture
def cron(owner: Connection) -> Iterator[Connection]:
    """Tables as pg_cron has them; the real one runs in make test-cron."""
    owner.execute(
        "create schema cron;"
        " create table cron.job (jobid bigint, jobname text, database text, active boolean);"
        " create table cron.job_run_details (jobid bigint, runid bigint primary key, status text,"
        " return_message text);"
        " insert into cron.job select n, name, current_database(), true from unnest(array["
        " 'meterledger refresh_readings', 'meterledger verify_readings', 'of the app'])"
        " with ordinality as j (name, n)"
    )
    yield owner
    owner.execute("drop schema cron cascade")


def ran(cron: Connection, job: int, status: str, message: str | None = None) -> None:
    cron.execute(
        "insert into cron.job_run_details select %s, count(*) + 1, %s, %s"
        " from cron.job_run_details",
        (job, status, message),
    )


def test_what_pg_cron_tells_nobody_is_a_problem(place: Place, cron: Connection) -> None:
    assert work_of(place).problems == []
    for job in (1, 2, 3):
        ran(cron, job, "succeeded")
    ran(cron, 2, "failed", "ERROR: planted")
    ran(cron, 2, "running")
    ran(cron, 3, "failed", "not ours")
    failed = "pg_cron: meterledger verify_readings failed: ERROR: planted"
    assert work_of(place).problems == [failed]
    status, result = place.run(health)
    assert (status, result["problems"]) == (503, [failed])

    ran(cron, 2, "succeeded")
    cron.execute("update cron.job set active = false where jobid = 1")
    assert work_of(place).problems == ["pg_cron: meterledger refresh_readings is switched off"]


def test_what_of_pg_cron_may_not_be_read_stops_nothing(place: Place, cron: Connection) -> None:
    with place.database.admin() as connection:
        connection.execute("alter schema cron owner to supabase_admin")
        connection.execute("revoke all on schema cron from postgres")
    try:
        assert work_of(place).problems == []
    finally:
        with place.database.admin() as connection:
            connection.execute("alter schema cron owner to postgres")


def test_a_schedule_that_stopped_is_a_problem_after_its_time(
    place: Place, owner: Connection
) -> None:
    for hours in (2, 30):
        owner.execute(
            "update ledger.work_state set installed_at = now() - interval '9 days';"
            " delete from ledger.refresh_log; delete from ledger.audits"
        )
        owner.execute(
            "insert into ledger.refresh_log (finished_at, outcome)"
            " values (now() - %(hours)s * interval '1 hour', 'not needed')",
            {"hours": hours},
        )
        owner.execute(
            "insert into ledger.audits (finished_at, trigger_source)"
            " values (now() - %(hours)s * interval '1 hour', 'pg_cron')",
            {"hours": hours},
        )
        late = ["no scheduled refresh has succeeded lately", "no audit has run lately"]
        assert work_of(place).problems == (late if hours > 24 else [])
