"""The data goes back in batches of whole users, and ends as it would have in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest

from tests.support.backfill import Said, waiting_for_backfill
from tests.support.database import Database
from tests.support.processes import python, wait_until
from tests.support.rollout import history, projection_is_live, table_texts
from tests.support.servers import Databases
from toolkit.operations.backfill import BackfillOptions, run_backfill
from toolkit.operations.rollback import run_rollback
from toolkit.operations.rollback.undo import LEFT_FOR_THE_END
from toolkit.resources import statement
from toolkit.validation.run import validate

DATA_PHASE = "20261101000401"
QUICK = BackfillOptions(batch_rows=60, share=1)
_KILLED = """
import os, signal, sys
from toolkit.operations.backfill import BackfillOptions
from toolkit.operations.rollback import run_rollback
class Observer:
    calls = 0
    def step(self, name): pass
    def note(self, text): pass
    def progress(self, done, total):
        self.calls += 1
        if self.calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
run_rollback(sys.argv[1], "data", Observer(), pace=BackfillOptions(batch_rows=60, share=1))
"""
# Every third user's first reading and its VOID event; ids that are the same in each copy.
_VOIDS = """
with first as (
  select distinct on (l.user_id) l.user_id, l.event_id
  from ledger.migrated_readings as l
  where not l.superseded and get_byte(uuid_send(l.user_id), 0) % 3 = 0
  order by l.user_id, l.event_id
),
marked as (
  update token_events as e
  set is_voided = true, voided_at = '2026-01-01Z', voided_by = e.user_id, voided_reason = 'wrong'
  from first as f where e.user_id = f.user_id and e.id = f.event_id
)
insert into token_events (
  id, user_id, event_type, event_date, kwh_amount, void_of_event, created_at
)
select md5(f.event_id::text)::uuid, f.user_id, 'VOID', '2026-01-01Z', 0, f.event_id, '2026-01-01Z'
from first as f
"""
_ASIDE = """
select (to_jsonb(a) - 'set_aside_id' - 'set_aside_at')::text from ledger.set_aside as a order by 1
"""


@pytest.fixture
def copies(databases: Callable[[int], Databases]) -> Iterator[tuple[Database, Database]]:
    """Two of the same: backfilled, and then written to."""
    with databases(17).copy(waiting_for_backfill(databases(17))) as first:
        run_backfill(first.url, BackfillOptions(share=1), Said())
        with first.connect() as connection:
            connection.execute(_VOIDS.encode())
        with databases(17).copy(first) as second:
            yield first, second


@pytest.fixture
def database(copies: tuple[Database, Database]) -> Database:
    return copies[0]


def state(database: Database) -> dict[str, list[str]]:
    tables = {
        "public": ("token_events", "recalculation_batches", "electricity_readings"),
        "ledger": ("readings", "merges", "migrated_readings", "amended_events"),
    }
    with database.connect() as connection:
        assert projection_is_live(connection)
        found = {
            table: table_texts(connection, schema, table)
            for schema, names in tables.items()
            for table in names
        }
    return found | {
        "aside": [row[0] for row in database.rows(_ASIDE)],
        "rejects": [
            row[0]
            for row in database.rows(
                "select row_data::text from ledger.migration_rejects order by 1"
            )
        ],
        "runs": [
            str(row)
            for row in database.rows(
                "select kind, finished_at is not null, settings - 'time_zone' - 'server_version',"
                " legacy_rows from ledger.migration_runs order by run_id"
            )
        ],
    }


def listed(database: Database) -> int:
    count: int = database.value("select count(*) from ledger.migrated_readings")
    return count


def test_batches_end_as_one_transaction_does(copies: tuple[Database, Database]) -> None:
    database, other = copies
    left: list[int] = []
    said = Said(at_progress=lambda _: left.append(listed(database)))
    report = run_rollback(database.url, "data", said, pace=QUICK)
    other.rows("select ledger.undo_data_migration()")
    assert report.batches > 5
    # Others see each batch when it is done, so no writer waits for the next one.
    assert left == sorted(set(left), reverse=True)
    assert [total - done for done, total in said.done] == left
    ended = state(database)
    assert ended["aside"]
    assert (ended["migrated_readings"], ended["rejects"]) == ([], [])
    assert ended == state(other)
    assert DATA_PHASE not in history(database)


@pytest.mark.parametrize("at", [1, 2, 5])
def test_killed_between_two_batches_it_goes_on(copies: tuple[Database, Database], at: int) -> None:
    database, other = copies
    everything = listed(database)
    with python(_KILLED, database.url, str(at)) as process:
        process.communicate(timeout=60)
    assert process.returncode == -9
    wait_until(lambda: free(database))
    assert (listed(database) < everything) is (at > 1)
    assert DATA_PHASE in history(database)
    with database.connect() as connection:
        runs = connection.execute(statement("doctor_runs")).fetchall()
    assert [row[1] for row in runs] == ["meterledger rollback ENV --to data"]

    run_rollback(database.url, "data", Said(), pace=QUICK)
    other.rows("select ledger.undo_data_migration()")
    assert state(database) == state(other)
    assert DATA_PHASE not in history(database)


def test_a_backfill_after_half_a_rollback_moves_all_of_it_again(database: Database) -> None:
    with python(_KILLED, database.url, "3") as process:
        process.communicate(timeout=60)
    wait_until(lambda: free(database))
    assert run_backfill(database.url, BackfillOptions(share=1), Said()).finished
    assert validate(database.url).valid
    assert database.rows("select * from ledger.unsettled") == []
    assert (
        database.value("select count(*) from ledger.migration_runs where finished_at is null") == 0
    )
    run_rollback(database.url, "data", Said(), pace=QUICK)
    assert listed(database) == 0


def test_what_clients_write_between_two_batches_is_neither_lost_nor_half_there(
    database: Database,
) -> None:
    """Of a user whose turn is over, and of one whose turn comes; with the sync on all the time."""
    users = [
        row[0]
        for row in database.rows(
            "select distinct user_id from ledger.migrated_readings order by user_id"
        )
    ]
    written: list[tuple[UUID, UUID]] = []

    def write(calls: int) -> None:
        if calls != 3:
            return
        with database.connect() as app:
            for user in (users[0], users[-1]):
                row = app.execute(
                    "update electricity_readings set kwh_value = 7, token_amount = null where id ="
                    " (select min(id::text)::uuid from electricity_readings where user_id = %s)"
                    " returning user_id, id",
                    (user,),
                ).fetchone()
                assert row is not None
                new = uuid4()
                app.execute(
                    "insert into electricity_readings (id, user_id, date, kwh_value)"
                    " values (%s, %s, '2026-05-01', 7)",
                    (new, user),
                )
                written.extend([(row[0], row[1]), (user, new)])

    run_rollback(database.url, "data", Said(at_progress=write), pace=QUICK)
    assert len(written) == 4
    assert listed(database) == 0
    # The legacy rows alone hold what was written, and the next backfill moves it.
    ids = [id_ for _, id_ in written]
    made = (
        "select count(*) from token_events"
        " where coalesce(reading_id, id) = any (%s) and kwh_amount = 7"
    )
    assert database.value(made, (ids,)) == 0
    assert run_backfill(database.url, BackfillOptions(share=1), Said()).finished
    assert validate(database.url).valid
    seen = database.rows(
        "select distinct v.kwh_value from electricity_readings_v as v"
        " inner join unnest(%s::uuid[], %s::uuid[]) as w (user_id, id)"
        " on w.user_id = v.user_id and w.id = v.id",
        ([user for user, _ in written], ids),
    )
    assert seen == [(7,)]


def test_little_is_left_for_the_last_transaction(database: Database) -> None:
    """However many legacy rows are written while the batches run."""
    user = database.value("select min(user_id::text)::uuid from ledger.migrated_readings")
    left: list[int] = []

    def write(calls: int) -> None:
        if calls == 3:
            database.rows(
                "insert into electricity_readings (id, user_id, date, kwh_value) select"
                " gen_random_uuid(), %s, '2026-05-01', n from generate_series(1, %s) as n",
                (user, LEFT_FOR_THE_END + 1),
            )
        left.append(listed(database))

    run_rollback(database.url, "data", Said(at_progress=write), pace=QUICK)
    assert left[-1] == 0


def free(database: Database) -> bool:
    """The server's side of a killed command has ended."""
    count = database.value(
        "select count(*) from pg_locks where locktype = 'advisory'"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    return bool(count == 0)
