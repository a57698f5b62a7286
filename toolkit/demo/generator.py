"""A dual-write database's content, made from a seed: ordinary households and every hard case.

    dataset = generate(Spec(seed=1, rows=100_000, users=500, time_zone="Asia/Jakarta"))
    dataset.cases.same_id.voided          # where a hard case is
    for household in dataset.households(): ...
    loaded = loading.load(connection, dataset)
    loaded.expectation.merged             # what the migration must give

Households are made one at a time, when asked for, so that a million rows need little memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from toolkit.demo.clock import Clock
from toolkit.demo.expectation import Expectation, Tally
from toolkit.demo.hard_cases import HardCases, plant_hard_cases
from toolkit.demo.households import heavy_household, heavy_rows, ordinary_household
from toolkit.demo.model import Household, Spec


class Dataset:
    """Everything that a Spec stands for; iterating it again gives the same rows again.

    Attributes:
        spec: what was asked for.
        cases: the hard cases, by id.
        legacy_rows: rows of electricity_readings in all: spec.rows, or more where the hard
            cases alone are more.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._clock = Clock(spec.time_zone)
        self.cases: HardCases
        self.cases, self._hard = plant_hard_cases(spec, self._clock)
        fixed = sum(len(house.readings) for house in self._hard) + heavy_rows(spec)
        self._ordinary_rows = max(spec.rows - fixed, 0)
        self.legacy_rows = fixed + self._ordinary_rows

    def households(self) -> Iterator[Household]:
        """Every user with everything of theirs, hard cases first."""
        for house in self._hard:
            yield self._shaped(house)
        yield self._shaped(heavy_household(self.spec, self._clock))
        for number, rows in enumerate(self._shares(), start=1):
            yield self._shaped(ordinary_household(self.spec, self._clock, number, rows))

    def expectation(self) -> Expectation:
        """What the migration must give; generates every row to say so (see load, which tells)."""
        tally = Tally()
        for house in self.households():
            tally.add(house)
        return tally.expectation()

    def _shaped(self, house: Household) -> Household:
        if not self.spec.dual_write:
            return Household(house.user_id, house.login, house.profile, house.readings)
        return house

    def _shares(self) -> list[int]:
        """Legacy rows of each ordinary household: uneven, as in the field."""
        people = self.spec.users - len(self._hard) - 1
        if people < 1:
            people = 1 if self._ordinary_rows else 0
        rng = Random(f"{self.spec.seed}/shares")
        weights = [0.3 + 1.4 * rng.random() for _ in range(people)]
        total, reached, given = sum(weights), 0.0, 0
        shares = []
        for weight in weights:
            reached += weight
            share = round(self._ordinary_rows * reached / total) - given
            shares.append(share)
            given += share
        return shares


def generate(spec: Spec) -> Dataset:
    """The content that a Spec stands for; cheap, for the rows come when they are asked for."""
    return Dataset(spec)
