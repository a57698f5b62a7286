"""What a figure is: samples of one variant, beside those of the variant it is compared with."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Samples = tuple[float, ...]


@dataclass(frozen=True)
class Variant:
    """One way of doing a thing, measured several times.

    Attributes:
        name: unique within its comparison.
        samples: one a round, in the comparison's unit.
        latency: p50, p95 and p99 in milliseconds, medians over the rounds; empty where one
            sample is one piece of work.
    """

    name: str
    samples: Samples
    latency: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """From the lowest to the highest round, as a share of the median."""
        return (max(self.samples) - min(self.samples)) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Comparison:
    """Variants that were measured in turns, in one run, on the same rows.

    Attributes:
        key: what `targets` knows it by, such as 'read.100.8'.
        title: a sentence for a reader.
        rows: legacy rows of the database.
        unit: 's' (less is better) or '1/s' (more is better).
        baseline: the variant that counts as 1.
        variants: in the order of the table.
    """

    key: str
    title: str
    rows: int
    unit: str
    baseline: str
    variants: tuple[Variant, ...]

    def __getitem__(self, name: str) -> Variant:
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise KeyError(name)

    def ratio(self, name: str) -> float:
        """How much work a variant does for each that the baseline does in the same time.

        Above 1 it is the faster one, whatever the unit.
        """
        mine, base = self[name].median, self[self.baseline].median
        if not mine or not base:
            return 0.0
        return mine / base if self.unit == "1/s" else base / mine

    @classmethod
    def from_object(cls, content: Mapping[str, Any]) -> Comparison:
        """What as_object() made, read again."""
        variants = tuple(
            Variant(one["name"], tuple(one["samples"]), one["latency_ms"])
            for one in content["variants"]
        )
        own = {name: content[name] for name in ("key", "title", "rows", "unit", "baseline")}
        return cls(**own, variants=variants)

    def as_object(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "key": self.key,
            "title": self.title,
            "rows": self.rows,
            "unit": self.unit,
            "baseline": self.baseline,
            "variants": [
                {
                    "name": variant.name,
                    "samples": [float(f"{sample:.6g}") for sample in variant.samples],
                    "median": float(f"{variant.median:.6g}"),
                    "spread": round(variant.spread, 3),
                    "ratio": float(f"{self.ratio(variant.name):.4g}"),
                    "latency_ms": {k: round(v, 3) for k, v in variant.latency.items()},
                }
                for variant in self.variants
            ],
        }


def seconds_of(act: Callable[[], object]) -> float:
    """How long it takes, in seconds."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def in_turns(
    acts: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: bool = True
) -> tuple[Variant, ...]:
    """Let each act give a sample a round; the order turns by one each round.

    Args:
        acts: by variant; each returns its sample.
        rounds: how many samples each.
        warm_up: one round more, first, that is thrown away.
    """
    taken: dict[str, list[float]] = {name: [] for name in acts}
    names = list(acts)
    for number in range(-1 if warm_up else 0, rounds):
        for name in _turned(names, number):
            sample = acts[name]()
            if number >= 0:
                taken[name].append(sample)
    return tuple(Variant(name, tuple(samples)) for name, samples in taken.items())


@dataclass(frozen=True)
class Load:
    """What clients achieved in one round.

    Attributes:
        rate: transactions a second.
        latency: p50, p95, p99 in milliseconds.
    """

    rate: float
    latency: Mapping[str, float]


def loads_in_turns(acts: Mapping[str, Callable[[], Load]], rounds: int) -> tuple[Variant, ...]:
    """As in_turns, for clients that work for a while; the first round warms up."""
    taken: dict[str, list[Load]] = {name: [] for name in acts}
    names = list(acts)
    for number in range(-1, rounds):
        for name in _turned(names, number):
            load = acts[name]()
            if number >= 0:
                taken[name].append(load)
    return tuple(
        Variant(name, tuple(load.rate for load in loads), _medians(load.latency for load in loads))
        for name, loads in taken.items()
    )


def percentiles(milliseconds: Iterable[float]) -> dict[str, float]:
    """p50, p95 and p99; empty for nothing."""
    ordered = sorted(milliseconds)
    if not ordered:
        return {}
    return {f"p{p}": ordered[min(len(ordered) * p // 100, len(ordered) - 1)] for p in (50, 95, 99)}


def _turned(names: list[str], number: int) -> list[str]:
    start = number % len(names)
    return names[start:] + names[:start]


def _medians(latencies: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found = [latency for latency in latencies if latency]
    if not found:
        return {}
    return {name: statistics.median(latency[name] for latency in found) for name in found[0]}
