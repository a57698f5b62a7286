"""Two users, each with something in every table, in databases of both kinds of defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from tests.support.database import Connection, Database
from tests.support.events import (
    READING,
    TOPUP,
    VOID,
    day,
    insert,
    mark_voided,
    record,
    shared_database,
)
from tests.support.servers import Databases, Template
from toolkit.bootstrap import DefaultPrivileges, StartingPoint

ALL, NOTHING = DefaultPrivileges.GRANT_ALL, DefaultPrivileges.GRANT_NOTHING
EDITIONS = {
    "pg17": (17, Template(migrated=True, regime=ALL)),
    "pg17-from-dual-write": (
        17,
        Template(StartingPoint.DUAL_WRITE, migrated=True, time_zone="UTC", regime=ALL),
    ),
    "pg15-from-dual-write-granting-nothing": (
        15,
        Template(StartingPoint.DUAL_WRITE, migrated=True, time_zone="UTC", regime=NOTHING),
    ),
}


@dataclass(frozen=True)
class Household:
    """A user, and the ids of what is in its name."""

    user: UUID
    event: UUID  # a top-up that counts
    voided: UUID
    batch: UUID
    reading: UUID  # in the legacy table
    key: str  # of the event, for the client's retries


@dataclass(frozen=True)
class Street:
    """A database with two households, and ways to ask it."""

    database: Database
    alice: Household
    bob: Household

    def ask(self, household: Household) -> AbstractContextManager[Connection]:
        """A request of a household's user."""
        return self.database.as_user(household.user)


def settle(database: Database) -> Household:
    """A household with its own rows in every table that users can reach."""
    user = database.add_user()
    key = f"retry-{user}"
    batch, reading = uuid4(), uuid4()
    with database.as_user(user) as request:
        record(request, user, READING, 100, day(1), created_by=user)
        event = record(request, user, TOPUP, 50, day(2), created_by=user, idempotency_key=key)
        voided = record(request, user, READING, 7, day(3), created_by=user)
        record(request, user, VOID, 0, day(4), void_of_event=voided, created_by=user)
        mark_voided(request, voided)
        told = {"trigger_type": "EDIT_TOPUP", "affected_events": [], "events_count": 0}
        insert(request, "recalculation_batches", {"id": batch, "user_id": user, **told})
        legacy = {"date": day(5).date(), "kwh_value": 140, "notes": f"of {user}"}
        insert(request, "electricity_readings", {"id": reading, "user_id": user, **legacy})
    return Household(user, event, voided, batch, reading, key)


@pytest.fixture(scope="module", params=EDITIONS)
def street(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Street]:
    """Alice and Bob, who must know nothing of each other."""
    major, template = EDITIONS[request.param]
    for database in shared_database(databases(major), template):
        database.rows("update ledger.settings set time_zone = 'UTC'")
        yield Street(database, settle(database), settle(database))
