"""The isolation proof of a database that is cut over, and of one that was cut back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.database import Database
from tests.support.servers import Databases, Template, default_major
from toolkit.bootstrap import DefaultPrivileges, StartingPoint
from toolkit.isolation.catalog import as_it_stands
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import Kind
from toolkit.isolation.run import prove_inside, prove_isolation
from toolkit.mutation.mutants import mutants
from toolkit.mutation.sample import sample
from toolkit.mutation.score import score

ACCESS = load_access()
CUT_OVER = "select ledger.cut_over('{upserts,functions,policies,realtime}')"
VIEW, ARCHIVE = "public.electricity_readings", "ledger.electricity_readings_archive"
OF_A_PROFILE = "public.electricity_readings(public.user_profiles)"
PLATFORMS = [
    (17, StartingPoint.EMPTY, DefaultPrivileges.GRANT_NOTHING),
    (17, StartingPoint.DUAL_WRITE, DefaultPrivileges.GRANT_ALL),
    (15, StartingPoint.LEGACY_ONLY, DefaultPrivileges.GRANT_ALL),
]
MUTANTS = 30
QUICK = 3  # faults that `make test` plants; the slow lane plants all
# What is done to a database that is cut over; whose finding it is, and of which kind.
FAULTS = {
    "the view runs with its owner's rights": (
        "alter view public.electricity_readings set (security_invoker = false)",
        VIEW,
        Kind.LEAK,
    ),
    "nobody asks whose row is written": (
        "drop trigger electricity_readings_check_rights on public.electricity_readings",
        VIEW,
        Kind.LEAK,
    ),
    "whose row is written is asked as the owner": (
        "alter function ledger.check_reading_rights() security definer",
        VIEW,
        Kind.LEAK,
    ),
    "the view shows more than the projection": (
        "create or replace view public.electricity_readings with (security_invoker = true) as"
        " select r.* from ledger.electricity_readings_archive as r",
        VIEW,
        Kind.WEAK,
    ),
    "a deletion is not recorded": (
        "drop trigger electricity_readings_delete on public.electricity_readings",
        VIEW,
        Kind.LOST,
    ),
    "the archive is open": (
        "grant select on ledger.electricity_readings_archive to authenticated",
        ARCHIVE,
        Kind.LEAK,
    ),
    "a column of the archive is open": (
        "grant update (notes) on ledger.electricity_readings_archive to authenticated",
        ARCHIVE,
        Kind.LEAK,
    ),
    "the archive has no row level security": (
        "alter table ledger.electricity_readings_archive disable row level security",
        ARCHIVE,
        Kind.WEAK,
    ),
    "readings come with the owner's rights": (
        "alter function public.electricity_readings(public.user_profiles) security definer",
        OF_A_PROFILE,
        Kind.WEAK,
    ),
    "readings of a profile are for anybody": (
        "grant execute on function public.electricity_readings(public.user_profiles) to anon",
        OF_A_PROFILE,
        Kind.UNNAMED,
    ),
}


def cut_over(databases: Callable[[int], Databases], platform: int) -> Iterator[Database]:
    major, point, regime = PLATFORMS[platform]
    template = Template(starting_point=point, regime=regime, migrated=True, time_zone="UTC")
    owner = databases(major)
    database = owner.make(template)
    database.rows(CUT_OVER)
    yield database
    owner.drop(database)


@pytest.fixture(scope="module")
def database(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """Nobody changes it for good."""
    assert default_major() in (15, 17)
    yield from cut_over(databases, 1)


def texts(database: Database) -> list[str]:
    report = prove_isolation(database.url, ACCESS, advisors=False)
    assert report.tally.vacuous == report.tally.failed == 0
    assert report.tally.denials > 2000
    subjects = {row.subject for row in report.matrix}
    archived = bool(database.value("select ledger.is_cut_over()"))
    assert ({VIEW, ARCHIVE, OF_A_PROFILE} <= subjects) == archived
    return [f"{finding.section}: {finding.text}" for finding in report.findings]


@pytest.mark.parametrize(
    "platform",
    [
        pytest.param(0, marks=pytest.mark.slow),
        1,
        pytest.param(2, marks=pytest.mark.slow),
    ],
)
def test_isolated_there_and_back(databases: Callable[[int], Databases], platform: int) -> None:
    for database in cut_over(databases, platform):
        assert texts(database) == []
        database.rows("select ledger.cut_back()")
        assert texts(database) == []


@pytest.mark.parametrize(
    "fault",
    [
        fault if number < QUICK else pytest.param(fault, marks=pytest.mark.slow)
        for number, fault in enumerate(FAULTS)
    ],
)
def test_a_fault_of_a_cut_over_database_is_found(database: Database, fault: str) -> None:
    statement, subject, kind = FAULTS[fault]
    with database.connect(autocommit=True) as owner, owner.transaction(force_rollback=True):
        owner.execute(statement.encode())
        parts = prove_inside(owner, ACCESS)
    found = {(finding.subject, finding.kind) for part in parts for finding in part.findings}
    assert (subject, kind) in found


@pytest.mark.slow
def test_every_mutant_of_a_sample_is_killed(database: Database) -> None:
    with database.connect(autocommit=True) as owner:
        access = as_it_stands(owner, ACCESS)
        there = mutants(owner, access)
        of_cutover = [m for m in there if VIEW + " " in f"{m.name} " or ARCHIVE in m.name]
        assert of_cutover
        chosen = sample(of_cutover, count=min(MUTANTS, len(of_cutover)), seed=7)
        result = score(owner, access, prove_inside, chosen)
    assert [outcome.mutant.name for outcome in result.survivors] == []
    assert result.killed == len(chosen)


def test_the_table_is_declared_before_and_the_view_after() -> None:
    assert ACCESS.rules[VIEW].kind == "table"
    after = ACCESS.after_cutover()
    assert after.rules[VIEW].kind == "view"
    assert set(after.rules) == set(ACCESS.rules) | set(ACCESS.cut_over)
