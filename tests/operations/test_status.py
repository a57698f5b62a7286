"""Where a database stands and how it fares: states, counts, and what stands in the way."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import psycopg
import pytest
from rich.console import Console

from tests.support.database import Connection, Database
from tests.support.household import events_of, put_events, put_readings, readings_of
from tests.support.pgbouncer import transaction_pooler
from tests.support.proven import proven, proven_copy
from tests.support.rollout import apply, before
from tests.support.servers import Databases, MakeDatabase, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.cli.status_view import short_view
from toolkit.connection import connect
from toolkit.operations.status import State, Status, detail_of, read, read_status, state_of
from toolkit.rollout.phases import phases

_RECEIPT = """
insert into ledger.receipts (environment, body, signature)
values (%s, jsonb_build_object(
  'validation', jsonb_build_object('valid', %s::boolean, 'differences', 0),
  'isolation', jsonb_build_object('isolated', true), 'git_commit', 'abc'
), 'x')
"""


@pytest.fixture
def shared(databases: Callable[[int], Databases]) -> Database:
    """A proven database, to be looked at."""
    return proven(databases(default_major()))


@pytest.fixture
def copy(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """A proven database to change."""
    with proven_copy(databases(default_major())) as copy:
        yield copy


def looked_at(database: Database, *, exact: bool = False) -> Status:
    with database.connect(autocommit=True) as connection:
        return read_status(connection, environment="staging", url=database.url, exact=exact)


def where(database: Database) -> State:
    return state_of(looked_at(database))


def test_the_state_follows_the_rollout_to_its_end(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    users = [database.add_user() for _ in range(2)]
    with database.admin() as connection:
        connection.execute("set session_replication_role = replica")
        for user in users:
            put_readings(connection, readings_of(user))
            put_events(connection, events_of(user))
    nothing = looked_at(database)
    assert (state_of(nothing), str(nothing.legacy_rows)) == (State.NOTHING, "16")
    assert nothing.notes == ()
    assert [e.event_type for e in nothing.events.by_type] if nothing.events else []

    apply(database, before("20261101000300"), time_zone="Asia/Jakarta")
    halfway = looked_at(database)
    assert (state_of(halfway), detail_of(halfway)) == (
        State.EXPAND,
        f"8 of {len(phases())} phases applied",
    )
    assert halfway.notes == ()
    apply(database, defer_backfill=True)
    sync = looked_at(database)
    assert (state_of(sync), str(sync.pending)) == (State.SYNC, "16")

    with database.connect(autocommit=True) as connection:
        run = connection.execute("select ledger.start_migration()").fetchone()
        assert run is not None
        connection.execute("select ledger.migrate_users(%s, array[%s::uuid])", (run[0], users[0]))
        half = looked_at(database)
        assert (state_of(half), detail_of(half)) == (
            State.BACKFILL,
            "the backfill is not finished; 8 of 16 pending",
        )
        connection.execute("select ledger.migrate_users(%s, array[%s::uuid])", (run[0], users[1]))
        connection.execute("select ledger.finish_migration(%s)", run)
        done = looked_at(database)
        assert (state_of(done), str(done.pending)) == (State.BACKFILL, "0")
        assert detail_of(done).endswith("no green receipt since the last change: validate")
        _proofs(database, connection)

        connection.execute("drop materialized view public.electricity_readings_mv")
        connection.execute("alter table public.electricity_readings rename to readings_archive")
        connection.execute(
            "create view public.electricity_readings as table public.readings_archive"
        )
        cut = looked_at(database)
        assert (state_of(cut), cut.objects.archive) == (State.CUTOVER, "public.readings_archive")
        assert cut.notes == ()
        connection.execute("drop view public.electricity_readings")
        connection.execute("drop table public.readings_archive cascade")
        connection.execute(
            "create view public.electricity_readings as table public.electricity_readings_v"
        )
        assert where(database) is State.CONTRACT


def _proofs(database: Database, connection: Connection) -> None:
    """Only a green receipt of this environment, since the last change, is a proof."""
    connection.execute("update ledger.settings set environment = 'staging'")
    connection.execute(_RECEIPT, ("staging", False))
    assert where(database) is State.BACKFILL
    connection.execute(_RECEIPT, ("production", True))
    assert where(database) is State.BACKFILL
    connection.execute(_RECEIPT, ("staging", True))
    assert where(database) is State.VALIDATED
    connection.execute(
        "insert into ledger.deployments (version, name, checksum) values ('1', 'later', 'ab')"
    )
    assert where(database) is State.BACKFILL
    connection.execute(_RECEIPT, ("staging", True))
    assert where(database) is State.VALIDATED
    with connection.transaction(force_rollback=True):
        connection.execute("select ledger.undo_data_migration()")
        undone = read_status_within(connection, database)
        assert state_of(undone) is State.SYNC


def read_status_within(connection: Connection, database: Database) -> Status:
    """As a transaction that began already sees it: without its own settings."""
    return read._Reader(connection, exact=False).read("staging", database.url)


def test_what_a_rollback_set_aside_is_counted_until_somebody_settles_it(copy: Database) -> None:
    """A void that a live write kept from being applied again."""
    reading = copy.value(
        "select reading_id from ledger.migrated_readings where reading_id = event_id"
        " and not superseded and not completed order by reading_id limit 1"
    )
    copy.rows("update token_events set is_voided = true where id = %s", (reading,))
    copy.rows("select ledger.undo_data_migration()")
    assert looked_at(copy).set_aside == 0  # pending: the next migration may apply it
    copy.rows("update electricity_readings set kwh_value = 1 where id = %s", (reading,))
    copy.rows("select ledger.migrate_data()")
    found = looked_at(copy)
    assert found.set_aside == 1
    console = Console(file=io.StringIO(), width=300)
    console.print(short_view(found, "local"))
    assert isinstance(console.file, io.StringIO)
    assert "set aside by a rollback, to decide: 1; see ledger.unsettled" in console.file.getvalue()
    copy.rows("update ledger.set_aside set settled_at = now()")
    assert looked_at(copy).set_aside == 0


def test_a_database_with_nothing_in_it(databases: Callable[[int], Databases]) -> None:
    server = databases(default_major()).server
    found = looked_at(Database("postgres", server.url(), server.admin_url(), "", 17))
    assert (state_of(found), found.notes, found.events) == (State.NOTHING, (), None)


def test_the_numbers_are_the_databases_own(copy: Database) -> None:
    with copy.connect(autocommit=True) as connection:
        connection.execute(
            "insert into public.recalculation_batches"
            " (user_id, trigger_type, affected_events, events_count)"
            " select p.id, 'EDIT_TOPUP', '[]', 3 from public.user_profiles as p limit 4"
        )
        connection.execute("select public.refresh_readings_mv()")
        connection.execute(
            "insert into ledger.refresh_log (started_at, finished_at, outcome, details)"
            " select now() - interval '1 s' * n, now(), 'refreshed', '{\"differences\": 2}'"
            " from generate_series(20, 1, -1) as n"
        )
        connection.execute("insert into ledger.refresh_log (outcome) values ('failed')")
        connection.execute(
            "update ledger.migration_rejects set waived_at = now(), waived_by = 'ana',"
            " waived_reason = 'x' where reading_id in"
            " (select x.reading_id from ledger.migration_rejects as x limit 2)"
        )
    found = looked_at(copy)
    assert found.notes == ()
    assert found.events is not None
    assert found.events.exact
    counted = copy.rows(
        "select event_type, count(*) filter (where not is_voided),"
        " count(*) filter (where is_voided) from public.token_events group by 1 order by 1"
    )
    assert [(e.event_type, e.active, e.voided) for e in found.events.by_type] == counted
    assert sum(e.total for e in found.events.by_type) == copy.value(
        "select count(*) from public.token_events"
    )
    recorded = copy.value(
        "select count(*) from public.token_events where created_at between"
        " now() - interval '30 days' and now()"
    )
    assert sum(found.events.by_day.values()) == recorded
    newest = [(b.trigger_type, b.batches, b.events) for b in found.batches]
    assert ("EDIT_TOPUP", 4, 12) in newest
    assert dict(found.outcomes) == {"refreshed": 21, "failed": 1}
    assert sorted(map(round, found.durations))[1:] == list(range(1, 21))
    assert len(found.audits) == 20
    assert found.audits[0][1] == 2
    rejects = copy.value("select count(*) from ledger.migration_rejects")
    assert (found.rejects_open, found.rejects_waived) == (rejects - 2, 2)
    assert found.near_matches == copy.value("select count(*) from ledger.open_matches")
    sizes = {r.name: r for r in found.relations}
    assert sizes["ledger.readings"].total_bytes == copy.value(
        "select pg_total_relation_size('ledger.readings')"
    )
    assert sizes["public.electricity_readings_mv"].populated is True


def test_of_large_tables_the_numbers_are_estimates_that_say_so(
    shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "CHEAP_BYTES", 3 * 8192)
    with shared.connect(autocommit=True) as connection:
        connection.execute("analyze public.token_events, public.electricity_readings")
    guessed = looked_at(shared)
    assert guessed.events is not None
    assert not guessed.events.exact
    assert not guessed.batches_exact or guessed.batches == ()
    assert guessed.near_matches is None
    assert str(guessed.legacy_rows).startswith("~")
    assert str(guessed.pending) == "~0"  # the finished run proved it
    monkeypatch.setattr(read, "CHEAP_BYTES", 24 * 8192)
    total = shared.value("select count(*) from public.token_events")
    events = looked_at(shared).events
    assert events is not None
    assert 0 < sum(e.total for e in events.by_type) < 4 * total

    counted = looked_at(shared, exact=True)
    assert counted.events is not None
    assert counted.events.exact
    assert sum(e.total for e in counted.events.by_type) == total
    assert counted.near_matches == shared.value("select count(*) from ledger.open_matches")
    assert counted.pending is not None
    assert counted.pending.exact


def test_a_locked_table_is_noted_and_the_rest_is_answered(
    copy: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_LOCK_TIMEOUT", "50ms")
    with copy.connect() as blocker:
        blocker.execute("lock table ledger.refresh_log in access exclusive mode")
        found = looked_at(copy)
        blocker.rollback()
    assert [note.split(": not read: ")[0] for note in found.notes] == ["refreshes", "work"]
    assert found.refreshes == ()
    assert state_of(found) is State.BACKFILL
    assert found.events is not None


def test_whoever_holds_our_locks_is_named(copy: Database) -> None:
    with (
        copy.connect(autocommit=True, name="meterledger deploy") as holder,
        connect(copy.url.replace(copy.name, "postgres"), autocommit=True) as elsewhere,
    ):
        take = "select pg_advisory_lock(hashtextextended(%s, 0))"
        holder.execute(take, ("meterledger.deploy",))
        elsewhere.execute(take, ("meterledger.backfill",))
        found = looked_at(copy).locks
        assert [(k.name, k.pid, k.granted, k.application) for k in found] == [
            ("meterledger.deploy", holder.info.backend_pid, True, "meterledger deploy")
        ]
    assert looked_at(copy).locks == ()


def test_nothing_is_written(shared: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        read, "statement", lambda _: b"insert into ledger.heads values (null) returning 1"
    )
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        looked_at(shared)


def test_a_transaction_pooler_will_do(shared: Database) -> None:
    with (
        transaction_pooler(shared) as url,
        connect(url, autocommit=True, prepare=False) as first,
        connect(url, autocommit=True, prepare=False) as second,
    ):
        for connection in (first, second, first):
            found = read_status(connection, environment="staging", url=url)
            assert (state_of(found), found.notes) == (State.BACKFILL, ())
            left = connection.execute("show statement_timeout").fetchone()
            assert left == ("0",)


def test_a_lost_connection_is_an_error_and_no_note(copy: Database) -> None:
    with copy.connect(autocommit=True) as connection:
        with copy.admin(autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            read_status(connection, environment="staging", url=copy.url)
