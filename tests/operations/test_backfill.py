"""A backfill moves the data in batches, and whatever interrupts it, the end is the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.backfill import Said, outcome, run_row, waiting_for_backfill
from tests.support.database import Connection, Database
from tests.support.processes import python, wait_until
from tests.support.servers import Databases
from toolkit.errors import OperationalError
from toolkit.operations.backfill import BackfillOptions, plan_backfill, run_backfill
from toolkit.rollout import phases, verify

QUICK = BackfillOptions(batch_rows=60, share=1)
# A command that kills itself as soon as its first batch is committed.
_KILLED_AFTER_ONE_BATCH = """
import os, signal, sys
from toolkit.operations.backfill import BackfillOptions, run_backfill
class Observer:
    calls = 0
    def step(self, name): pass
    def note(self, text): pass
    def progress(self, done, total):
        self.calls += 1
        if self.calls == 2:  # the first call is where it stands at the beginning
            os.kill(os.getpid(), signal.SIGKILL)
run_backfill(sys.argv[1], BackfillOptions(batch_rows=60, share=1), Observer())
"""
_UNDISTURBED = """
import sys
from toolkit.operations.backfill import BackfillOptions, run_backfill
class Observer:
    def step(self, name): pass
    def note(self, text): pass
    def progress(self, done, total): pass
run_backfill(sys.argv[1], BackfillOptions(batch_rows=500, share=1), Observer())
"""


@pytest.fixture(scope="module")
def original(databases: Callable[[int], Databases]) -> Database:
    return waiting_for_backfill(databases(17))


@pytest.fixture
def database(databases: Callable[[int], Databases], original: Database) -> Iterator[Database]:
    with databases(17).copy(original) as copy:
        yield copy


@pytest.fixture(scope="module")
def undisturbed(databases: Callable[[int], Databases], original: Database) -> dict[str, list[str]]:
    """What the one transaction of the push's own data phase leaves."""
    with databases(17).copy(original) as copy:
        copy.rows("select ledger.migrate_data()")
        return outcome(copy)


def test_it_moves_everything_in_batches_of_whole_users(
    database: Database, undisturbed: dict[str, list[str]]
) -> None:
    planned = plan_backfill(database.url)
    said = Said()
    report = run_backfill(database.url, QUICK, said)
    assert report.finished
    assert not report.resumed
    assert report.batches > 5
    assert planned.pending_rows == planned.legacy_rows == report.migrated + report.rejected == 700
    assert report.pending_rows == 0
    assert outcome(database) == undisturbed
    run = run_row(database)
    assert run["finished_at"] is not None
    assert (run["migrated"], run["rejected"]) == (report.migrated, report.rejected)
    assert said.steps == ["backfill"]
    assert said.done == sorted(said.done)
    assert said.done[-1] == (planned.legacy_rows, planned.legacy_rows)
    with database.connect() as connection:
        verify(connection, phases())


def test_another_one_has_nothing_to_do(database: Database) -> None:
    run_backfill(database.url, BackfillOptions(share=1), Said())
    assert plan_backfill(database.url).done
    said = Said()
    report = run_backfill(database.url, QUICK, said)
    assert (report.finished, report.batches, report.migrated) == (True, 0, 0)
    assert said.notes == [f"nothing to do: run {report.run_id} moved and proved everything"]
    assert database.value("select count(*) from ledger.migration_runs") == 1


def test_an_empty_legacy_table_makes_a_finished_run_too(
    databases: Callable[[int], Databases], original: Database
) -> None:
    with databases(17).copy(original) as copy:
        copy.rows("delete from public.electricity_readings")
        report = run_backfill(copy.url, QUICK, Said())
        assert (report.finished, report.batches) == (True, 0)
        assert run_row(copy)["finished_at"] is not None


def test_killed_at_every_batch_boundary(
    database: Database, undisturbed: dict[str, list[str]]
) -> None:
    kills = 0
    while True:
        with python(_KILLED_AFTER_ONE_BATCH, database.url) as process:
            process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -9
        kills += 1
        if plan_backfill(database.url).pending_rows == 0:
            break
    assert kills > 5
    assert run_backfill(database.url, QUICK, Said()).finished
    assert outcome(database) == undisturbed
    assert run_row(database)["finished_at"] is not None  # one run, continued by all of them


