"""Hard cases of a user's history: voids, back-dates, missing anchors, impossible readings."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from toolkit.demo.clock import DAY, HOUR, MINUTE, SECOND
from toolkit.demo.hard_matching import JOINED, Pair
from toolkit.demo.model import ADJUSTMENT, METER_READING, TOPUP, Reading, RejectReason
from toolkit.demo.scribe import Extra, Scribe, Voided


@dataclass(frozen=True)
class BackDated:
    """Records of a day that were written weeks after it.

    Attributes:
        reading: a legacy row older than rows written before it; no event.
        pair: a legacy row and its event, both back-dated.
        event: a back-dated top-up of the new app alone.
        batch: the recalculation batch that it caused.
    """

    user: UUID
    reading: UUID
    pair: Pair
    event: UUID
    batch: UUID


@dataclass(frozen=True)
class VoidChains:
    """Events voided, created again and voided again.

    Attributes:
        gone: a legacy row whose events were all voided; it is migrated, nothing merged.
        kept: a legacy row and the live event at the end of such a chain.
        voided: the voided events of both chains.
        no_legacy: voided events of a chain that the legacy table knows nothing of.
        marked_only: marked as voided, no VOID event.
        null_flag: a pair whose event has is_voided and created_at NULL: unvoided.
        open_batch: a batch that can be rolled back until 2100 and names `open_batch_pair`'s
            event, which the migration merges away.
    """

    user: UUID
    gone: UUID
    kept: Pair
    voided: tuple[UUID, ...]
    no_legacy: tuple[UUID, ...]
    marked_only: UUID
    null_flag: Pair
    open_batch: UUID
    open_batch_pair: Pair


@dataclass(frozen=True)
class Impossible:
    """Readings higher than what can be left: the consumption there is negative.

    Attributes:
        reading: a legacy row.
        event: a METER_READING of the new app alone.
    """

    user: UUID
    reading: UUID
    event: UUID


@dataclass(frozen=True)
class FirstTopup:
    """A user whose first event is a top-up of the new app, before any anchor.

    Attributes:
        event: that top-up; the position after it is its own 30 kWh.
        reading: the first legacy row, a top-up as well.
    """

    user: UUID
    event: UUID
    reading: UUID


@dataclass(frozen=True)
class Forged:
    """Events whose metadata says that they were migrated; a client wrote that.

    Attributes:
        stays: an event that no legacy row states.
        merged: an event that one does state.
    """

    user: UUID
    stays: UUID
    merged: Pair


def back_dated(scribe: Scribe) -> BackDated:
    """Written on 1 April, dated in March."""
    clock = scribe.clock
    scribe.profile("Back-dated", clock.at(*JOINED))
    for day in (1, 8, 29):
        scribe.twin(scribe.reading(clock.at(2024, 3, day), f"{150 - 3 * day}.00"))
    written = clock.at(2024, 4, 1)
    lone = scribe.reading(clock.at(2024, 3, 5), "138.25", created=written)
    pair = scribe.reading(clock.at(2024, 3, 12), "111.75", created=written + MINUTE)
    event = scribe.twin(pair)
    topup = scribe.event(
        TOPUP, clock.at(2024, 3, 20), "60.00", cost="86682.00", created=written + HOUR
    )
    batch = scribe.batch("BACKDATE_TOPUP", [topup, event], written + HOUR)
    return BackDated(scribe.user_id, lone.id, Pair(event.id, pair.id), topup.id, UUID(batch))


def void_chains(scribe: Scribe) -> VoidChains:
    """Void, re-create, void again; with and without a live end, with and without a legacy row."""
    clock = scribe.clock
    scribe.profile("Void chains", clock.at(*JOINED))
    gone = scribe.reading(clock.at(2024, 5, 1), "130.00", token="80.00", cost="115576.00")
    voided = _voided_twice(scribe, gone)
    kept = scribe.reading(clock.at(2024, 5, 10), "95.00")
    voided += _voided_twice(scribe, kept)
    end = scribe.twin(kept, shift=2 * MINUTE, created=kept.typed_at + 2 * DAY)
    at = clock.at(2024, 5, 14)
    chain = [
        scribe.event(TOPUP, at + n * SECOND, "25.00", voided=Voided(at + (n + 1) * HOUR))
        for n in range(3)
    ]
    unsaid = Voided(at + DAY, None, with_event=False)
    marked = scribe.event(METER_READING, at + HOUR, "12.00", voided=unsaid)
    null = scribe.reading(clock.at(2024, 5, 20), "88.00")
    null_event = scribe.twin(null, created=None, extra=Extra(is_voided=None, anonymous=True))
    edited = scribe.reading(clock.at(2024, 5, 25), "180.00", token="100.00", cost="144470.00")
    edited_event = scribe.twin(edited)
    batch = scribe.batch("EDIT_TOPUP", [edited_event], edited.typed_at, until=clock.at(2100, 1, 1))
    return VoidChains(
        user=scribe.user_id,
        gone=gone.id,
        kept=Pair(end.id, kept.id),
        voided=tuple(voided),
        no_legacy=tuple(event.id for event in chain),
        marked_only=marked.id,
        null_flag=Pair(null_event.id, null.id),
        open_batch=UUID(batch),
        open_batch_pair=Pair(edited_event.id, edited.id),
    )


def topups_only(scribe: Scribe) -> UUID:
    """A user of the new app alone who never typed what the meter shows: no anchor at all."""
    scribe.profile("Top-ups only", scribe.clock.at(*JOINED))
    for month in (1, 2, 3, 4):
        scribe.event(TOPUP, scribe.clock.at(2024, month, 3), f"{month}0.00", cost="28894.00")
    return scribe.user_id


def first_topup(scribe: Scribe) -> FirstTopup:
    """Bought before anything was typed."""
    clock = scribe.clock
    scribe.profile("First a top-up", clock.at(*JOINED))
    first = scribe.event(TOPUP, clock.at(2024, 1, 1), "30.00", cost="43341.00")
    row = scribe.reading(clock.at(2024, 1, 3), "75.00", token="50.00", cost="72235.00")
    scribe.twin(row)
    scribe.twin(scribe.reading(clock.at(2024, 1, 6), "51.00"))
    return FirstTopup(scribe.user_id, first.id, row.id)


def impossible(scribe: Scribe) -> Impossible:
    """More left than there was, and nothing bought."""
    clock = scribe.clock
    scribe.profile("Impossible readings", clock.at(*JOINED))
    scribe.twin(scribe.reading(clock.at(2024, 6, 1), "40.00"))
    higher = scribe.reading(clock.at(2024, 6, 4), "190.00")
    scribe.twin(higher)
    scribe.twin(scribe.reading(clock.at(2024, 6, 7), "160.00"))
    event = scribe.event(METER_READING, clock.at(2024, 6, 8), "500.00")
    return Impossible(scribe.user_id, higher.id, event.id)


def forged(scribe: Scribe) -> Forged:
    """Metadata is the client's to write, so it proves nothing."""
    clock = scribe.clock
    scribe.profile("Forged metadata", clock.at(*JOINED))
    claim = Extra(metadata='{"migrated_from": "electricity_readings"}')
    stays = scribe.event(TOPUP, clock.at(2024, 7, 1), "21.00", cost="30338.70", extra=claim)
    row = scribe.reading(clock.at(2024, 7, 3), "66.00")
    event = scribe.twin(row, extra=claim)
    return Forged(scribe.user_id, stays.id, Pair(event.id, row.id))


