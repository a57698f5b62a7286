"""Faults to plant for the checklist, and databases to plant them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.support.database import Database
from tests.support.household import plant
from tests.support.servers import Databases, Template, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.operations.preflight import CheckItem, Verdict, options

PASS, WARN, FAIL, SKIP = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.SKIP
EMPTY, LEGACY, DUAL = StartingPoint.EMPTY, StartingPoint.LEGACY_ONLY, StartingPoint.DUAL_WRITE
STRANGER = "11111111-1111-4111-8111-111111111111"
OPTIONS = options("staging", time_zone="Asia/Jakarta")


@dataclass(frozen=True)
class Fault:
    """What is planted, as the superuser, and what the item says then.

    Attributes:
        item: its name.
        plant: statements.
        says: a part of the detail.
        undo: statements.
        verdict: of the item with the fault.
        start: the deployment.
        replica: plant and undo without triggers and foreign keys.
    """

    item: str
    plant: str
    says: str
    undo: str
    verdict: Verdict = FAIL
    start: StartingPoint = DUAL
    replica: bool = False


def shared_households(
    databases: Callable[[int], Databases],
) -> Iterator[Callable[..., Database]]:
    """One database of each starting point and version, with two users; faults are undone."""
    made: dict[tuple[int, StartingPoint], Database] = {}

    def household(start: StartingPoint = DUAL, major: int | None = None) -> Database:
        key = (major or default_major(), start)
        if key not in made:
            made[key] = databases(key[0]).make(Template(start))
            plant(made[key], start)
        return made[key]

    yield household
    for (major, _), database in made.items():
        databases(major).drop(database)


def perform(database: Database, statements: str, *, replica: bool = False) -> None:
    """Run statements as the superuser; {db} stands for the database."""
    with database.admin(autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = off")
        connection.execute("set allow_system_table_mods = on")
        connection.execute(
            "select set_config('session_replication_role', %s, false)",
            ("replica" if replica else "origin",),
        )
        connection.execute(statements.replace("{db}", database.name).encode())


def findings(item: CheckItem) -> list[dict[str, object]]:
    """What an item complains of."""
    found = item.figures["findings"]
    assert isinstance(found, list)
    return [f for f in found if f["verdict"] != "pass"]
