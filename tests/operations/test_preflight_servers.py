"""What only a server of its own settings shows: prepared transactions, slots, WAL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.database import Database
from tests.support.servers import Databases, Template, binaries_of, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.local.temporary import temporary_server
from toolkit.operations.preflight import Verdict, options
from toolkit.operations.preflight.run import look

PASS, WARN, FAIL = Verdict.PASS, Verdict.WARN, Verdict.FAIL


@pytest.fixture(scope="module", params=[17, 15])
def special(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A server that allows prepared transactions and slots, with one database of its own."""
    if request.param != default_major() and not _has(request.param):
        pytest.skip(f"no programs of PostgreSQL {request.param} on this machine")
    with temporary_server(
        binaries=binaries_of(request.param),
        settings={"max_prepared_transactions": "2", "wal_level": "logical"},
    ) as server:
        databases = Databases(server)
        yield databases.make(Template(StartingPoint.DUAL_WRITE))


def _has(major: int) -> bool:
    try:
        binaries_of(major)
    except Exception:
        return False
    return True


def test_a_prepared_transaction(special: Database) -> None:
    chosen = options("staging")
    assert look(special.url, chosen, "prepared_transactions").verdict is PASS
    with special.connect(autocommit=True) as connection:
        connection.execute("begin")
        connection.execute("lock table public.token_events in access share mode")
        connection.execute("prepare transaction 'night job'")
        try:
            item = look(special.url, chosen, "prepared_transactions")
        finally:
            connection.execute("rollback prepared 'night job'")
    assert item.verdict is FAIL
    assert "transaction night job was prepared by postgres" in item.detail
    assert "rollback prepared 'night job';" in item.next_step
    assert look(special.url, chosen, "prepared_transactions").verdict is PASS


def test_a_slot_that_nobody_reads(special: Database) -> None:
    chosen = options("staging")
    assert look(special.url, chosen, "replication_slots").verdict is PASS
    with special.admin(autocommit=True) as connection:
        connection.execute("select pg_create_physical_replication_slot('lazy', true)")
        try:
            item = look(special.url, chosen, "replication_slots")
        finally:
            connection.execute("select pg_drop_replication_slot('lazy')")
    assert item.verdict is WARN
    assert "replication slot lazy is read by nobody" in item.detail
    assert "pg_drop_replication_slot('lazy')" in item.next_step
    assert look(special.url, chosen, "replication_slots").verdict is PASS


def test_wal_level_minimal() -> None:
    with temporary_server(
        binaries=binaries_of(default_major()),
        settings={"wal_level": "minimal", "max_wal_senders": "0"},
    ) as server:
        database = Databases(server).make(Template())
        item = look(database.url, options("staging"), "settings")
    assert (item.verdict, "wal_level is minimal" in item.detail) == (WARN, True)
