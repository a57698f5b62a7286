"""A backfill goes slow enough: the arithmetic, and what it waits for on a real server."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest
from psycopg import pq

from tests.support.backfill import Said, waiting_for_backfill
from tests.support.database import Database
from tests.support.pgbouncer import transaction_pooler
from tests.support.processes import wait_until
from tests.support.servers import Databases
from tests.support.session_pooler import session_pooler
from toolkit.connection import connect
from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.operations.backfill import BackfillOptions, pace, plan_backfill, run_backfill
from toolkit.operations.backfill.pace import Pending
from toolkit.operations.backfill.watch import Watch
from toolkit.operations.rollback import run_rollback

QUICK = BackfillOptions(batch_rows=60, share=1)


@pytest.fixture
def database(databases: Callable[[int], Databases]) -> Iterator[Database]:
    with databases(17).copy(waiting_for_backfill(databases(17))) as copy:
        yield copy


def test_a_batch_is_whole_users_and_at_least_one() -> None:
    page = [Pending(uuid4(), rows) for rows in (20_000, 10, 10, 10)]
    assert pace.cut(page, 30) == 1  # has more rows than a batch, and is one
    assert pace.cut(page[1:], 20) == 2
    assert pace.cut(page[1:], 1000) == 3
    assert pace.cut([], 10) == 0


def test_batches_grow_to_a_second_and_shrink_when_somebody_waited() -> None:
    def after(moved: int, seconds: float, *, waited_for: bool = False) -> int:
        return pace.next_size(1000, moved, seconds, waited_for=waited_for, most=5000)

    assert after(1000, 0.1) == 2000  # never more than twice
    assert after(1000, 0.8) == 1250
    assert after(1000, 4.0) == 250
    assert after(1000, 0.1, waited_for=True) == 500
    assert after(0, 0.1) == 1000
    assert pace.next_size(4000, 4000, 0.1, waited_for=False, most=5000) == 5000
    assert pace.next_size(1, 1, 60, waited_for=True, most=5000) == 1
    assert pace.first_size(60) == 60


def test_rest_leaves_the_app_its_share_of_the_time() -> None:
    assert pace.rest(2.0, 0.5, waited_for=False) == 2.0
    assert pace.rest(2.0, 0.2, waited_for=False) == pytest.approx(8.0)
    assert pace.rest(2.0, 1.0, waited_for=False) == 0.0
    assert pace.rest(2.0, 1.0, waited_for=True) == 2.0
    assert [pace.back_off(failures) for failures in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 16.0]


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan")])
def test_a_share_is_a_part_of_the_time(share: float) -> None:
    with pytest.raises(UsageError, match="is no part of the time"):
        BackfillOptions(share=share)


def test_it_sleeps_the_rest_of_the_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("toolkit.operations.backfill.waiter.time.sleep", slept.append)
    report = run_backfill(database.url, replace(QUICK, share=0.2), Said())
    assert len([seconds for seconds in slept if seconds > 0]) == report.batches
    # Work was a fifth at most: the rests that it asked for are four times the batches.
    assert sum(slept) > 2 * report.seconds


@pytest.fixture
def monitor(database: Database) -> Iterator[None]:
    """On Supabase the role postgres is a member of pg_monitor."""
    _as_admin(database, "grant pg_monitor to postgres")
    yield
    _as_admin(database, "revoke pg_monitor from postgres")


def test_a_role_that_may_not_see_replicas_says_so_once(database: Database) -> None:
    with _replica(database):
        said = Said()
        assert run_backfill(database.url, replace(QUICK, max_lag=0), said).finished
    assert len([note for note in said.notes if "no member of pg_monitor" in note]) == 1


def test_it_waits_for_a_replica_that_lags(database: Database, monitor: None) -> None:
    with _replica(database) as acknowledge:
        options = replace(QUICK, max_lag=1_000)
        said = Said()
        done = threading.Event()

        def keep_up() -> None:
            while not done.wait(0.05):
                if any(note.startswith("paused") for note in said.notes):
                    acknowledge()

        thread = threading.Thread(target=keep_up)
        thread.start()
        try:
            report = run_backfill(database.url, options, said)
        finally:
            done.set()
            thread.join()
    assert report.finished
    assert any(note.startswith("paused: a replica is too far behind, ") for note in said.notes)
    assert report.paused_seconds > 0


def test_a_watch_sees_who_waits_for_the_batch_and_whom_it_waits_for(database: Database) -> None:
    lock = "select pg_advisory_xact_lock(1)"
    rows = "select from ledger.settings for update"
    with (
        database.connect(name="batch") as batch,
        database.connect(name="app") as app,
        database.connect(name="long one") as long_one,
        database.connect(autocommit=True) as eyes,
    ):
        batch.execute(rows)
        long_one.execute(lock)
        pid = batch.info.backend_pid
        with Watch(eyes, pid) as watch:
            waiting = threading.Thread(target=app.execute, args=(rows,))
            blocked = threading.Thread(target=batch.execute, args=(lock,))
            waiting.start()
            blocked.start()
            wait_until(lambda: watch.waiting == 1 and watch.blocker is not None)
            long_one.rollback()
            blocked.join()
            batch.rollback()
            waiting.join()
        assert watch.blocker is not None
        assert watch.blocker.startswith("long one (postgres, pid ")
        with Watch(eyes, pid) as watch:
            pass
        assert (watch.waiting, watch.blocker) == (0, None)


def test_a_batch_that_loses_to_another_session_is_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.operations.backfill.lock.LOCK_TIMEOUT", "300ms")
    with database.connect(name="long one") as other:
        other.execute("select from public.user_profiles order by id desc limit 3 for update")

        def let_go(text: str) -> None:
            if text.startswith("a batch lost"):
                other.rollback()

        said = Said(at_note=let_go)
        report = run_backfill(database.url, QUICK, said)
    assert report.finished
    assert report.retries == 1
    lost = next(note for note in said.notes if note.startswith("a batch lost"))
    assert lost.startswith("a batch lost to another session (55P03), it waits for long one (postg")


def test_a_batch_that_always_loses_stops_and_says_to_whom(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.operations.backfill.lock.LOCK_TIMEOUT", "150ms")
    monkeypatch.setattr(pace, "back_off", lambda _: 0.0)
    with database.connect(name="long one") as other:
        other.execute("select from public.user_profiles for update")
        with pytest.raises(OperationalError, match=r"10 times in a row .* long one") as stopped:
            run_backfill(database.url, QUICK, Said())
    assert "it goes on where this one stopped" in stopped.value.next_step
    assert run_backfill(database.url, QUICK, Said()).resumed


def test_a_deadlock_is_tried_again(database: Database) -> None:
    """The other one holds a later user and then wants one that the batch has."""
    users = [
        row[0]
        for row in database.rows(
            "select distinct r.user_id from ledger.pending_readings as r"
            " inner join public.user_profiles as p on p.id = r.user_id order by 1"
        )
    ]
    with database.connect(name="app") as app:
        app.execute("select from public.user_profiles where id = %s for update", (users[-1],))

        def cross() -> None:
            wait_until(
                lambda: database.value(
                    "select count(*) > 0 from pg_stat_activity"
                    " where application_name = 'meterledger backfill'"
                    " and cardinality(pg_blocking_pids(pid)) > 0 and datname = current_database()"
                )
            )
            try:
                app.execute("select from public.user_profiles where id = %s for update", users[:1])
            except psycopg.errors.DeadlockDetected:
                pass
            finally:
                app.rollback()

        thread = threading.Thread(target=cross)
        thread.start()
        report = run_backfill(database.url, BackfillOptions(batch_rows=5000, share=1), Said())
        thread.join()
    assert report.finished


def test_without_a_time_zone_it_does_not_begin(database: Database) -> None:
    database.rows("update ledger.settings set time_zone = null")
    with pytest.raises(FindingsError, match="time zone is not confirmed") as stopped:
        run_backfill(database.url, QUICK, Said())
    assert "update ledger.settings set time_zone" in stopped.value.next_step


def test_a_run_is_not_continued_past_a_trigger_that_was_switched_off(database: Database) -> None:
    database.rows("select ledger.start_migration()")
    database.rows(
        "alter table public.electricity_readings disable trigger electricity_readings_sync_inserts"
    )
    with pytest.raises(FindingsError, match=r"cannot go on: trigger .* is switched off") as stopped:
        run_backfill(database.url, QUICK, Said())
    assert "enable trigger" in stopped.value.next_step


def test_a_row_that_does_not_come_back_is_a_finding_and_the_run_stays_open(
    database: Database,
) -> None:
    def spoil(text: str) -> None:
        if text.startswith("every row is moved"):
            database.rows(
                "delete from ledger.readings where (user_id, id) in (select user_id, reading_id"
                " from ledger.migrated_readings where not completed limit 1)"
            )

    with pytest.raises(FindingsError, match="1 readings do not come back") as stopped:
        run_backfill(database.url, QUICK, Said(at_note=spoil))
    assert "ledger.migration_differences()" in stopped.value.next_step
    assert plan_backfill(database.url).open_run is not None
    database.rows("select ledger.project_everything()")
    report = run_backfill(database.url, QUICK, Said())
    assert (report.finished, report.resumed, report.batches) == (True, True, 0)


def test_a_database_that_lost_what_it_needs_says_what_to_do(database: Database) -> None:
    with connect(database.url, autocommit=True) as connection:
        connection.execute("drop function ledger.migrate_users(bigint, uuid[])")
    with pytest.raises(FindingsError, match="install_data_migration was applied") as stopped:
        plan_backfill(database.url)
    assert "meterledger doctor ENV" in stopped.value.next_step


def test_a_role_that_owns_nothing_is_refused(database: Database) -> None:
    with pytest.raises(OperationalError, match="does not own the tables"):
        plan_backfill(database.authenticator_url)


def test_a_transaction_pooler_is_refused() -> None:
    with pytest.raises(UsageError, match="transaction pooler"):
        run_backfill("postgresql://postgres@127.0.0.1:6543/postgres", QUICK, Said())


def test_a_transaction_pooler_on_any_port_is_recognised(database: Database) -> None:
    with transaction_pooler(database) as url:
        for work in (
            lambda: run_backfill(url, QUICK, Said()),
            lambda: run_rollback(url, "data", Said()),
        ):
            with pytest.raises(UsageError, match="transaction pooler"):
                work()
    assert database.value("select count(*) from ledger.migration_runs") == 0


def test_a_session_pooler_will_do(database: Database) -> None:
    with session_pooler(database, 3) as url:
        assert run_backfill(url, QUICK, Said()).finished
        assert run_rollback(url, "data", Said()).undone == ("migrate_data",)


@contextmanager
def _replica(database: Database) -> Iterator[Callable[[], None]]:
    """A client that streams the server's log and confirms it only when told to."""
    url = database.url.replace("?sslmode", "?replication=true&sslmode")
    stream = pq.PGconn.connect(url.encode())
    assert stream.status == pq.ConnStatus.OK, stream.error_message
    position = database.value("select pg_current_wal_lsn()")
    begun = stream.exec_(f"START_REPLICATION PHYSICAL {position}".encode())
    assert begun.status == pq.ExecStatus.COPY_BOTH, stream.error_message
    lock = threading.Lock()

    def confirm(position: int) -> None:
        with lock:
            stream.put_copy_data(b"r" + struct.pack("!qqqqb", position, position, position, 0, 0))
            stream.flush()

    def now() -> int:
        value: int = database.value("select (pg_current_wal_lsn() - '0/0')::bigint")
        return value

    confirm(now())
    wait_until(
        lambda: _as_admin(database, "select count(replay_lsn) from pg_stat_replication") == 1
    )
    try:
        yield lambda: confirm(now())
    finally:
        stream.finish()


def _as_admin(database: Database, statement: str) -> object:
    with database.admin() as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall()[0][0] if cursor.description else None
