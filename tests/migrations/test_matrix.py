"""Every starting point, version, grant regime and legacy shape: there, again, back, there again."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.support.catalog import contents, objects
from tests.support.database import Database
from tests.support.household import ZONE, plant
from tests.support.rollout import apply, history, roll_everything_back
from tests.support.servers import MakeDatabase
from toolkit import rollout
from toolkit.bootstrap import DateType, DefaultPrivileges, StartingPoint
from toolkit.errors import FindingsError

ALL_ON, NOTHING = DefaultPrivileges.GRANT_ALL, DefaultPrivileges.GRANT_NOTHING
EMPTY, LEGACY, DUAL = StartingPoint.EMPTY, StartingPoint.LEGACY_ONLY, StartingPoint.DUAL_WRITE


@dataclass(frozen=True)
class Case:
    """A deployment as it may be found."""

    starting_point: StartingPoint
    major: int
    regime: DefaultPrivileges
    date_type: DateType = "date"
    unique_days: bool = False
    by_cli: bool = False

    def __str__(self) -> str:
        words = [self.starting_point.value, f"pg{self.major}", self.regime.value]
        words += [self.date_type] if self.date_type != "date" else []
        words += ["unique days"] if self.unique_days else []
        return " ".join(words + (["by the CLI"] if self.by_cli else []))


CASES = [
    Case(point, major, regime, by_cli=major == 17 and regime is ALL_ON)
    for point in StartingPoint
    for major in (17, 15)
    for regime in (ALL_ON, NOTHING)
] + [
    Case(LEGACY, 17, NOTHING, "timestamptz"),
    Case(LEGACY, 15, ALL_ON, "timestamptz"),
    Case(DUAL, 17, ALL_ON, "timestamptz"),
    Case(DUAL, 15, NOTHING, "timestamptz"),
    Case(LEGACY, 17, ALL_ON, unique_days=True),
    Case(DUAL, 17, NOTHING, unique_days=True),
    Case(DUAL, 15, ALL_ON, "timestamptz", unique_days=True),
]

# What no rollback gives back: narrowing could lose digits, and a null was filled.
WIDENED = {
    "column token_events.kwh_amount numeric(10,2) not null":
        "column token_events.kwh_amount numeric not null",
    "column token_events.token_cost numeric(12,2)":
        "column token_events.token_cost numeric",
    "column token_events.is_voided boolean default false":
        "column token_events.is_voided boolean not null default false",
    "column token_events.created_at timestamp with time zone default now()":
        "column token_events.created_at timestamp with time zone not null default now()",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_phases_apply_repeat_reverse_and_apply_again(
    make_database: MakeDatabase, case: Case
) -> None:
    database = make_database(
        case.starting_point,
        regime=case.regime,
        date_type=case.date_type,
        unique_days=case.unique_days,
        major=case.major,
    )
    plant(database, case.starting_point, unique_days=case.unique_days)
    found_objects, found_rows = objects(database), contents(database)
    versions = [phase.version for phase in rollout.phases()]

    roll_out(database, by_cli=case.by_cli)
    assert history(database) == versions
    holds(database, case, found_rows)
    reached = objects(database)

    apply(database)  # on top of themselves
    holds(database, case, found_rows)
    assert objects(database) == reached
    assert last_run(database)["migrated"] == 0
    if case.by_cli:
        assert rollout.push(database.url).applied == ()

    roll_everything_back(database)
    assert objects(database) == accepted(found_objects)
    assert contents(database) == found_rows
    assert history(database) == []

    roll_out(database, by_cli=False)
    holds(database, case, found_rows)
    assert objects(database) == reached


def roll_out(database: Database, *, by_cli: bool) -> None:
    if by_cli:
        rollout.push(database.url, time_zone=ZONE)
    else:
        apply(database, time_zone=ZONE)


def holds(database: Database, case: Case, found: dict[str, list[str]]) -> None:
    """Every phase verifies, the books balance, and nothing that was there is gone."""
    with database.connect() as connection:
        rollout.verify(connection, rollout.phases())
    assert database.rows("select * from ledger.migration_differences()") == []
    if case.starting_point is EMPTY:
        return
    now = contents(database)
    for table in ("user_profiles", "electricity_readings", "recalculation_batches"):
        assert now[table] == found.get(table, now[table])
    legacy = len(found["electricity_readings"])
    assert database.value("select count(*) from ledger.migrated_readings") == legacy
    own = {LEGACY: 0, DUAL: 2 * 4}[case.starting_point]  # near, other day, namesake, own
    assert database.value("select count(*) from electricity_readings_v") == legacy + own
    merged = {LEGACY: 0, DUAL: 2}[case.starting_point]
    assert database.value("select count(*) from ledger.merges") == merged


def last_run(database: Database) -> dict[str, int]:
    run: dict[str, int] = database.value(
        "select to_jsonb(m) from ledger.migration_runs as m order by run_id desc limit 1"
    )
    return run


def accepted(found: set[str]) -> set[str]:
    return {WIDENED.get(line, line) for line in found}


def test_the_rollback_keeps_tables_that_hold_what_exists_nowhere_else(
    make_database: MakeDatabase,
) -> None:
    database = make_database(EMPTY)
    apply(database, time_zone=ZONE)
    user = database.add_user()
    with database.as_user(user) as request:
        request.execute(
            "insert into token_events (user_id, event_type, event_date, kwh_amount)"
            " values (%s, 'TOPUP', now(), 20)",
            (user,),
        )
    with pytest.raises(FindingsError, match="token_events holds 1 rows that exist nowhere else"):
        roll_everything_back(database)
    assert database.value("select count(*) from token_events") == 1
    assert history(database) == [rollout.phases()[0].version, rollout.phases()[1].version]

    apply(database)
    with database.connect() as connection:
        rollout.verify(connection, rollout.phases())
    with database.as_user(user) as request:
        rows = request.execute("select kwh_value from electricity_readings_v").fetchall()
    assert [str(row[0]) for row in rows] == ["20"]


def test_legacy_rows_written_in_an_empty_start_survive_a_refused_rollback(
    make_database: MakeDatabase,
) -> None:
    database = make_database(EMPTY)
    apply(database, time_zone=ZONE)
    user = database.add_user()
    with database.as_user(user) as request:
        request.execute(
            "insert into electricity_readings (user_id, date, kwh_value)"
            " values (%s, '2024-05-01', 7)",
            (user,),
        )
    with pytest.raises(FindingsError, match="electricity_readings holds 1 rows"):
        roll_everything_back(database)
    assert history(database) == [rollout.phases()[0].version]
    assert database.value("select count(*) from electricity_readings") == 1
    apply(database)
    assert database.value("select count(*) from electricity_readings_v") == 1