@pytest.mark.parametrize("how", ["kill -9", "terminate", "interrupt"])
def test_killed_in_the_middle_of_a_batch(
    database: Database, undisturbed: dict[str, list[str]], how: str
) -> None:
    """The batch has listed, rejected and merged when it stops at an event that somebody holds."""
    with database.connect(name="holder") as holder:
        _hold_an_event_that_will_be_merged(holder)
        process = python(_UNDISTURBED, database.url)
        wait_until(lambda: _blocked_backend(database) is not None)
        pid = _blocked_backend(database)
        if how == "kill -9":
            process.kill()
        elif how == "terminate":
            database.rows("select pg_terminate_backend(%s)", (pid,))
        else:
            process.send_signal(2)
        process.communicate(timeout=60)
        assert process.returncode != 0
        wait_until(lambda: _blocked_backend(database) is None)
    assert plan_backfill(database.url).open_run is not None
    assert run_backfill(database.url, QUICK, Said()).resumed
    assert outcome(database) == undisturbed


def test_a_terminated_session_is_an_error_that_says_how_to_go_on(database: Database) -> None:
    def terminate(calls: int) -> None:
        if calls == 3:
            database.rows(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'meterledger backfill'"
            )

    with pytest.raises(OperationalError) as stopped:
        run_backfill(database.url, QUICK, Said(at_progress=terminate))
    assert stopped.value.next_step.startswith("run the same command again")
    assert run_backfill(database.url, QUICK, Said()).finished


def test_a_second_runner_is_told_who_is_at_work(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.operations.backfill.lock.PATIENCE_SECONDS", 0.0)
    refused: list[OperationalError] = []

    def second(calls: int) -> None:
        if calls == 2:
            with pytest.raises(OperationalError) as stopped:
                run_backfill(database.url, QUICK, Said())
            refused.append(stopped.value)

    assert run_backfill(database.url, QUICK, Said(at_progress=second)).finished
    assert "meterledger backfill of postgres from 127.0.0.1" in refused[0].message
    assert "pid " in refused[0].message
    assert "pg_terminate_backend(" in refused[0].next_step


def test_time_that_is_up_stops_between_two_batches(
    database: Database, undisturbed: dict[str, list[str]], tmp_path: Path
) -> None:
    pause = tmp_path / "pause"
    options = BackfillOptions(batch_rows=60, share=1, max_seconds=1.5, pause_file=pause)
    said = Said(at_progress=lambda calls: pause.touch() if calls == 3 else None)
    report = run_backfill(database.url, options, said)
    assert not report.finished
    assert report.batches == 2
    assert report.pending_rows == report.legacy_rows - report.migrated - report.rejected > 0
    assert report.paused_seconds > 0
    assert said.notes[-2:] == [
        f"paused: {pause} exists",
        "time is up: stopped between two batches",
    ]
    assert run_row(database)["finished_at"] is None
    pause.unlink()
    assert run_backfill(database.url, QUICK, Said()).resumed
    assert outcome(database) == undisturbed


def test_no_time_at_all_touches_nothing(database: Database) -> None:
    report = run_backfill(database.url, BackfillOptions(max_seconds=0), Said())
    assert (report.finished, report.run_id, report.batches) == (False, None, 0)
    assert database.value("select count(*) from ledger.migration_runs") == 0


def test_the_pause_file_holds_it_until_it_is_gone(database: Database, tmp_path: Path) -> None:
    pause = tmp_path / "pause"
    pause.touch()
    moved_while_paused: list[int] = []

    def look(text: str) -> None:
        if text.startswith("paused"):
            moved_while_paused.append(
                database.value("select count(*) from ledger.migrated_readings")
            )
            threading.Timer(0.2, pause.unlink).start()

    said = Said(at_note=look)
    report = run_backfill(database.url, BackfillOptions(share=1, pause_file=pause), said)
    assert report.finished
    assert moved_while_paused == [0]
    assert "goes on" in said.notes


def _hold_an_event_that_will_be_merged(holder: Connection) -> None:
    rows = holder.execute(
        "select e.id from token_events as e inner join ledger.mapped_readings as m"
        " on m.user_id = e.user_id and m.event_type = e.event_type and m.kwh_amount = e.kwh_amount"
        " and m.local_day = (e.event_date at time zone ledger.time_zone())::date"
        " where not e.is_voided and m.reject_reason is null and m.reading_id <> e.id"
        " order by e.user_id desc limit 1 for update of e"
    ).fetchall()
    assert rows


def _blocked_backend(database: Database) -> int | None:
    rows = database.rows(
        "select pid from pg_stat_activity where application_name = 'meterledger backfill'"
        " and cardinality(pg_blocking_pids(pid)) > 0 and datname = current_database()"
    )
    return rows[0][0] if rows else None
