"""Each check over rows sees the fault that it is for, and names the offending row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from psycopg import sql

from tests.support.database import Database
from tests.support.proven import Fault, proven_copy
from tests.support.servers import Databases, default_major
from toolkit.validation.report import Verdict
from toolkit.validation.run import validate

LACKS = "the projection lacks this row of the events"
INVENTS = "the projection holds what the events do not say"
LOST = "the view does not give this legacy row back"
INVENTED = "the view shows what the legacy table does not hold"
NEITHER = "neither migrated nor rejected"
WITHOUT_ROW = "migrated or rejected, but not in electricity_readings"
BOOKS = ("books_balance", "phases")
# Found by no fault, but by what is still to be done.
PENDING = {"backfill"}
NOTES = {"rejects", "near_matches", "unseen_by_legacy", "negative_consumption"}
TABLES = [
    ("public", "electricity_readings"),
    ("public", "token_events"),
    *(("ledger", name) for name in ("readings", "migrated_readings", "migration_rejects")),
]


def projection(change: str, row: str = "{event_only}") -> str:
    return (
        "update ledger.readings as r set CHANGE from ROW as x"
        " where r.user_id = x.user_id and r.id = x.id returning r.id"
    ).replace("CHANGE", change).replace("ROW", row)  # fmt: skip


def legacy(change: str, returning: str = "id") -> str:
    return (
        "update public.electricity_readings as r set CHANGE from {migrated} as x"
        " where r.id = x.id returning r."
    ).replace("CHANGE", change) + returning


FAULTS = {
    "a balance of the projection is corrupted": Fault(
        projection("kwh_value = r.kwh_value + 0.01"),
        {
            "projection_is_live": LACKS,
            "mv_is_projection": "the projection lacks",
            "reference": r"the reference says [\d.]+ kWh, the projection [\d.]+",
        },
    ),
    "a migrated balance of the projection is corrupted": Fault(
        projection("kwh_value = r.kwh_value + 0.01", "{migrated}"),
        {"lossless": LOST, "projection_is_live": INVENTS, "reference": "the reference says"},
    ),
    "a cost of the projection is altered": Fault(
        projection("token_cost = coalesce(r.token_cost, 0) + 1"),
        {"projection_is_live": LACKS, "mv_is_projection": "the materialized view lacks"},
        only=("projection_is_live", "mv_is_projection"),
    ),
    "a migrated cost of the projection is altered": Fault(
        projection("token_cost = coalesce(r.token_cost, 0) + 1", "{migrated}"),
        {"lossless": INVENTED, "projection_is_live": LACKS},
    ),
    "a note of the projection is altered": Fault(
        projection("notes = coalesce(r.notes, '') || ' '"), {"projection_is_live": INVENTS}
    ),
    "a date of the projection is altered": Fault(
        projection("date = r.date + 1"), {"projection_is_live": LACKS}
    ),
    "a created_at of the projection is altered": Fault(
        projection("created_at = r.created_at + interval '1 microsecond'"),
        {"projection_is_live": LACKS},
    ),
    "a row of the projection is missing": Fault(
        "delete from ledger.readings as r using {event_only} as x"
        " where r.user_id = x.user_id and r.id = x.id returning r.id",
        {
            "projection_is_live": LACKS,
            "mv_is_projection": "the projection lacks",
            "reference": r"the reference says [\d.]+ kWh, the projection None",
        },
    ),
    "the projection has a row too many": Fault(
        "insert into ledger.readings select (jsonb_populate_record(r, jsonb_build_object("
        "'id', gen_random_uuid()))).* from ledger.readings as r limit 1 returning id",
        {"projection_is_live": INVENTS, "mv_is_projection": "the materialized view lacks"},
        only=("projection_is_live", "mv_is_projection"),
    ),
    "a legacy note is changed behind the sync's back": Fault(
        legacy("notes = coalesce(r.notes, '') || '.'"),
        {"lossless": LOST},
        only=("lossless", "phases"),
    ),
    "a legacy balance is changed behind the sync's back": Fault(
        legacy("kwh_value = r.kwh_value + 0.01", "user_id"),
        {"lossless": LOST, "kwh_sums": r"\d+ rows, [\d.]+ kWh"},
    ),
    "a legacy top-up is changed behind the sync's back": Fault(
        "update public.electricity_readings as r set token_amount = r.token_amount + 1"
        " where r.id = (select l.reading_id from ledger.migrated_readings as l"
        " inner join public.electricity_readings as t on t.id = l.reading_id"
        " where not l.superseded and t.token_amount between 0.01 and 1000 limit 1)"
        " returning user_id",
        {"kwh_sums": "kWh bought in the legacy table", "lossless": LOST},
    ),
    "a legacy row moves to another user behind the sync's back": Fault(
        "update public.electricity_readings as r set user_id = (select p.id from"
        " public.user_profiles as p where p.id <> r.user_id order by p.id limit 1)"
        " from {migrated} as x where r.id = x.id returning r.id",
        {"books_balance": NEITHER, "lossless": LOST},
    ),
    "a legacy row is deleted behind the sync's back": Fault(
        "delete from public.electricity_readings as r using {migrated} as x"
        " where r.id = x.id returning r.id",
        {"books_balance": WITHOUT_ROW, "lossless": INVENTED},
    ),
    "a legacy row is inserted behind the sync's back": Fault(
        "insert into public.electricity_readings (user_id, date, kwh_value)"
        " select x.user_id, '2026-02-01', 5 from {migrated} as x returning id",
        {"books_balance": NEITHER, "lossless": LOST},
        only=("books_balance", "lossless", "phases"),
    ),
    "a migrated event is missing, with its projection": Fault(
        "with gone as (delete from public.token_events as e using {migrated} as x"
        " where e.user_id = x.user_id and e.id = x.event_id)"
        " delete from ledger.readings as r using {migrated} as x"
        " where r.user_id = x.user_id and r.id = x.id returning r.id",
        {"books_balance": "its event is missing", "lossless": LOST},
    ),
    "an entry is both migrated and rejected": Fault(
        "insert into ledger.migration_rejects (reading_id, user_id, reason, row_data)"
        " select x.id, x.user_id, 'planted', '{{}}' from {migrated} as x returning reading_id",
        {"books_balance": "both migrated and rejected", "lossless": INVENTED},
    ),
    "a reject is forgotten": Fault(
        "delete from ledger.migration_rejects where reading_id = (select r.id"
        " from public.electricity_readings as r inner join ledger.migration_rejects as x"
        " on x.reading_id = r.id order by 1 limit 1) returning reading_id",
        {"books_balance": NEITHER, "lossless": LOST},
        only=("books_balance", "lossless", "phases"),
    ),
    "a reject of no legacy row": Fault(
        "insert into ledger.migration_rejects (reading_id, reason, row_data)"
        " values (gen_random_uuid(), 'planted', '{{}}') returning reading_id",
        {"books_balance": WITHOUT_ROW},
        only=BOOKS,
    ),
    "a migrated reading is struck off the list": Fault(
        "delete from ledger.migrated_readings as l using {migrated} as x"
        " where l.user_id = x.user_id and l.reading_id = x.id returning l.reading_id",
        {"books_balance": NEITHER, "lossless": LOST},
    ),
    "two events stand for one reading": Fault(
        "insert into ledger.migrated_readings (user_id, reading_id, event_id)"
        " select x.user_id, x.id, e.id from {migrated} as x inner join public.token_events as e"
        " on e.user_id = x.user_id and e.id <> x.event_id and not e.is_voided limit 1"
        " returning reading_id",
        {"books_balance": "2 events stand for it"},
    ),
    "a merged event counts again": Fault(
        "update public.token_events as e set is_voided = false from"
        " (select g.user_id, g.event_id from ledger.merges as g order by 1, 2 limit 1) as g"
        " where e.user_id = g.user_id and e.id = g.event_id;"
        " select ledger.project_everything();"
        " select g.event_id from ledger.merges as g order by g.user_id, g.event_id limit 1",
        {"books_balance": "merged into .*, and counts again beside it"},
        only=BOOKS,
    ),
    "a reading of no known time was dated otherwise": Fault(
        "update public.token_events as e set created_at = e.created_at + interval '1 second'"
        " from ledger.migrated_readings as l, public.electricity_readings as r"
        " where r.created_at is null and l.reading_id = r.id and not l.superseded"
        " and e.user_id = l.user_id and e.id = l.event_id;"
        " select ledger.project_everything();"
        " select r.id from public.electricity_readings as r inner join ledger.migrated_readings"
        " as l on l.reading_id = r.id where r.created_at is null limit 1",
        {"lossless": LOST, "phases": r"\d+ legacy rows do not come back as they were"},
        only=("lossless", "phases"),
    ),
}


@pytest.fixture(scope="module")
def shared(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """A proven database whose rows can be put back as they were."""
    with proven_copy(databases(default_major())) as database:
        with database.admin() as connection:
            connection.execute("create schema kept")
            for schema, name in TABLES:
                keep = sql.SQL("create table {} as table {}")
                connection.execute(
                    keep.format(sql.Identifier("kept", name), sql.Identifier(schema, name))
                )
        yield database


@pytest.fixture
def database(shared: Database) -> Iterator[Database]:
    """For one fault."""
    yield shared
    with shared.admin() as connection:
        connection.execute("set session_replication_role = replica")
        for schema, name in TABLES:
            table, kept = sql.Identifier(schema, name), sql.Identifier("kept", name)
            connection.execute(sql.SQL("delete from {}").format(table))
            connection.execute(sql.SQL("insert into {} table {}").format(table, kept))


def test_quiet_first_with_notes_for_a_person(database: Database) -> None:
    report = validate(database.url)

    assert report.valid
    assert report.differences == 0
    for check in report.checks:
        assert check.verdict is (Verdict.NOTE if check.name in NOTES else Verdict.OK)
        assert bool(check.next_step) is bool(check.findings) is bool(check.count)
        assert len(check.findings) == min(check.count, 5)
    assert report.result("reference").figures["positions"] > 700


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_turns_its_checks_red(database: Database, name: str) -> None:
    with database.admin() as connection:
        spoilt = FAULTS[name].happens(connection)

    FAULTS[name].is_seen(validate(database.url, keep=1000), spoilt)


def test_more_notes_are_still_no_failure(database: Database) -> None:
    with database.admin() as connection:
        connection.execute(
            "insert into public.electricity_readings (user_id, date, kwh_value, token_cost)"
            " select id, '2026-02-02', 5, 'NaN' from public.user_profiles limit 2"
        )
        connection.execute(
            "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
            " select user_id, event_type, event_date, kwh_amount + 0.01 from public.token_events"
            " where event_type = 'METER_READING' and not is_voided and kwh_amount > 1 limit 40"
        )
    before, report = 22, validate(database.url)

    assert report.valid
    assert report.result("rejects").count == before + 2
    assert report.result("near_matches").count > 40
    assert report.result("unseen_by_legacy").count > 40


def test_what_waits_for_the_backfill_is_pending_until_it_has_ended(database: Database) -> None:
    """Inserted behind the sync's back, a row is what the backfill has not moved yet."""
    with database.admin() as connection:
        connection.execute("set session_replication_role = replica")
        FAULTS["a legacy row is inserted behind the sync's back"].happens(connection)
        connection.execute("insert into ledger.migration_runs (kind) values ('undo')")
    waits = validate(database.url)
    with database.admin() as connection:
        connection.execute("delete from ledger.migration_runs where kind = 'undo'")
    ended = validate(database.url)

    assert not waits.valid
    assert (waits.failed, waits.differences) == ((), 0)
    assert [(check.name, check.count) for check in waits.pending] == [("backfill", 1)]
    assert waits.result("backfill").next_step == "backfill pending: meterledger backfill ENV"
    assert ended.pending == ()
    assert {"books_balance", "lossless"} <= {check.name for check in ended.failed}


def test_quiet_again_at_the_end(database: Database) -> None:
    assert validate(database.url).valid
