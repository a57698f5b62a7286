"""Fixtures of every test: real servers, and databases copied from templates."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import hypothesis
import pytest

from tests.support import memory, skips
from tests.support.containers import engine_answers
from tests.support.database import Database
from tests.support.given import given_databases
from tests.support.servers import (
    MAJORS,
    Databases,
    MakeDatabase,
    NoBinariesError,
    Template,
    binaries_of,
    default_major,
)
from tests.support.source import IMAGE, URL, Kind, source
from toolkit import settings
from toolkit.bootstrap import DateType, DefaultPrivileges, StartingPoint
from toolkit.errors import MeterledgerError
from toolkit.local.server import Server
from toolkit.local.temporary import temporary_server

# A database round trip varies too much for deadlines; in CI a failure must be repeatable.
hypothesis.settings.register_profile(
    "meterledger", deadline=None, derandomize=settings.load().in_ci
)
hypothesis.settings.load_profile("meterledger")


# Whoever starts the tests in the background makes them deaf to Ctrl-C, and the programs that they
# start inherit that; a handler here gives those programs the default back.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before the first temporary file, and before xdist starts its workers.
memory.use(os.environ)


def pytest_configure(config: pytest.Config) -> None:
    """Stop before the first test where the PostgreSQL that was asked for cannot be had."""
    if hasattr(config, "workerinput"):
        return
    try:
        kind = source().kind
    except MeterledgerError as error:
        raise pytest.UsageError(f"{error}; next step: {error.next_step}") from None
    if kind is Kind.GIVEN and config.getoption("numprocesses", None):
        raise pytest.UsageError(f"one server is for one process: with {URL}, run pytest with -n 0")
    if kind is Kind.CONTAINER and not engine_answers():
        raise pytest.UsageError(f"{IMAGE} asks for a container, and no Docker engine answers")


def pytest_report_header() -> str:
    """Say where PostgreSQL comes from."""
    return str(source())


@pytest.fixture(scope="session")
def embedded() -> Iterator[Callable[[int], Server]]:
    """This process's own server of a major version, which is started when first asked for."""
    with ExitStack() as running:
        known: dict[int, Server] = {}

        def of(major: int) -> Server:
            if major not in known:
                try:
                    binaries = binaries_of(major)
                except NoBinariesError as error:
                    pytest.skip(str(error))
                own = temporary_server(binaries=binaries, settings=memory.SETTINGS)
                known[major] = running.enter_context(own)
            return known[major]

        yield of


@pytest.fixture(scope="session")
def databases(embedded: Callable[[int], Server]) -> Iterator[Callable[[int], Databases]]:
    """The databases of a major version: the asked source's, or else an embedded server's."""
    with ExitStack() as running:
        known: dict[int, Databases] = {}

        def of(major: int) -> Databases:
            if major not in known:
                given = source().kind is not Kind.EMBEDDED and major == source().major
                known[major] = (
                    running.enter_context(given_databases(source()))
                    if given
                    else Databases(embedded(major))
                )
            return known[major]

        yield of


@pytest.fixture(scope="session")
def server(embedded: Callable[[int], Server]) -> Server:
    """This process's own server of METERLEDGER_TEST_PG (17 if that is not set), always embedded."""
    return embedded(default_major())


@pytest.fixture(params=MAJORS, ids=lambda number: f"pg{number}")
def major(request: pytest.FixtureRequest) -> int:
    """Runs a test once on each supported version; hand it to make_database(major=...)."""
    return int(request.param)


@pytest.fixture
def make_database(databases: Callable[[int], Databases]) -> Iterator[MakeDatabase]:
    """Make databases for one test; they are dropped when it ends."""
    made: list[tuple[Databases, Database]] = []

    def make(
        starting_point: StartingPoint = StartingPoint.EMPTY,
        *,
        regime: DefaultPrivileges = DefaultPrivileges.GRANT_ALL,
        migrated: bool = False,
        date_type: DateType = "date",
        unique_days: bool = False,
        time_zone: str | None = None,
        major: int | None = None,
    ) -> Database:
        owner = databases(major if major is not None else default_major())
        template = Template(
            starting_point=starting_point,
            regime=regime,
            date_type=date_type,
            unique_days=unique_days,
            migrated=migrated,
            time_zone=time_zone,
        )
        database = owner.make(template)
        made.append((owner, database))
        return database

    yield make
    for owner, database in made:
        owner.drop(database)


@pytest.fixture
def db(make_database: MakeDatabase) -> Database:
    """A migrated database with nothing in it."""
    return make_database(StartingPoint.EMPTY, migrated=True)


_skipped: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count skips; with xdist, the controller sees the reports of all workers."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped[skips.reason_of(report.longrepr)] += 1


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Count modules that skip themselves."""
    if report.skipped:
        _skipped[skips.reason_of(report.longrepr)] += 1


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, a skip that docs/skips.md does not list fails the run."""
    if hasattr(session.config, "workerinput") or session.exitstatus != pytest.ExitCode.OK:
        return
    if settings.load().in_ci and skips.unlisted(_skipped, skips.allowed_reasons()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was skipped and how often."""
    if not _skipped:
        return
    terminalreporter.section("skips")
    for line in skips.summary(_skipped):
        terminalreporter.write_line(line)
    for reason in skips.unlisted(_skipped, skips.allowed_reasons()):
        terminalreporter.write_line(f"not listed in docs/skips.md: {reason}", red=True)
