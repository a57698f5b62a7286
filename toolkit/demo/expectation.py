"""What the migration must make of the generated rows, reckoned in plain Python.

Nothing here asks the database: a migration that pairs wrongly is found by its counts, and by
the pairs of the hard cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from toolkit.demo.model import Event, Fact, Household, Reading, RejectReason


@dataclass(frozen=True)
class Counts:
    """One user's books.

    Attributes:
        legacy_rows: rows of electricity_readings, rejected ones among them.
        rejected: rows that can't become an event.
        merged: events that are voided because they state a migrated row's fact.
        completed: rows whose event was there already: same id, same fact, live.
        event_only: counted events (neither voided nor VOID) that stay beside, unpaired.
    """

    legacy_rows: int = 0
    rejected: int = 0
    merged: int = 0
    completed: int = 0
    event_only: int = 0

    @property
    def migrated(self) -> int:
        """Rows that become an event; the completed ones are among them."""
        return self.legacy_rows - self.rejected

    @property
    def view_rows(self) -> int:
        """Rows of electricity_readings_v after the migration: one a counted event."""
        return self.migrated + self.event_only

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.legacy_rows + other.legacy_rows,
            self.rejected + other.rejected,
            self.merged + other.merged,
            self.completed + other.completed,
            self.event_only + other.event_only,
        )


@dataclass(frozen=True)
class Expectation:
    """What the migration must give for the whole database.

    Attributes:
        counts: the sums over all users.
        by_user: each user's books; users without a legacy row or an event among them.
        rejected: the reason for each rejected reading.
        near_matches: events planted as nearly a reading's fact, which must not be merged.
    """

    counts: Counts
    by_user: Mapping[UUID, Counts]
    rejected: Mapping[UUID, RejectReason]
    near_matches: int

    @property
    def legacy_rows(self) -> int:
        """Rows of electricity_readings."""
        return self.counts.legacy_rows

    @property
    def migrated(self) -> int:
        """Rows that become an event, the completed ones among them."""
        return self.counts.migrated

    @property
    def merged(self) -> int:
        """Events that are merged into a migrated one."""
        return self.counts.merged

    @property
    def completed(self) -> int:
        """Rows whose event was there already."""
        return self.counts.completed

    @property
    def event_only(self) -> int:
        """Counted events that stay beside."""
        return self.counts.event_only

    @property
    def view_rows(self) -> int:
        """Rows of electricity_readings_v after the migration."""
        return self.counts.view_rows


@dataclass(frozen=True)
class Pairing:
    """Which events and readings of one user are the same fact.

    Attributes:
        completed: ids of readings that are an event's id too, both stating one fact.
        merged: event id → id of the reading that it is merged into.
    """

    completed: frozenset[UUID] = frozenset()
    merged: Mapping[UUID, UUID] = field(default_factory=dict)


def pair(household: Household) -> Pairing:
    """Pairs a user's events with their readings, one to one and in order."""
    completed, rows, events = _sides(household)
    merged: dict[UUID, UUID] = {}
    for fact, candidates in events.items():
        survivors = rows.get(fact)
        if survivors is None:
            continue
        candidates.sort(key=lambda event: (event.event_date, event.created_at, event.row.id))
        survivors.sort(key=lambda row: (row.event_date, row.created_at, row.row.id))
        for event, reading in zip(candidates, survivors, strict=False):
            merged[event.id] = reading.id
    return Pairing(frozenset(UUID(id) for id in completed), merged)


def count(household: Household) -> Counts:
    """One user's books, without naming the pairs: fast enough for millions of rows."""
    completed, rows, events = _sides(household)
    merged = sum(min(len(found), len(rows.get(fact, ()))) for fact, found in events.items())
    counted = sum(event.counts for event in household.events)
    return Counts(
        legacy_rows=len(household.readings),
        rejected=sum(reading.rejected is not None for reading in household.readings),
        merged=merged,
        completed=len(completed),
        event_only=counted - merged - len(completed),
    )


class Tally:
    """Adds households up to an Expectation while they stream past."""

    def __init__(self) -> None:
        self._by_user: dict[UUID, Counts] = {}
        self._rejected: dict[UUID, RejectReason] = {}
        self._near_matches = 0

    def add(self, household: Household) -> None:
        """Counts one household in."""
        self._by_user[household.user_id] = count(household)
        self._near_matches += household.near_matches
        for reading in household.readings:
            if reading.rejected is not None:
                self._rejected[reading.id] = reading.rejected

    def expectation(self) -> Expectation:
        """The sums of all that was added so far."""
        return Expectation(
            counts=sum(self._by_user.values(), Counts()),
            by_user=dict(self._by_user),
            rejected=dict(self._rejected),
            near_matches=self._near_matches,
        )


def _sides(
    household: Household,
) -> tuple[set[str], dict[Fact, list[Reading]], dict[Fact, list[Event]]]:
    """Ids paired as they are, then what is left to merge on either side, by fact."""
    by_id = {event.row.id: event.fact for event in household.events if event.fact is not None}
    completed: set[str] = set()
    rows: defaultdict[Fact, list[Reading]] = defaultdict(list)
    for reading in household.readings:
        if reading.fact is None:
            continue
        if by_id.get(reading.row.id) == reading.fact:
            completed.add(reading.row.id)
        else:
            rows[reading.fact].append(reading)
    events: defaultdict[Fact, list[Event]] = defaultdict(list)
    for event in household.events:
        if event.fact is not None and event.row.id not in completed:
            events[event.fact].append(event)
    return completed, rows, events
