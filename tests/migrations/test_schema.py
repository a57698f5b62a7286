"""The schema that the migrations reach is the one that is committed, from wherever they start."""

from __future__ import annotations

import re

import pytest

from tests.support.database import Database
from tests.support.household import ZONE
from tests.support.rollout import apply
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import DefaultPrivileges, StartingPoint
from toolkit.local.binaries import find_binaries
from tools.dump_schema import COMMITTED, HEADER, MAJOR, dump, statements

DEFAULTS = r"ALTER DEFAULT PRIVILEGES .*"  # the platform's, not ours
TABLES = r"public\.(user_profiles|electricity_readings)"
PROFILE_TRIGGER = r"public\.(create_user_profile|handle_new_user)\(\)"

# A found table keeps what the app gave it. By kind of statement, beside its reason.
KEPT_OF_A_LEGACY_APP = (
    rf"CREATE POLICY .* ON {TABLES} .*",  # the app's own policies
    rf"(GRANT|REVOKE) .* ON TABLE {TABLES} .*",  # and grants
    rf"COMMENT ON TABLE {TABLES} .*",  # and words
    rf"(CREATE|COMMENT ON|REVOKE ALL ON|GRANT ALL ON) FUNCTION {PROFILE_TRIGGER}.*",  # sign-up
    r"CREATE INDEX electricity_readings_(user_date|user_id_date_idx) .*",  # one index, two names
    DEFAULTS,
)
KEPT_OF_A_DUAL_WRITE_APP = (
    *KEPT_OF_A_LEGACY_APP,
    r"CREATE INDEX token_events_(event_type|recalc_batch_id|void_of_event)_idx .*",
    r"CREATE INDEX token_events_user_id_(active|event_date)_idx .*",
    r"CREATE INDEX recalculation_batches_user_id_created_at_idx .*",
)
# Its own check of the types, beside ours under another name.
KEPT_CHECK = re.compile(r",\n    CONSTRAINT token_events_event_type_check CHECK \([^\n]*\)(?=,?\n)")
# What follows the type of the legacy column.
DATED = (
    r"CREATE TABLE (public\.electricity_readings|ledger\.readings) .*",
    r"CREATE FUNCTION ledger\.reading_date\(.*",
    r"CREATE VIEW ledger\.mapped_readings .*",
)


def test_the_committed_schema_is_what_the_migrations_make(make_database: MakeDatabase) -> None:
    """If this fails: python -m tools.dump_schema, look at the diff, commit it."""
    database = make_database(StartingPoint.EMPTY, migrated=True, major=MAJOR)
    assert HEADER + dump_of(database) == COMMITTED.read_text("utf-8")


@pytest.mark.parametrize(
    ("starting_point", "regime", "major", "kept"),
    [
        (StartingPoint.EMPTY, DefaultPrivileges.GRANT_NOTHING, 17, (DEFAULTS,)),
        (StartingPoint.EMPTY, DefaultPrivileges.GRANT_ALL, 15, (DEFAULTS,)),
        (StartingPoint.LEGACY_ONLY, DefaultPrivileges.GRANT_ALL, 17, KEPT_OF_A_LEGACY_APP),
        (StartingPoint.LEGACY_ONLY, DefaultPrivileges.GRANT_NOTHING, 17, KEPT_OF_A_LEGACY_APP),
        (StartingPoint.DUAL_WRITE, DefaultPrivileges.GRANT_ALL, 17, KEPT_OF_A_DUAL_WRITE_APP),
        (StartingPoint.DUAL_WRITE, DefaultPrivileges.GRANT_NOTHING, 17, KEPT_OF_A_DUAL_WRITE_APP),
    ],
)
def test_every_starting_point_reaches_it_but_for_what_the_app_keeps(
    make_database: MakeDatabase,
    starting_point: StartingPoint,
    regime: DefaultPrivileges,
    major: int,
    kept: tuple[str, ...],
) -> None:
    database = make_database(starting_point, regime=regime, major=major)
    apply(database, time_zone=ZONE)
    assert differences(database, kept) == []


def test_a_legacy_table_of_instants_changes_the_dates_alone(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY, date_type="timestamptz")
    apply(database, time_zone=ZONE)
    assert differences(database, (*KEPT_OF_A_LEGACY_APP, *DATED)) == []


def differences(database: Database, kept: tuple[str, ...]) -> list[str]:
    committed = {plain(statement) for statement in statements(COMMITTED.read_text("utf-8"))}
    found = {plain(KEPT_CHECK.sub("", statement)) for statement in statements(dump_of(database))}
    return sorted(
        statement
        for statement in committed ^ found
        if not any(re.fullmatch(pattern, statement, re.S) for pattern in kept)
    )


def plain(statement: str) -> str:
    """PostgreSQL 15 says r.id where 17 says id, in views that read one table."""
    if re.match(r"CREATE (MATERIALIZED )?VIEW", statement):
        return re.sub(r"\b[a-z]\.(?=[a-z_]+\b)", "", statement)
    return statement


def dump_of(database: Database) -> str:
    return dump(database.url, find_binaries(major=MAJOR))
