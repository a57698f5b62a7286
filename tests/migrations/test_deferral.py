"""A deferred backfill: phase 4 installs its functions, the data comes in batches, resumably."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from tests.support.database import Database
from tests.support.household import ZONE, plant
from tests.support.rollout import DATA_PHASE, apply, before
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.rollout import phases, push, verify


def test_the_custom_setting_reaches_phase_4_through_the_cli(make_database: MakeDatabase) -> None:
    database, users = planted(make_database)
    report = push(database.url, time_zone=ZONE, defer_backfill=True)
    assert len(report.applied) == len(phases())
    assert database.value("select time_zone from ledger.settings") == ZONE
    deferred(database)
    in_batches(database, users)


def test_a_row_in_the_settings_defers_as_well(make_database: MakeDatabase) -> None:
    """For poolers that drop start-up options."""
    database, users = planted(make_database)
    apply(database, before(DATA_PHASE), time_zone=ZONE)
    database.rows("update ledger.settings set defer_backfill = true")
    apply(database)
    deferred(database)
    in_batches(database, users)


def test_it_defers_without_a_zone_and_asks_for_one_before_the_data_moves(
    make_database: MakeDatabase,
) -> None:
    database, users = planted(make_database)
    apply(database, defer_backfill=True)
    deferred(database)
    with pytest.raises(psycopg.Error, match="time zone is not confirmed") as stopped:
        database.rows("select ledger.start_migration()")
    assert stopped.value.sqlstate == "ML002"
    assert str(stopped.value.diag.message_detail).startswith("Next: ")
    database.rows("update ledger.settings set time_zone = %s", (ZONE,))
    in_batches(database, users)


def test_a_run_that_was_cut_off_is_resumed_by_another(make_database: MakeDatabase) -> None:
    database, users = planted(make_database)
    apply(database, time_zone=ZONE, defer_backfill=True)
    first = database.value("select ledger.start_migration()")
    database.rows("select ledger.migrate_users(%s, %s)", (first, users[:1]))
    database.rows("select ledger.migrate_users(%s, %s)", (first, users[:1]))  # moves nothing
    half = database.value("select migrated from ledger.migration_runs")
    assert half == 8

    with pytest.raises(psycopg.Error, match="8 readings do not come back") as stopped:
        database.rows("select ledger.finish_migration(%s)", (first,))
    assert stopped.value.sqlstate == "ML004"
    assert database.value("select finished_at from ledger.migration_runs") is None

    run = database.value("select ledger.migrate_data()")
    assert run["migrated"] == 8
    assert run["finished_at"] is not None
    with database.connect() as connection:
        verify(connection, phases())
    assert database.value("select ledger.migrate_data() ->> 'migrated'") == "0"


def test_a_run_keeps_who_when_how_many_and_under_which_settings(
    make_database: MakeDatabase,
) -> None:
    database, _ = planted(make_database)
    apply(database, time_zone=ZONE)
    run = database.value("select to_jsonb(m) from ledger.migration_runs as m")
    assert (run["kind"], run["started_by"]) == ("migrate", "postgres")
    assert run["started_at"] <= run["finished_at"]
    counts = {"legacy_rows": 16, "migrated": 16, "completed": 2, "merged": 2, "rejected": 0}
    assert {name: run[name] for name in counts} == counts
    assert run["settings"]["time_zone"] == ZONE
    assert set(run["seconds"]) >= {"insert", "validation", "total"}


def planted(make_database: MakeDatabase) -> tuple[Database, list[UUID]]:
    database = make_database(StartingPoint.DUAL_WRITE)
    return database, plant(database, StartingPoint.DUAL_WRITE)


def deferred(database: Database) -> None:
    """Everything is installed, nothing has moved, and every phase verifies."""
    assert database.value("select count(*) from ledger.migrated_readings") == 0
    assert database.value("select count(*) from ledger.pending_readings") == 16
    assert database.value("select count(*) from token_events where is_voided") == 2
    with database.connect() as connection:
        verify(connection, phases())


def in_batches(database: Database, users: list[UUID]) -> None:
    """As the toolkit does it: each batch a transaction of its own."""
    run = database.value("select ledger.start_migration()")
    moved = [database.value("select ledger.migrate_users(%s, %s)", (run, [user])) for user in users]
    assert [counts["migrated"] for counts in moved] == [8, 8]
    done = database.value("select ledger.finish_migration(%s)", (run,))
    assert (done["legacy_rows"], done["migrated"], done["merged"]) == (16, 16, 2)
    with database.connect() as connection:
        verify(connection, phases())