def deleted_midway(scribe: Scribe) -> UUID:
    """A user with a trace everywhere, for tests to delete: everything of theirs must go."""
    clock = scribe.clock
    scribe.profile("Leaves us", clock.at(*JOINED))
    for day in range(1, 11):
        scribe.twin(scribe.reading(clock.at(2024, 8, day), f"{200 - 8 * day}.00"))
    voided = scribe.reading(clock.at(2024, 8, 12), "160.00", token="60.00", cost="86682.00")
    _voided_twice(scribe, voided)
    scribe.event(ADJUSTMENT, clock.at(2024, 8, 14), "1.50", notes="meter replaced")
    late = scribe.event(TOPUP, clock.at(2024, 8, 15), "20.00", cost="28894.00")
    scribe.batch("BACKDATE_TOPUP", [late], clock.at(2024, 8, 20))
    scribe.reading(clock.at(2024, 8, 16), "NaN", rejected=RejectReason.KWH_VALUE)
    return scribe.user_id


def _voided_twice(scribe: Scribe, reading: Reading) -> list[UUID]:
    """Two voided events of that fact, each with its VOID event."""
    at = reading.typed_at
    first = scribe.twin(reading, voided=Voided(at + HOUR))
    second = scribe.twin(
        reading, shift=MINUTE, created=at + HOUR + SECOND, voided=Voided(at + DAY, "still wrong")
    )
    return [first.id, second.id]
