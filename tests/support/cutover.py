"""Databases that are cut over, and what an app does to the view meanwhile."""

from __future__ import annotations

from uuid import UUID

from tests.support.backfill import Said
from tests.support.database import Database
from tests.support.household import ZONE, plant
from tests.support.rollout import apply
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.operations.cutover import CutoverReport, run_cutover
from toolkit.operations.cutover.report import TOPICS

ALL_TOPICS = tuple(TOPICS)


def rolled_out(
    make_database: MakeDatabase,
    start: StartingPoint = StartingPoint.LEGACY_ONLY,
    *,
    unique_days: bool = False,
) -> tuple[Database, UUID, UUID]:
    """Two users with a household each, migrated."""
    database = make_database(start, unique_days=unique_days)
    user, other = plant(database, start, unique_days=unique_days)
    apply(database, time_zone=ZONE)
    return database, user, other


def cut_over(database: Database, said: Said | None = None) -> CutoverReport:
    """The cutover, everything acknowledged."""
    return run_cutover(database.url, said or Said(), environment="staging", acknowledged=ALL_TOPICS)


def is_view(database: Database) -> bool:
    return bool(database.value("select ledger.is_cut_over()"))
