"""Rejected rows: listed, shown, exported, corrected, waived, tried again."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from tests.support.database import Database
from tests.support.review import NOTES, REASONS, STRANGER, USER, rejected, undecided
from tests.support.rollout import projection_is_live
from tests.support.servers import Databases, default_major
from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.operations.review import export, mend, rejects, remaining


@pytest.fixture(scope="module")
def original(databases: Callable[[int], Databases]) -> Iterator[Database]:
    with undecided(databases(default_major())) as database:
        yield database


@pytest.fixture
def database(databases: Callable[[int], Databases], original: Database) -> Iterator[Database]:
    with databases(default_major()).copy(original) as copy:
        yield copy


def visible(database: Database, reason: str) -> int:
    count: int = database.value(
        "select count(*) from ledger.readings where id = %s", (rejected(reason),)
    )
    return count


def test_every_reason_is_counted_and_listed(original: Database) -> None:
    with original.connect() as connection:
        found = rejects.listed(connection)
        counted = {(r.reason, r.open_rows, r.waived_rows) for r in rejects.reasons(connection)}
        assert remaining(connection).rejects == len(REASONS)

    assert counted == {(reason, 1, 0) for reason in REASONS}
    assert {(r.reading_id, r.reason) for r in found} == {(rejected(r), r) for r in REASONS}
    assert all(row.row_text["notes"] == NOTES and row.next_step for row in found)


@pytest.mark.parametrize("reason", REASONS)
def test_a_corrected_row_becomes_an_event(database: Database, reason: str) -> None:
    with database.connect(autocommit=True) as connection:
        done = mend.correct(connection, rejected(reason), REASONS[reason][1])
        assert remaining(connection).rejects == len(REASONS) - 1

    assert done.event_id == rejected(reason)
    assert visible(database, reason) == 1
    assert database.rows("select * from ledger.migration_differences()") == []
    with database.connect() as connection:
        assert projection_is_live(connection)


def test_a_correction_that_does_not_help_is_taken_back(database: Database) -> None:
    row = rejected("kwh_value out of range")
    with database.connect(autocommit=True) as connection:
        with pytest.raises(FindingsError, match="rejected still: kwh_value out of range"):
            mend.correct(connection, row, {"notes": "mended?", "meter_photo_url": None})
        with pytest.raises(FindingsError, match="rejected still: token_cost out of range"):
            mend.correct(connection, row, {"kwh_value": "1", "token_cost": "NaN"})

    kept = database.rows(
        "select kwh_value::text, notes from public.electricity_readings where id = %s", (row,)
    )
    assert kept == [("NaN", NOTES)]
    assert visible(database, "kwh_value out of range") == 0


def test_values_that_the_table_refuses_change_nothing(database: Database) -> None:
    row = rejected("no date")
    with database.connect(autocommit=True) as connection:
        for values in ({"date": "yesterdayish"}, {"kwh_value": "-1"}, {"kwh_value": "1e12"}):
            with pytest.raises(FindingsError, match="nothing was changed"):
                mend.correct(connection, row, values)
        with pytest.raises(UsageError, match="id, nosuch cannot be corrected") as error:
            mend.correct(connection, row, {"id": str(row), "nosuch": "1"})
        assert "kwh_value" in error.value.next_step
        with pytest.raises(UsageError, match="nothing to correct"):
            mend.correct(connection, row, {})


def test_without_the_sync_or_a_time_zone_nothing_is_corrected(database: Database) -> None:
    row, right = rejected("no date"), REASONS["no date"][1]
    off = "alter table public.electricity_readings {} trigger electricity_readings_sync_updates"
    with database.connect(autocommit=True) as connection:
        connection.execute(sql.SQL(off).format(sql.SQL("disable")))
        with pytest.raises(OperationalError, match="sync of updates is missing or switched off"):
            mend.correct(connection, row, right)
        connection.execute(sql.SQL(off).format(sql.SQL("enable")))
        connection.execute("alter table ledger.settings disable trigger user")
        connection.execute("update ledger.settings set time_zone = null")
        with pytest.raises(OperationalError, match="time zone is not confirmed"):
            mend.correct(connection, row, right)


def test_rows_that_a_writer_holds_are_not_waited_for_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.operations.review.turn.LOCK_TIMEOUT", "50ms")
    row, right = rejected("no date"), REASONS["no date"][1]
    with database.connect() as writer, database.connect(autocommit=True) as connection:
        writer.execute("update public.electricity_readings set notes = notes where id = %s", (row,))
        with pytest.raises(OperationalError, match="holds the rows") as error:
            mend.correct(connection, row, right)
        assert "again" in error.value.next_step
        writer.rollback()
        mend.correct(connection, row, right)


def test_a_trigger_of_the_apps_own_has_its_say(database: Database) -> None:
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "create function public.no() returns trigger language plpgsql as"
            " $$ begin raise exception 'closed on sundays'; end; $$;"
            " create trigger no before update on public.electricity_readings"
            " for each row execute function public.no()"
        )
        with pytest.raises(FindingsError, match="nothing was changed: closed on sundays"):
            mend.correct(connection, rejected("no date"), REASONS["no date"][1])


def test_a_correction_in_the_callers_transaction_goes_with_it(database: Database) -> None:
    row, right = rejected("no date"), REASONS["no date"][1]
    with database.connect(autocommit=True) as connection:
        with connection.transaction(force_rollback=True):
            mend.correct(connection, row, right)
        assert remaining(connection).rejects == len(REASONS)


def test_a_waiver_is_on_record_and_can_be_withdrawn(database: Database) -> None:
    row = rejected("no user")
    with database.connect(autocommit=True) as connection:
        assert rejects.waive(connection, "nobody's", reading_ids=[row], decider="ana") == (row,)
        assert rejects.waive(connection, "again", reading_ids=[row]) == ()
        assert remaining(connection).rejects == len(REASONS) - 1
        kept = rejects.find(connection, row)
        assert (kept.waived_by, kept.waived_reason) == ("ana", "nobody's")
        assert kept.waived_at is not None
        assert rejects.withdraw(connection, reading_ids=[row]) == (row,)
        assert remaining(connection).rejects == len(REASONS)

        by_reason = rejects.waive(connection, "why", reason="no profile owns it")
        assert by_reason == (rejected("no profile owns it"),)
        assert rejects.find(connection, by_reason[0]).waived_by == "postgres"


def test_nothing_is_waived_by_accident(database: Database) -> None:
    row = rejected("no user")
    with database.connect(autocommit=True) as connection:
        with pytest.raises(UsageError, match="needs a reason"):
            rejects.waive(connection, "  ", reading_ids=[row])
        with pytest.raises(UsageError, match="nothing was rejected for 'no'"):
            rejects.waive(connection, "x", reason="no")
        with pytest.raises(UsageError, match=f"not rejected: {USER}"):
            rejects.waive(connection, "x", reading_ids=[row, USER])
        for ids, reason in ((None, None), ([row], "no user"), ([], None)):
            with pytest.raises(UsageError):
                rejects.waive(connection, "x", reading_ids=ids, reason=reason)
        assert remaining(connection).rejects == len(REASONS)


def test_a_retry_migrates_what_can_be_and_keeps_what_was_decided(database: Database) -> None:
    orphan, waived = rejected("no profile owns it"), rejected("no date")
    with database.connect(autocommit=True) as connection:
        rejects.waive(connection, "old", reading_ids=[waived], decider="ana")
        connection.execute("insert into auth.users (id) values (%s)", (STRANGER,))
        # What the app wrote twice is absorbed, as the data migration would have done.
        connection.execute(
            "insert into public.token_events"
            " (user_id, event_type, event_date, kwh_amount, created_at)"
            " values (%s, 'METER_READING', '2024-04-02 10:00+13', 50, '2024-04-02 05:00+00')",
            (STRANGER,),
        )
        done = mend.retry(connection)
        assert (done.migrated, done.merged, len(done.still)) == (1, 1, len(REASONS) - 2)
        assert orphan not in {r.reading_id for r in done.still}

        again = mend.retry(connection, [waived])
        assert (again.migrated, [r.waived_by for r in again.still]) == (0, ["ana"])
        with pytest.raises(UsageError, match=f"not rejected: {orphan}"):
            mend.retry(connection, [orphan])
    assert visible(database, "no profile owns it") == 1
    assert database.rows("select * from ledger.migration_differences()") == []
    with database.connect() as connection:
        assert projection_is_live(connection)


def test_a_retry_goes_on_in_batches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mend, "BATCH", 3)
    with database.connect(autocommit=True) as connection:
        connection.execute("insert into auth.users (id) values (%s)", (STRANGER,))
        done = mend.retry(connection)
    assert (done.migrated, len(done.still)) == (1, len(REASONS) - 1)


def test_a_row_that_was_valid_once_is_retried_as_the_sync_does(database: Database) -> None:
    """Its event was made, the row then spoilt: the retry makes a new version, and no second one."""
    row = rejected("no date")
    with database.connect(autocommit=True) as connection:
        mend.correct(connection, row, {"date": "2024-05-01"})
        connection.execute(
            "update public.electricity_readings set date = 'infinity' where id = %s", (row,)
        )
        assert rejects.find(connection, row).reason == "date out of range"
        mend.correct(connection, row, {"date": "2024-05-03"})
    assert visible(database, "no date") == 1
    assert database.rows("select * from ledger.migration_differences()") == []


def test_a_database_without_the_phases_has_nothing_to_decide(
    databases: Callable[[int], Databases],
) -> None:
    server = databases(default_major()).server
    with Database("postgres", server.url(), server.admin_url(), "", 17).connect() as connection:
        assert remaining(connection).nothing


def test_an_export_is_whole_private_and_harmless_in_a_spreadsheet(
    original: Database, tmp_path: Path
) -> None:
    with original.connect() as connection:
        found = rejects.listed(connection)
    rows = [{"id": str(r.reading_id), "row": dict(r.row_text), "=1": "=1+1"} for r in found]
    for name in ("rejects.csv", "rejects.JSON"):
        export.write(tmp_path / name, rows)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600

    assert json.loads((tmp_path / "rejects.JSON").read_text("utf-8")) == rows
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [r["row.notes"] for r in read] == [NOTES] * len(found)
    assert {r["=1"] for r in read} == {"'=1+1"}
    assert {"NaN", "50.00"} <= {r["row.kwh_value"] for r in read}

    with pytest.raises(UsageError, match="is there already"):
        export.write(tmp_path / "rejects.csv", rows)
    export.write(tmp_path / "rejects.csv", rows[:1], replace=True)
    with pytest.raises(UsageError, match="says no format"):
        export.write(tmp_path / "rejects.txt", rows)
    with pytest.raises(OperationalError, match="cannot be written"):
        export.write(tmp_path / "no" / "rejects.csv", rows)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rejects.JSON", "rejects.csv"]
