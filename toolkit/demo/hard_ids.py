"""Hard cases of ids: events that already sit on the id of a legacy row."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from toolkit.demo.clock import DAY, HOUR, MINUTE
from toolkit.demo.hard_matching import JOINED, Pair, pair_of
from toolkit.demo.model import ADJUSTMENT, METER_READING, TOPUP, VOID, Reading
from toolkit.demo.scribe import Extra, Scribe, Voided


@dataclass(frozen=True)
class SameId:
    """Events that carry the id of one of their own user's legacy rows.

    Attributes:
        identical: the same live fact, every field alike.
        differing: the same live fact; notes, created_at and the time of day differ.
        with_twin: the same live fact; `twin`, a second event of that fact, stays live.
        with_second_row: the same live fact; a second row of that fact takes `second_row`.
        voided: the same fact, voided.
        voided_with_twin: the same fact, voided; another event of it is merged (`voided_twin`).
        other_day, other_amount, other_kind, adjustment: a live event of another fact.
        elsewhere: a live event of another fact, merged into another row (`elsewhere_pair`).
        void_event: a VOID event.
    """

    user: UUID
    identical: UUID
    differing: UUID
    with_twin: UUID
    twin: UUID
    with_second_row: UUID
    second_row: Pair
    voided: UUID
    voided_with_twin: UUID
    voided_twin: Pair
    other_day: UUID
    other_amount: UUID
    other_kind: UUID
    adjustment: UUID
    elsewhere: UUID
    elsewhere_pair: Pair
    void_event: UUID

    @property
    def completed(self) -> tuple[UUID, ...]:
        """Ids under which a live event states the row's own fact."""
        return (self.identical, self.differing, self.with_twin, self.with_second_row)

    @property
    def other_fact(self) -> tuple[UUID, ...]:
        """Ids under which a counted event that isn't merged states another fact."""
        return (self.other_day, self.other_amount, self.other_kind, self.adjustment)


@dataclass(frozen=True)
class SharedIds:
    """Legacy rows of `user` whose ids are events' ids of `other_user`: no tie between them."""

    user: UUID
    other_user: UUID
    other_fact: UUID
    same_fact: UUID


def same_id(scribe: Scribe) -> SameId:
    """Every way in which an event can already sit on a legacy row's id."""
    scribe.profile("Same id", scribe.clock.at(*JOINED))
    rows = [_weekly(scribe, week) for week in range(12)]
    ids = [row.row.id for row in rows]
    _same_facts(scribe, rows[:4])
    twin = scribe.twin(rows[2], shift=-HOUR)
    second = scribe.reading(rows[3].typed_at - HOUR, rows[3].row.kwh_value)
    second_event = scribe.twin(rows[3], shift=HOUR)
    scribe.twin(rows[4], id=ids[4], voided=Voided(rows[4].typed_at + DAY))
    scribe.twin(rows[5], id=ids[5], voided=Voided(rows[5].typed_at + DAY, with_event=False))
    voided_twin = scribe.twin(rows[5], shift=MINUTE)
    _other_facts(scribe, rows[6:10])
    target = scribe.reading(rows[10].typed_at + 2 * DAY, "44.44")
    elsewhere = scribe.twin(target, id=ids[10])
    _void_event(scribe, rows[11])
    uuids = [row.id for row in rows]
    return SameId(
        user=scribe.user_id,
        identical=uuids[0],
        differing=uuids[1],
        with_twin=uuids[2],
        twin=twin.id,
        with_second_row=uuids[3],
        second_row=pair_of(second_event, second),
        voided=uuids[4],
        voided_with_twin=uuids[5],
        voided_twin=pair_of(voided_twin, rows[5]),
        other_day=uuids[6],
        other_amount=uuids[7],
        other_kind=uuids[8],
        adjustment=uuids[9],
        elsewhere=uuids[10],
        elsewhere_pair=pair_of(elsewhere, target),
        void_event=uuids[11],
    )


def shared_ids(scribe: Scribe, other: Scribe) -> SharedIds:
    """Two users, one id: possible since each table has a key of its own."""
    clock = scribe.clock
    scribe.profile("Shared id, legacy row", clock.at(*JOINED))
    other.profile("Shared id, event", clock.at(*JOINED))
    first, second = _weekly(scribe, 0), _weekly(scribe, 1)
    other.event(TOPUP, first.typed_at, "77.00", cost="111241.90", id=first.row.id)
    other.event(METER_READING, second.typed_at, second.row.kwh_value, id=second.row.id)
    return SharedIds(scribe.user_id, other.user_id, first.id, second.id)


def _same_facts(scribe: Scribe, rows: list[Reading]) -> None:
    """Live events of the rows' own facts; the second differs in all that is no part of a fact."""
    alike, differing, *others = rows
    scribe.twin(alike, created=alike.created_at, id=alike.row.id)
    later = differing.created_at + HOUR
    extra = Extra(metadata='{"note": "typed again"}')
    kwh = differing.row.kwh_value
    scribe.event(METER_READING, later, kwh, notes="drifted", id=differing.row.id, extra=extra)
    for row in others:
        scribe.twin(row, id=row.row.id)


def _other_facts(scribe: Scribe, rows: list[Reading]) -> None:
    """Live events of another day, another amount, another kind, and a correction."""
    day, amount, kind, correction = rows
    scribe.twin(day, shift=3 * DAY, id=day.row.id)
    scribe.event(METER_READING, amount.typed_at, "1.25", id=amount.row.id)
    scribe.event(TOPUP, kind.typed_at, "33.00", cost="47675.10", id=kind.row.id)
    scribe.event(ADJUSTMENT, correction.typed_at, "-2.00", id=correction.row.id)


def _void_event(scribe: Scribe, row: Reading) -> None:
    at = row.typed_at + HOUR
    unsaid = Voided(at, with_event=False)  # its VOID event is the next one
    mistake = scribe.event(TOPUP, row.typed_at, "5.00", voided=unsaid)
    scribe.event(VOID, at, "0", id=row.row.id, extra=Extra(void_of=mistake.row.id))


def _weekly(scribe: Scribe, week: int) -> Reading:
    return scribe.reading(scribe.clock.at(2024, 4, 1) + 7 * week * DAY, f"{190 - 10 * week}.00")
