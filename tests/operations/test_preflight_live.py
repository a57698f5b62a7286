"""The checklist beside other sessions: it only reads, waits for nobody, and sees who is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from psycopg import sql

from tests.support.database import Database
from tests.support.preflight import (
    FAIL,
    OPTIONS,
    PASS,
    WARN,
    findings,
    shared_households,
)
from tests.support.servers import Databases
from toolkit.operations.preflight import CheckItem, Options, preflight
from toolkit.operations.preflight.activity import long_transactions
from toolkit.operations.preflight.context import Check, Context, Scene
from toolkit.operations.preflight.run import CHECKS, look, run_check


@pytest.fixture(scope="module")
def households(databases: Callable[[int], Databases]) -> Iterator[Callable[..., Database]]:
    """One database of each starting point and version, with two users; faults are undone."""
    yield from shared_households(databases)


def test_an_item_that_takes_too_long_or_meets_a_lock_says_so(
    households: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(context: Context) -> CheckItem:
        context.connection.execute("select pg_sleep(30)")
        raise AssertionError

    monkeypatch.setitem(CHECKS, "version", slow)
    hasty = Options("staging", patience=1)
    item = look(households().url, hasty, "version")
    assert (item.verdict, item.next_step) == (WARN, "give it longer: --patience")


def test_it_can_only_read(
    households: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes(context: Context) -> CheckItem:
        context.connection.execute("delete from public.token_events")
        raise AssertionError

    monkeypatch.setitem(CHECKS, "version", writes)
    item = look(households().url, OPTIONS, "version")
    assert item.verdict is FAIL
    assert "read-only transaction" in item.detail


def test_no_more_than_access_share_is_locked(
    households: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: set[str] = set()

    def after(name: str) -> Check:
        real = CHECKS[name]

        def check(context: Context) -> CheckItem:
            item = real(context)
            found = context.connection.execute(
                "select mode from pg_locks where pid = pg_backend_pid() and locktype = 'relation'"
            ).fetchall()
            modes.update(mode for (mode,) in found)
            return item

        return check

    for name in list(CHECKS):
        monkeypatch.setitem(CHECKS, name, after(name))
    assert preflight(households().url, OPTIONS).ready
    assert modes == {"AccessShareLock"}


def test_a_table_under_an_exclusive_lock_is_not_waited_for_long(
    households: Callable[..., Database],
) -> None:
    database = households()
    with database.connect() as blocker:
        blocker.execute("lock table public.token_events in access exclusive mode")
        with pytest.raises(Exception, match="could not be counted"):
            preflight(database.url, OPTIONS)


def test_a_lost_connection_is_one_error(
    households: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = households()

    def killed(context: Context) -> CheckItem:
        connection = context.connection
        with database.admin(autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
        connection.execute("select 1")
        raise AssertionError

    monkeypatch.setitem(CHECKS, "version", killed)
    with pytest.raises(Exception, match="connection was lost during the item version"):
        preflight(database.url, OPTIONS)


def test_a_long_transaction_that_holds_the_tables_is_worse(
    households: Callable[..., Database],
) -> None:
    database = households()

    def check(context: Context) -> CheckItem:
        return long_transactions(context, 0)

    def asked() -> CheckItem:
        with database.connect(autocommit=True) as connection:
            context = Context(connection, database.url, Scene(), OPTIONS)
            item = run_check("long_transactions", check, context)
            while "sessions belong to roles" in item.detail:  # the last test's, on their way out
                item = run_check("long_transactions", check, context)
            return item

    assert asked().verdict is PASS
    with database.connect(name="night job") as other:
        other.execute("select 1")
        idle = asked()
        other.execute("select count(*) from public.token_events")
        holding = asked()
    assert (idle.verdict, holding.verdict) == (WARN, FAIL)
    assert "night job of postgres" in holding.detail
    assert "pg_terminate_backend" in holding.next_step
    assert asked().verdict is PASS


def test_sessions_that_cannot_be_seen_are_told(households: Callable[..., Database]) -> None:
    database = households()
    with database.admin(autocommit=True):
        item = look(database.url, OPTIONS, "long_transactions")
    assert item.verdict is WARN
    assert "sessions belong to roles whose transactions postgres may not see" in item.detail


@pytest.mark.parametrize("mode", ["share update exclusive", "access exclusive"])
def test_work_on_the_tables(households: Callable[..., Database], mode: str) -> None:
    database = households()
    assert look(database.url, OPTIONS, "maintenance").verdict is PASS
    with database.connect() as worker:
        worker.execute(sql.SQL("lock table public.user_profiles in {} mode").format(sql.SQL(mode)))
        item = look(database.url, OPTIONS, "maintenance")
    assert (item.verdict, len(findings(item))) == (WARN, 1)
    assert "works on user_profiles" in item.detail


def test_who_waits_for_a_lock(households: Callable[..., Database]) -> None:
    database = households()
    assert look(database.url, OPTIONS, "lock_waits").verdict is PASS
    with database.connect() as holder, database.connect(autocommit=True) as waiter:
        holder.execute("lock table public.user_profiles in share row exclusive mode")
        waiter.pgconn.send_query(b"delete from public.user_profiles where false")
        item = look(database.url, OPTIONS, "lock_waits")
        while item.verdict is PASS:  # until the waiter's statement has arrived
            item = look(database.url, OPTIONS, "lock_waits")
        assert (item.verdict, len(findings(item))) == (WARN, 1)
        assert f"held up by pid {holder.info.backend_pid}" in item.detail
        holder.rollback()
        while waiter.pgconn.get_result() is not None:
            pass
    assert look(database.url, OPTIONS, "lock_waits").verdict is PASS


def test_errors_of_the_connection_are_ours(households: Callable[..., Database]) -> None:
    with pytest.raises(Exception, match="does not exist"):
        preflight(households().url.replace(households().name, "nowhere"), OPTIONS)
