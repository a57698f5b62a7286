"""What the generator makes: rows as PostgreSQL reads them, each with what it states.

Every value of a row is the text that COPY sends (None is NULL), so that one number has one
spelling from the generator to the table. Beside its row a reading or an event carries what
the expectation needs, known to the generator and never read back from the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from toolkit.errors import UsageError

DateType = Literal["date", "timestamptz"]

TOPUP = "TOPUP"
METER_READING = "METER_READING"
ADJUSTMENT = "ADJUSTMENT"
VOID = "VOID"


@dataclass(frozen=True)
class Spec:
    """What to generate; equal specs give equal rows, on any machine and any day.

    Attributes:
        seed: of every random choice.
        rows: legacy rows in all. The hard cases (about 150 rows) are there even when it is less.
        users: users in all. Those of the hard cases (about 25) are there even when it is less.
        time_zone: the app's zone, an IANA name; decides what a day is.
        dual_write: False leaves out token_events and recalculation_batches.
        date_type: the type of electricity_readings.date in that deployment.
    """

    seed: int = 1
    rows: int = 100_000
    users: int = 500
    time_zone: str = "UTC"
    dual_write: bool = True
    date_type: DateType = "date"

    def __post_init__(self) -> None:
        if self.rows < 0 or self.users < 1:
            raise UsageError(
                f"A demo of {self.rows} rows and {self.users} users can't be made.",
                next_step="Ask for zero or more rows and for one or more users.",
            )
        if self.date_type not in ("date", "timestamptz"):
            raise UsageError(
                f"The legacy column date can't be of type {self.date_type}.",
                next_step="Choose date or timestamptz.",
            )
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UsageError(
                f"The time zone {self.time_zone!r} is unknown.",
                next_step="Give an IANA name, for example Asia/Jakarta or UTC.",
            ) from error


class RejectReason(StrEnum):
    """Why a legacy row can't become a valid event. Where several hold, the first one listed."""

    NO_PROFILE = "no profile"
    DATE_INFINITE = "date infinite"
    CREATED_AT_INFINITE = "created_at infinite"
    KWH_VALUE = "kwh_value not finite"
    TOKEN_AMOUNT = "token_amount not finite or out of range"
    TOKEN_COST = "token_cost not finite or out of range"


class Fact(NamedTuple):
    """What a reading or an unvoided event states: on this local day, this kind, this many kWh."""

    day: int  # days since 1970-01-01 in the app's time zone
    kind: str  # TOPUP or METER_READING
    kwh: Decimal


class LoginRow(NamedTuple):
    """A row of auth.users."""

    id: str
    email: str


class ProfileRow(NamedTuple):
    """A row of public.user_profiles."""

    id: str
    display_name: str | None
    role: str
    status: str
    created_at: str
    updated_at: str


class ReadingRow(NamedTuple):
    """A row of public.electricity_readings."""

    id: str
    user_id: str
    date: str
    kwh_value: str
    token_amount: str | None
    token_cost: str | None
    notes: str | None
    meter_photo_url: str | None
    created_at: str | None


class EventRow(NamedTuple):
    """A row of public.token_events, dual-write shape."""

    id: str
    user_id: str
    event_type: str
    event_date: str
    kwh_amount: str
    token_cost: str | None
    notes: str | None
    meter_photo_url: str | None
    is_voided: str | None
    voided_at: str | None
    voided_by: str | None
    voided_reason: str | None
    void_of_event: str | None
    recalc_batch_id: str | None
    created_by: str | None
    metadata: str | None
    created_at: str | None


class BatchRow(NamedTuple):
    """A row of public.recalculation_batches."""

    id: str
    user_id: str
    trigger_type: str
    trigger_event_id: str | None
    affected_events: str
    events_count: str
    can_rollback_until: str
    rolled_back_at: str | None
    rollback_reason: str | None
    created_by: str | None
    created_at: str


class Reading(NamedTuple):
    """A legacy row and what becomes of it. Instants are microseconds since 1970 in UTC."""

    row: ReadingRow
    fact: Fact | None  # None: rejected
    event_date: int  # of the event that it becomes
    created_at: int  # of that event: its own, or event_date where it has none
    rejected: RejectReason | None
    typed_at: int  # when it was written, of which a `date` column keeps the day alone

    @property
    def stated(self) -> Fact:
        """The fact of a valid row.

        Raises:
            ValueError: it is rejected, and so states nothing.
        """
        if self.fact is None:
            raise ValueError(f"reading {self.row.id} is rejected: {self.rejected}")
        return self.fact

    @property
    def id(self) -> UUID:
        """The row's id."""
        return UUID(self.row.id)


class Event(NamedTuple):
    """A dual-written event. Instants are microseconds since 1970 in UTC."""

    row: EventRow
    fact: Fact | None  # None: voided, or neither a top-up nor a reading
    event_date: int
    created_at: int

    @property
    def id(self) -> UUID:
        """The row's id."""
        return UUID(self.row.id)

    @property
    def counts(self) -> bool:
        """Whether it is neither voided nor a VOID event."""
        return self.row.is_voided != "t" and self.row.event_type != VOID


@dataclass
class Household:
    """One user with everything of theirs, in the order of writing."""

    user_id: UUID
    login: LoginRow | None
    profile: ProfileRow | None
    readings: list[Reading] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    batches: list[BatchRow] = field(default_factory=list)
    near_matches: int = 0  # events planted as nearly, not exactly, a reading's fact
