"""Writes one household's rows: the two apps, old and new, as they wrote in the field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import TypedDict, Unpack
from uuid import UUID

from toolkit.demo.clock import DAY, SECOND, Clock
from toolkit.demo.model import (
    METER_READING,
    TOPUP,
    VOID,
    BatchRow,
    DateType,
    Event,
    EventRow,
    Fact,
    Household,
    LoginRow,
    ProfileRow,
    Reading,
    ReadingRow,
    RejectReason,
    Spec,
)

AUTO = -1  # created_at: a moment after the instant, as an app that writes at once leaves it


@dataclass(frozen=True)
class Raw:
    """Texts of a legacy row that no instant can say, such as infinity."""

    date: str | None = None
    created_at: str | None = None


@dataclass(frozen=True)
class Voided:
    """How an event was voided: when, why, and whether the VOID event got written as well."""

    at: int
    reason: str | None = "entered by mistake"
    with_event: bool = True


@dataclass(frozen=True)
class Extra:
    """The columns of an event that few events differ in."""

    is_voided: str | None = "f"  # the dual-write column allows NULL, which counts as false
    anonymous: bool = False  # created_by is NULL
    metadata: str | None = None
    batch: str | None = None
    void_of: str | None = None


PLAIN = Extra()


class ReadingOptions(TypedDict, total=False):
    """Columns of a legacy row that may be left out, and why it is rejected, if it is."""

    token: str | None
    cost: str | None
    notes: str | None
    photo: str | None
    created: int | None
    id: str
    rejected: RejectReason
    raw: Raw


class EventOptions(TypedDict, total=False):
    """Columns of an event that may be left out."""

    cost: str | None
    notes: str | None
    photo: str | None
    created: int | None
    id: str
    voided: Voided
    extra: Extra


class Scribe:
    """Adds readings, events and batches to one household.

    The random choices depend on the seed and the household's name alone, so that a hard case
    has the same ids whatever else is generated.
    """

    def __init__(self, spec: Spec, clock: Clock, name: str) -> None:
        self.clock = clock
        self.rng = Random(f"{spec.seed}/{name}")
        self._date_type: DateType = spec.date_type
        self._user = self.new_id()
        self.household = Household(UUID(self._user), None, None)

    @property
    def user_id(self) -> UUID:
        """The household's user."""
        return self.household.user_id

    def new_id(self) -> str:
        """A version 4 uuid, as text."""
        bits = self.rng.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | (0x4 << 76 | 0x2 << 62)
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def login(self) -> None:
        """Gives the user a row in auth.users, and nothing else."""
        self.household.login = LoginRow(self._user, f"{self._user}@example.test")

    def profile(
        self, name: str | None, created: int, *, role: str = "user", status: str = "active"
    ) -> None:
        """Gives the user a login and a profile."""
        self.login()
        made = self.clock.text(created)
        self.household.profile = ProfileRow(self._user, name, role, status, made, made)

    def reading(self, instant: int, kwh: str, **given: Unpack[ReadingOptions]) -> Reading:
        """Adds a legacy row typed at that instant; `kwh` is the balance after it."""
        clock = self.clock
        day = clock.local_day(instant)
        typed = self._date_type == "timestamptz"
        event_date = instant if typed else clock.midnight(day)
        created = given.get("created", AUTO)
        if created == AUTO:
            created = instant + self._moment()
        date = clock.text(instant) if typed else clock.day_text(day)
        created_at = None if created is None else clock.text(created)
        raw, token, rejected = given.get("raw"), given.get("token"), given.get("rejected")
        if raw is not None:
            date, created_at = raw.date or date, raw.created_at or created_at
        row = ReadingRow(
            given.get("id") or self.new_id(),
            self._user,
            date,
            kwh,
            token,
            given.get("cost"),
            given.get("notes"),
            given.get("photo"),
            created_at,
        )
        fact = _fact(day, kwh, token) if rejected is None else None
        order = event_date if created is None else created
        made = Reading(row, fact, event_date, order, rejected, instant)
        self.household.readings.append(made)
        return made

    def event(self, kind: str, instant: int, kwh: str, **given: Unpack[EventOptions]) -> Event:
        """Adds an event and, where it is voided with one, its VOID event."""
        clock, user = self.clock, self._user
        created = given.get("created", AUTO)
        if created == AUTO:
            created = instant + self._moment()
        voided, extra = given.get("voided"), given.get("extra", PLAIN)
        row = EventRow(
            given.get("id") or self.new_id(),
            user,
            kind,
            clock.text(instant),
            kwh,
            given.get("cost"),
            given.get("notes"),
            given.get("photo"),
            extra.is_voided if voided is None else "t",
            None if voided is None else clock.text(voided.at),
            None if voided is None else user,
            None if voided is None else voided.reason,
            extra.void_of,
            extra.batch,
            None if extra.anonymous else user,
            extra.metadata,
            None if created is None else clock.text(created),
        )
        states = row.is_voided != "t" and kind in (TOPUP, METER_READING)
        fact = Fact(clock.local_day(instant), kind, Decimal(kwh)) if states else None
        made = Event(row, fact, instant, instant if created is None else created)
        self.household.events.append(made)
        if voided is not None and voided.with_event:
            self._void(row, voided)
        return made

    def twin(self, reading: Reading, *, shift: int = 0, **given: Unpack[EventOptions]) -> Event:
        """Adds the event that states a legacy row's fact, `shift` microseconds after it.

        Cost, notes and photo are the row's; whatever else is given is the event's own.
        """
        row, fact = reading.row, reading.stated
        if "created" not in given:
            written = reading.created_at if row.created_at else reading.typed_at
            given["created"] = written + self._moment()
        given["cost"], given["notes"], given["photo"] = (
            row.token_cost,
            row.notes,
            row.meter_photo_url,
        )
        kwh = row.token_amount or "0" if fact.kind == TOPUP else row.kwh_value
        return self.event(fact.kind, reading.typed_at + shift, kwh, **given)

    def batch(self, trigger: str, affected: list[Event], at: int, until: int | None = None) -> str:
        """Adds a batch over those events, the first of which caused it; returns its id.

        It can be rolled back until that instant, or for a day.
        """
        changes = [
            {
                "event_id": event.row.id,
                "event_type": event.row.event_type,
                "event_date": event.row.event_date,
                "old_kwh": event.row.kwh_amount,
                "new_kwh": event.row.kwh_amount,
            }
            for event in affected
        ]
        row = BatchRow(
            self.new_id(),
            self._user,
            trigger,
            affected[0].row.id,
            json.dumps(changes),
            str(len(changes)),
            self.clock.text(at + DAY if until is None else until),
            None,
            None,
            self._user,
            self.clock.text(at),
        )
        self.household.batches.append(row)
        return row.id

    def _void(self, target: EventRow, voided: Voided) -> None:
        """The VOID event, dated when the voiding happened."""
        self.event(
            VOID,
            voided.at,
            "0",
            created=voided.at,
            extra=Extra(void_of=target.id, metadata=json.dumps({"reason": voided.reason})),
        )

    def _moment(self) -> int:
        """How long a write takes to reach the table: up to three seconds."""
        return int(self.rng.random() * 3 * SECOND)


def _fact(day: int, kwh: str, token: str | None) -> Fact:
    bought = None if token is None else Decimal(token)
    if bought is not None and bought > 0:
        return Fact(day, TOPUP, bought)
    return Fact(day, METER_READING, Decimal(kwh))
