"""What a status says; plain values, and what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from toolkit.operations.status.work import Audit, Work
from toolkit.rollout.standing import Data, data_of


class State(StrEnum):
    """How far the rollout is, in its order."""

    NOTHING = "nothing"
    EXPAND = "expand"
    SYNC = "sync"
    BACKFILL = "backfill"
    VALIDATED = "validated"
    CUTOVER = "cutover"
    CONTRACT = "contract"


@dataclass(frozen=True)
class Count:
    """How many rows, and whether they were counted or only estimated."""

    rows: int
    exact: bool

    def __str__(self) -> str:
        return f"{self.rows:,}" if self.exact else f"~{self.rows:,}"


@dataclass(frozen=True)
class Objects:
    """What of the rollout is in the catalog; see status_objects.sql."""

    ledger: bool
    legacy: bool
    legacy_kind: str | None
    events: bool
    batches: bool
    settings: bool
    deployments: bool
    projection: bool
    refresh_log: bool
    runs: bool
    migrated: bool
    rejects: bool
    near_matches: bool
    decisions: bool
    receipts: bool
    unsettled: bool
    history: bool
    sync: bool
    archive: str | None
    cutovers: bool
    work: bool
    clock: datetime
    server_version: str
    replica: bool


@dataclass(frozen=True)
class Relation:
    """How large a table or view is; bytes with its indexes, rows by the statistics."""

    name: str
    kind: str
    estimated_rows: int
    heap_bytes: int
    total_bytes: int
    populated: bool | None


@dataclass(frozen=True)
class Deployment:
    """A phase file that was applied; and when it was taken back, if it was."""

    version: str
    name: str
    checksum: str
    deployed_by: str
    deployed_at: datetime
    rolled_back_at: datetime | None = None


@dataclass(frozen=True)
class Run:
    """A run of the data migration, or of its undoing; rows."""

    run_id: int
    kind: str
    started_at: datetime
    finished_at: datetime | None
    started_by: str
    legacy_rows: int | None
    migrated: int
    completed: int
    merged: int
    rejected: int


@dataclass(frozen=True)
class Cutover:
    """The cutover that stands, and when its archived table was emptied."""

    cutover_id: int
    cut_over_at: datetime
    cut_over_by: str
    acknowledged: tuple[str, ...]
    contracted_at: datetime | None
    contracted_by: str | None


@dataclass(frozen=True)
class ReceiptNote:
    """What a receipt says; its signature was not checked."""

    environment: str
    made_at: datetime
    made_by: str
    valid: bool
    isolated: bool
    differences: int | None
    git_commit: str
    pending: bool = False

    @property
    def green(self) -> bool:
        """Whether everything that was proven held."""
        return self.valid and self.isolated

    @property
    def says(self) -> str:
        """Green, red, or that the data had not been moved yet."""
        if self.green:
            return "green"
        return "backfill pending" if self.pending and not self.differences else "red"


@dataclass(frozen=True)
class Refresh:
    """One refresh of the materialized view; the differences are what an audit after it found."""

    started_at: datetime
    finished_at: datetime | None
    outcome: str
    trigger_source: str
    mv_rows: int | None
    seconds: float | None
    differences: int | None


@dataclass(frozen=True)
class EventCount:
    """Events of one type."""

    event_type: str
    active: int
    voided: int

    @property
    def total(self) -> int:
        """Active and voided."""
        return self.active + self.voided


@dataclass(frozen=True)
class Events:
    """Events by type, and by the day on which they were recorded, in the app's time zone."""

    by_type: tuple[EventCount, ...] = ()
    by_day: Mapping[date, int] = field(default_factory=dict)
    exact: bool = True


@dataclass(frozen=True)
class Batches:
    """Recalculations of one day and trigger type, and how many events they changed."""

    recorded_on: date
    trigger_type: str
    batches: int
    events: int


@dataclass(frozen=True)
class Lock:
    """Who holds (granted) or awaits one of our advisory locks."""

    name: str
    pid: int
    granted: bool
    role_name: str
    application: str
    since: datetime | None


@dataclass(frozen=True)
class Status:
    """Everything, as of one snapshot.

    Attributes:
        environment: as the operator named it; `recorded`: as the database does.
        database: user@host:port/name, without secrets.
        pending: legacy rows that are neither migrated nor rejected.
        applied: phase files in the CLI's history; `missing`: those that are not.
        taken_at: by the database's clock, as everything else.
        refreshes, scheduled_audits, deployments, runs, receipts: the newest ones, newest first.
        rolled_back_at: when phases were taken back, if nothing was deployed since.
        set_aside: entries that a rollback set aside, no migration applied again and nobody settled.
        near_matches: None where they were not counted, being many rows to join.
        notes: what could not be read, and why.
    """

    environment: str
    database: str
    taken_at: datetime
    exact: bool
    days: int
    objects: Objects
    recorded: str | None = None
    time_zone: str | None = None
    cutover: Cutover | None = None
    pending: Count | None = None
    legacy_rows: Count | None = None
    applied: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    rolled_back_at: datetime | None = None
    deployments: tuple[Deployment, ...] = ()
    runs: tuple[Run, ...] = ()
    receipts: tuple[ReceiptNote, ...] = ()
    relations: tuple[Relation, ...] = ()
    refreshes: tuple[Refresh, ...] = ()
    work: Work | None = None
    scheduled_audits: tuple[Audit, ...] = ()
    events: Events | None = None
    batches: tuple[Batches, ...] = ()
    batches_exact: bool = True
    rejects_open: int | None = None
    rejects_waived: int | None = None
    near_matches: int | None = None
    set_aside: int | None = None
    locks: tuple[Lock, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> Data:
        """Whether the legacy rows were moved, by the newest runs."""
        return data_of((run.kind, run.finished_at) for run in self.runs)

    @property
    def refreshed(self) -> tuple[Refresh, ...]:
        """Refreshes that did refresh, newest first."""
        return tuple(
            r for r in self.refreshes if r.outcome == "refreshed" and r.seconds is not None
        )

    @property
    def durations(self) -> tuple[float, ...]:
        """Seconds of the refreshes, newest first."""
        return tuple(r.seconds for r in self.refreshed if r.seconds is not None)

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How the refreshes ended."""
        return Counter(r.outcome for r in self.refreshes)

    @property
    def audits(self) -> tuple[tuple[datetime, int], ...]:
        """When the projection was audited and how many differences there were, newest first."""
        found = [(r.started_at, r.differences) for r in self.refreshes if r.differences is not None]
        found += [(a.at, a.differences) for a in self.scheduled_audits]
        found += [(r.made_at, r.differences) for r in self.receipts if r.differences is not None]
        return tuple(sorted(found, reverse=True))
