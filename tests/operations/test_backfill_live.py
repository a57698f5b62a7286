"""A backfill beside an app that goes on writing, and the command as an operator types it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.backfill import Said, Writer, waiting_for_backfill
from tests.support.database import Database
from tests.support.processes import wait_until
from tests.support.servers import Databases
from tests.support.typing_in import TypesProgram, types_as_a_program
from toolkit.operations.backfill import BackfillOptions, run_backfill
from toolkit.validation.run import validate


@pytest.fixture
def database(databases: Callable[[int], Databases], major: int) -> Iterator[Database]:
    with databases(major).copy(waiting_for_backfill(databases(major))) as copy:
        yield copy


def test_no_write_of_a_running_app_is_lost(database: Database) -> None:
    said = Said()
    # What the new app recorded under a reading's own id is its own fact, if it is another, and
    # stays when an old client deletes that reading before its batch.
    namesakes = set(
        database.rows(
            "select e.user_id, e.id from token_events as e"
            " inner join electricity_readings as r on r.user_id = e.user_id and r.id = e.id"
        )
    )
    with Writer(database, 0) as first, Writer(database, 1) as second:
        report = run_backfill(database.url, BackfillOptions(batch_rows=25, share=0.3), said)
    assert report.finished
    assert not first.errors + second.errors
    kept = {**first.kept, **second.kept}
    assert len(kept) > 50
    shown = {
        (user, id_): kwh
        for user, id_, kwh in database.rows(
            "select user_id, id, kwh_value from electricity_readings_v"
        )
    }
    rejected = {row[0] for row in database.rows("select reading_id from ledger.migration_rejects")}
    lost = {key: kwh for key, kwh in kept.items() if shown.get(key) != kwh}
    assert {id_ for _, id_ in lost} <= rejected
    deleted = (first.deleted | second.deleted) - namesakes
    assert deleted
    assert not deleted & set(shown)
    proof = validate(database.url)
    assert proof.valid, [check for check in proof.checks if check.verdict.value == "fail"]


@pytest.mark.parametrize("owned", [True, False], ids=["a user's", "nobody's"])
def test_a_rejected_row_that_is_deleted_while_its_batch_runs_leaves_no_entry(
    database: Database, owned: bool
) -> None:
    """The batch has rejected it and is not committed yet when the app deletes it."""
    reading = database.value(
        "select reading_id from ledger.mapped_readings where reject_reason is not null"
        " and (reject_reason <> 'no profile owns it') = %s order by user_id limit 1",
        (owned,),
    )
    with (
        database.connect(name="holder") as holder,
        database.connect(name="app") as app,
        ThreadPoolExecutor() as pool,
    ):
        # Held: an event that the batch must void, so it stops after its rejects.
        holder.execute("select from token_events where event_type <> 'VOID' for update")
        options = BackfillOptions(batch_rows=5000, share=1)
        running = pool.submit(run_backfill, database.url, options, Said())
        wait_until(lambda: _waiting(database, "meterledger backfill"))
        statement = "delete from electricity_readings where id = %s"
        deleting = pool.submit(app.execute, statement, (reading,))
        wait_until(lambda: deleting.done() or _waiting(database, "app"))
        holder.rollback()
        deleting.result(timeout=60)
        app.commit()
        assert running.result(timeout=60).finished
    assert database.rows("select * from ledger.migration_differences()") == []


def _waiting(database: Database, name: str) -> bool:
    rows = database.rows(
        "select from pg_stat_activity where application_name = %s"
        " and cardinality(pg_blocking_pids(pid)) > 0 and datname = current_database()",
        (name,),
    )
    return bool(rows)


@pytest.fixture
def types(database: Database, tmp_path: Path) -> TypesProgram:
    """Types the command in a folder that knows the database as staging."""
    return types_as_a_program("backfill", tmp_path, database.url, "staging")


def test_the_command_stops_when_time_is_up_and_says_how_to_go_on(
    types: TypesProgram, database: Database
) -> None:
    asked = types("staging")
    assert asked.code == 2
    assert "700 of 700 legacy rows wait" in asked.err
    assert "say --yes" in asked.err

    stopped = types("staging", "--yes", "--max-seconds", "0", "--batch-rows", "60")
    assert stopped.code == 0
    assert "not finished: 700 rows wait" in stopped.out
    assert "continue: meterledger backfill staging --batch-rows 60 --max-seconds 0" in stopped.out
    done = types("staging", "--yes", "--share", "1", "--json")
    assert done.code == 0
    answer = json.loads(done.out)
    assert (answer["finished"], answer["next_step"], answer["pending_rows"]) == (True, None, 0)
    assert answer["migrated"] + answer["rejected"] == 700
    assert types("staging").code == 0  # nothing to do, and nothing to ask


def test_the_command_wants_a_protected_environment_named_and_the_right_one(
    types: TypesProgram, database: Database, tmp_path: Path
) -> None:
    (tmp_path / ".env.staging").rename(tmp_path / ".env.production")
    assert types("production", "--yes").code == 2
    assert types("production", "--confirm", "staging").code == 2
    assert database.value("select count(*) from ledger.migration_runs") == 0
    database.rows("update ledger.settings set environment = 'staging'")
    wrong = types("production", "--confirm", "production")
    assert wrong.code == 2
    assert "this database says that it is 'staging'" in wrong.err
    database.rows("update ledger.settings set environment = 'production'")
    assert types("production", "--confirm", "production", "--share", "1").code == 0


def test_no_password_reaches_the_output(types: TypesProgram, database: Database) -> None:
    password = database.url.split(":")[2].split("@")[0]
    for words in (
        ("staging", "--yes", "--max-seconds", "0"),
        ("--database-url", database.url, "--yes", "--max-seconds", "0"),
        ("--database-url", database.url, "--yes", "--share", "7"),
    ):
        said = types(*words)
        assert password not in said.out + said.err
