"""The migrated databases that the catalog is read in: versions, starting points, defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.support.database import Database
from tests.support.events import shared_database
from tests.support.servers import Databases, Template
from toolkit.bootstrap import DefaultPrivileges, StartingPoint

Edition = tuple[int, StartingPoint, DefaultPrivileges]
ALL, NOTHING = DefaultPrivileges.GRANT_ALL, DefaultPrivileges.GRANT_NOTHING
EDITIONS = [
    (17, StartingPoint.EMPTY, ALL),
    (17, StartingPoint.EMPTY, NOTHING),
    (17, StartingPoint.LEGACY_ONLY, ALL),
    (17, StartingPoint.DUAL_WRITE, ALL),
    (15, StartingPoint.EMPTY, ALL),
    (15, StartingPoint.DUAL_WRITE, NOTHING),
]


def edition_name(edition: Edition) -> str:
    """What a test run calls an edition."""
    return f"pg{edition[0]}-{edition[1].value}-{edition[2].value}"


def database_of(databases: Callable[[int], Databases], edition: Edition) -> Iterator[Database]:
    """An edition's database, for all tests of a module."""
    major, point, regime = edition
    # A zone where the isolation tests want one: they share the template, which takes seconds.
    zone = "UTC" if point is StartingPoint.DUAL_WRITE else None
    template = Template(starting_point=point, regime=regime, migrated=True, time_zone=zone)
    yield from shared_database(databases(major), template)
