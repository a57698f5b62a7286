"""The isolation proof on every edition, and on databases that are not what it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.editions import EDITIONS, Edition, database_of, edition_name
from tests.support.pgbouncer import transaction_pooler
from tests.support.proven import proven
from tests.support.rollout import apply, before
from tests.support.servers import Databases, MakeDatabase, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.connection import connect
from toolkit.errors import NotRolledOutError, OperationalError, UsageError
from toolkit.isolation.access import Access
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import IsolationReport, Kind, Section
from toolkit.isolation.run import prove_inside, prove_isolation

ACCESS = load_access()
STATE = (
    "select (select count(*) from public.token_events), (select count(*) from auth.users),"
    " (select count(*) from public.user_profiles), (select sum(version) from ledger.heads),"
    " (select count(*) from public.recalculation_batches),"
    " (select count(*) from ledger.migrated_readings), (select count(*) from ledger.readings),"
    " (select string_agg(c.relname || c.relacl::text, ',' order by c.oid) from pg_class as c"
    " where c.relnamespace in ('public'::regnamespace, 'ledger'::regnamespace)),"
    " (select count(*) from pg_proc), (select count(*) from pg_namespace"
    " where nspname not like 'pg\\_t%')"
)
SEQUENCES = "select schemaname, sequencename, last_value from pg_sequences order by 1, 2"


def prove(database: Database, access: Access = ACCESS) -> IsolationReport:
    return prove_isolation(database.url, access, advisors=False)


def texts(report: IsolationReport) -> list[str]:
    return [f"{finding.section}: {finding.text}" for finding in report.findings]


@pytest.mark.parametrize("edition", EDITIONS, ids=edition_name)
def test_isolated_on_every_edition(databases: Callable[[int], Databases], edition: Edition) -> None:
    for database in database_of(databases, edition):
        report = prove(database)

        assert texts(report) == []
        assert report.tally.vacuous == report.tally.failed == 0
        assert report.tally.denials > 2000
        assert report.tally.allowed > 300
        assert {row.subject for row in report.matrix} >= {
            "public.token_events",
            "ledger.readings",
            "public.electricity_readings_mv",
            "public.calculate_user_positions(uuid)",
        }


def test_timestamps_and_unique_days_make_no_difference(make_database: MakeDatabase) -> None:
    database = make_database(
        StartingPoint.DUAL_WRITE,
        migrated=True,
        time_zone="Asia/Jakarta",
        date_type="timestamptz",
        unique_days=True,
    )

    assert texts(prove(database)) == []


def test_nothing_is_left_behind(databases: Callable[[int], Databases]) -> None:
    database = proven(databases(default_major()))
    before_it = database.rows(STATE), database.rows(SEQUENCES)

    with connect(database.url, autocommit=True) as listener:
        listener.execute("listen pgrst")
        report = prove(database)
        heard = list(listener.notifies(timeout=0, stop_after=1))

    assert report.isolated
    assert (database.rows(STATE), database.rows(SEQUENCES)) == before_it
    assert heard == []


# A declared view over the materialized view, safe, and a twin that differs in its filter only.

WRAPPER = (
    "create view public.my_readings with (security_barrier = true) as"
    " select * from public.electricity_readings_mv where {};"
    "revoke all on public.my_readings from public, anon, authenticated, service_role;"
    "grant select on public.my_readings to authenticated"
)
DECLARED = """
version = 1
[views."public.my_readings"]
text = "reports of one's own"
owner = "user_id"
owner_rights = "a materialized view has no row level security; the filter is it"
over = "public.electricity_readings_mv"
select = { user = "own" }
"""
OWN = "user_id = (select auth.uid())"


@pytest.fixture
def with_wrapper(tmp_path: Path) -> Access:
    file = tmp_path / "mine.toml"
    file.write_text(DECLARED)
    return load_access(file)


@pytest.mark.parametrize("populated", [True, False], ids=["existing users", "nobody yet"])
@pytest.mark.parametrize(
    ("condition", "leaks"),
    [
        (OWN, False),
        (f"{OWN} or kwh_value > 0", True),
        (f"{OWN} is not false", True),
        ("user_id is not null", True),
    ],
)
def test_the_safe_view_passes_and_its_twin_does_not(
    db: Database,
    databases: Callable[[int], Databases],
    with_wrapper: Access,
    populated: bool,
    condition: str,
    leaks: bool,
) -> None:
    database = proven(databases(default_major())) if populated else db
    with database.connect(autocommit=True) as owner, owner.transaction(force_rollback=True):
        owner.execute(WRAPPER.format(condition).encode())
        found = [f for part in prove_inside(owner, with_wrapper) for f in part.findings]

    if not leaks:
        assert found == []
        return
    assert {finding.subject for finding in found} == {"public.my_readings"}
    assert Kind.LEAK in {finding.kind for finding in found}


def test_without_a_barrier_a_function_in_the_filter_sees_everybody(
    databases: Callable[[int], Databases], with_wrapper: Access
) -> None:
    database = proven(databases(default_major()))
    with database.connect(autocommit=True) as owner, owner.transaction(force_rollback=True):
        owner.execute(WRAPPER.format(OWN).encode())
        owner.execute(b"alter view public.my_readings set (security_barrier = false)")
        parts = prove_inside(owner, with_wrapper)

    seen = [f for part in parts for f in part.findings if part.section is Section.ATTACKS]
    assert "a function of one's own in the filter" in {finding.operation for finding in seen}


# Bad input


def test_a_database_without_the_phases_is_told(make_database: MakeDatabase) -> None:
    with pytest.raises(NotRolledOutError, match="is not rolled out") as caught:
        prove(make_database(StartingPoint.DUAL_WRITE))
    assert "demo --keep" in caught.value.next_step


def test_half_of_the_phases_says_which_are_missing(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY)
    apply(database, before("20261101000300"))

    with pytest.raises(NotRolledOutError, match="only partly rolled out") as caught:
        prove(database)
    assert "without create_materialized_view, install_data" in caught.value.message
    assert "baseline" not in caught.value.message


def test_drift_is_told_by_phase_and_by_object(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True)
    database.rows("drop view public.electricity_readings_v")
    database.rows("alter function ledger.time_zone() rename to zone_of_time")

    report = prove(database)
    found = {(finding.section, finding.kind, finding.subject) for finding in report.findings}

    assert (Section.PHASES, Kind.WEAK, "create_materialized_view") in found
    assert (Section.COVERAGE, Kind.GONE, "public.electricity_readings_v") in found
    assert (Section.COVERAGE, Kind.GONE, "ledger.time_zone()") in found
    assert (Section.COVERAGE, Kind.UNNAMED, "ledger.zone_of_time()") in found


def test_a_role_that_may_not_become_the_others_is_told_the_grant(
    databases: Callable[[int], Databases], make_database: MakeDatabase
) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True)
    with database.admin(autocommit=True) as admin:
        admin.execute("create role stranger login bypassrls password 'stranger'")
        try:
            url = database.url.replace("postgres:", "stranger:").split("@")[1]
            with pytest.raises(OperationalError, match="stranger may not act as anon") as caught:
                prove_isolation(f"postgresql://stranger:stranger@{url}", ACCESS)
            assert "grant anon to stranger" in caught.value.next_step
            admin.execute("grant anon, authenticated, service_role, authenticator to stranger")
            with pytest.raises(OperationalError, match="does not own the ledger") as caught:
                prove_isolation(f"postgresql://stranger:stranger@{url}", ACCESS)
            assert "prove as postgres" in caught.value.next_step
        finally:
            admin.execute("drop role stranger")


def test_users_that_cannot_be_made_up_are_a_finding(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True)
    database.rows(
        "create function public.refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'closed'; end $$"
    )
    database.rows(
        "create trigger refuse before insert on public.user_profiles"
        " for each row execute function public.refuse()"
    )

    report = prove(database)

    assert [
        text for text in texts(report) if "no users can be made up" in text and "closed" in text
    ]
    assert report.tally.probes == 0
    assert not report.isolated


def test_a_connection_lost_on_the_way_leaves_nothing(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True)
    before_it = database.rows(STATE)

    def cut(_: object) -> None:
        database.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'meterledger isolation' and datname = current_database()"
        )

    with pytest.raises(OperationalError, match="the proof stopped"):
        prove_isolation(database.url, ACCESS, on_part=cut, advisors=False)
    assert database.rows(STATE) == before_it


def test_a_lock_that_somebody_holds_is_no_proof_of_anything(make_database: MakeDatabase) -> None:
    """A probe that times out is neither allowed nor denied."""
    database = make_database(StartingPoint.EMPTY, migrated=True)
    with database.connect() as busy:
        busy.execute("lock table ledger.migration_rejects in access exclusive mode")
        report = prove(database)
    assert Kind.UNCLEAR in {finding.kind for finding in report.findings}


def test_a_pooler_in_transaction_mode_makes_no_difference(
    databases: Callable[[int], Databases],
) -> None:
    database = proven(databases(default_major()))
    with transaction_pooler(database) as url:
        report = prove_isolation(url, ACCESS, advisors=False)

        assert texts(report) == []
        with connect(url, prepare=False) as next_one:
            asked = "select current_user::text, current_setting('request.jwt.claims', true)"
            assert next_one.execute(asked.encode()).fetchone() in (
                ("postgres", ""),
                ("postgres", None),
            )


# The declaration


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("version = 2", "version must be 1"),
        ("version = 1\n[table.x]\n", "there is no section table"),
        ('version = 1\n[tables."public.x"]\nselekt = {}', "says selekt, which means nothing"),
        ('version = 1\n[tables."public.x"]\nselect = { user = "some" }', "select user is 'some'"),
        ('version = 1\n[tables."public.x"]\nselect = { usr = "own" }', "who is no identity"),
        ("version = 1\n[tables.x]\n", "must be schema-qualified"),
        ("version = ", "is no TOML"),
    ],
)
def test_a_declaration_with_a_typing_error_is_refused(
    tmp_path: Path, content: str, words: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(content)

    with pytest.raises(UsageError, match=words):
        load_access(file)


def test_a_rule_whose_object_is_gone_is_a_finding(db: Database, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('version = 1\n[tables."public.gone"]\nselect = { user = "own" }\n')

    found = prove(db, load_access(file)).findings

    assert [(f.kind, f.subject) for f in found] == [(Kind.GONE, "public.gone")]
