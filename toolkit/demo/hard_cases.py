"""All hard cases together: one or two households each, and the ids by which tests find them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from toolkit.demo import hard_histories, hard_ids, hard_matching, hard_readings
from toolkit.demo.clock import Clock
from toolkit.demo.hard_matching import JOINED
from toolkit.demo.households import heavy_rows, heavy_user
from toolkit.demo.model import Household, Spec
from toolkit.demo.scribe import Scribe

Planted = TypeVar("Planted")


@dataclass(frozen=True)
class People:
    """Users that differ in who they are rather than in what they wrote.

    Attributes:
        heavy: the user with 20,000 rows (a fifth of all rows where there are fewer than
            100,000).
        topups_only: top-ups in token_events, no legacy row, no anchor.
        deleted_midway: has a trace in every table; a test deletes their auth.users row.
        idle: a profile, nothing else.
        disabled, admin: a disabled profile and the admin role, with rows like anybody's.
        orphan: legacy rows; neither a profile nor a login.
        unprofiled: legacy rows and a login, no profile.
    """

    heavy: UUID
    topups_only: UUID
    deleted_midway: UUID
    idle: UUID
    disabled: UUID
    admin: UUID
    orphan: UUID
    unprofiled: UUID


@dataclass(frozen=True)
class HardCases:
    """Where each hard case is. Without dual writes, the events named here do not exist.

    Attributes:
        orphan_readings: the legacy rows that no profile owns.
        heavy_rows: how many legacy rows the heavy user has.
    """

    people: People
    duplicate_days: hard_matching.DuplicateDays
    halves: hard_matching.Halves
    near_matches: hard_matching.NearMatches
    ties: hard_matching.Ties
    same_id: hard_ids.SameId
    shared_ids: hard_ids.SharedIds
    back_dated: hard_histories.BackDated
    void_chains: hard_histories.VoidChains
    first_topup: hard_histories.FirstTopup
    impossible: hard_histories.Impossible
    forged: hard_histories.Forged
    odd_tokens: hard_readings.OddTokens
    limits: hard_readings.Limits
    notes: hard_readings.Notes
    calendar: hard_readings.Calendar
    rejects: hard_readings.Rejects
    orphan_readings: tuple[UUID, ...]
    heavy_rows: int


class _Plan:
    """Runs the functions that write the cases and keeps their households."""

    def __init__(self, spec: Spec, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self.households: list[Household] = []

    def scribe(self, name: str) -> Scribe:
        scribe = Scribe(self._spec, self._clock, name)
        self.households.append(scribe.household)
        return scribe

    def plant(self, write: Callable[[Scribe], Planted]) -> Planted:
        return write(self.scribe(write.__name__))

    def orphans(self, name: str, *, login: bool) -> tuple[UUID, tuple[UUID, ...]]:
        scribe = self.scribe(name)
        if login:
            scribe.login()
        return scribe.user_id, hard_readings.orphans(scribe)

    def person(self, name: str, *, role: str = "user", status: str = "active") -> UUID:
        scribe = self.scribe(name)
        clock = scribe.clock
        scribe.profile(name.capitalize(), clock.at(*JOINED), role=role, status=status)
        if name != "idle":
            for day in (1, 4, 6):
                scribe.twin(scribe.reading(clock.at(2024, 11, day), f"{100 - 9 * day}.00"))
        return scribe.user_id


def plant_hard_cases(spec: Spec, clock: Clock) -> tuple[HardCases, list[Household]]:
    """Writes every hard case; the heavy user, who streams, is only named."""
    plan = _Plan(spec, clock)
    orphan, orphan_rows = plan.orphans("orphan", login=False)
    unprofiled, unprofiled_rows = plan.orphans("unprofiled", login=True)
    people = People(
        heavy=heavy_user(spec, clock),
        topups_only=plan.plant(hard_histories.topups_only),
        deleted_midway=plan.plant(hard_histories.deleted_midway),
        idle=plan.person("idle"),
        disabled=plan.person("disabled", status="disabled"),
        admin=plan.person("admin", role="admin"),
        orphan=orphan,
        unprofiled=unprofiled,
    )
    cases = HardCases(
        people=people,
        duplicate_days=plan.plant(hard_matching.duplicate_days),
        halves=plan.plant(hard_matching.halves),
        near_matches=plan.plant(hard_matching.near_matches),
        ties=plan.plant(hard_matching.ties),
        same_id=plan.plant(hard_ids.same_id),
        shared_ids=hard_ids.shared_ids(plan.scribe("shared id 1"), plan.scribe("shared id 2")),
        back_dated=plan.plant(hard_histories.back_dated),
        void_chains=plan.plant(hard_histories.void_chains),
        first_topup=plan.plant(hard_histories.first_topup),
        impossible=plan.plant(hard_histories.impossible),
        forged=plan.plant(hard_histories.forged),
        odd_tokens=plan.plant(hard_readings.odd_tokens),
        limits=plan.plant(hard_readings.limits),
        notes=plan.plant(hard_readings.notes),
        calendar=plan.plant(hard_readings.calendar),
        rejects=plan.plant(hard_readings.rejects),
        orphan_readings=orphan_rows + unprofiled_rows,
        heavy_rows=heavy_rows(spec),
    )
    return cases, plan.households
