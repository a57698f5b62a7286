"""The curves: what grows with the rows, with the clients, with the change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

from tools.bench.measure import Comparison
from tools.bench.reading import BARE, CLIENTS, LEGACY, LIVE, VIEW

mpl.use("Agg")
_SIZE = (8.0, 4.5)
_DPI = 110


def draw(folder: Path, found: Sequence[Comparison]) -> list[Path]:
    """Write the pictures; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    largest = max(comparison.rows for comparison in found)
    at_largest = {c.key: c for c in found if c.rows == largest}
    drawn = []
    for name, keys in (
        ("reads-by-clients", [f"read.100.{clients}" for clients in CLIENTS]),
        ("inserts-by-way", ["insert.before.16", "insert.after.16"]),
        ("growth", ["read.100.8", "insert.newest.1", "scheduled"]),
    ):
        if not all(key in at_largest for key in keys):
            continue
        figure, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
        if name == "reads-by-clients":
            _by_clients(axes, at_largest, largest)
        elif name == "inserts-by-way":
            _by_way(axes, [at_largest[key] for key in keys], largest)
        else:
            _growth(axes, [c for c in found if c.key in keys])
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})
        pyplot.close(figure)
        drawn.append(path)
    return drawn


def _by_clients(axes: Axes, found: dict[str, Comparison], rows: int) -> None:
    for name in (BARE, VIEW, LEGACY, LIVE):
        rates = [found[f"read.100.{clients}"][name].median for clients in CLIENTS]
        axes.plot(CLIENTS, rates, marker="o", label=name)
    axes.set(
        title=f"Newest 100 rows of a user of 2,000, at {rows:,} legacy rows",
        xlabel="clients", ylabel="reads a second", xscale="log", ylim=(0, None),
    )  # fmt: skip
    axes.set_xticks(CLIENTS, [str(clients) for clients in CLIENTS])
    axes.legend()


def _by_way(axes: Axes, found: Sequence[Comparison], rows: int) -> None:
    ratios = {
        variant.name: comparison.ratio(variant.name)
        for comparison in found
        for variant in comparison.variants
    }
    axes.barh(list(ratios), list(ratios.values()))
    axes.invert_yaxis()
    axes.set(
        title=f"Inserts of the newest, 16 writers, at {rows:,} legacy rows",
        xlabel="inserts a second, of those without triggers",
    )


def _growth(axes: Axes, found: Sequence[Comparison]) -> None:
    """Seconds of one piece of work, by the rows there are; both axes logarithmic."""
    wanted = {
        "read.100.8": (VIEW, "a read of 100 rows through the view"),
        "insert.newest.1": ("projector", "an insert of the newest event"),
        "scheduled": ("full refresh", "a full refresh"),
    }
    for key, (variant, label) in wanted.items():
        points = sorted((c for c in found if c.key == key), key=lambda c: c.rows)
        seconds = [
            c[variant].median if c.unit == "s" else c[variant].latency["p50"] / 1000 for c in points
        ]
        axes.plot([c.rows for c in points], seconds, marker="o", label=label)
    axes.set(title="Growth", xlabel="legacy rows", ylabel="seconds", xscale="log", yscale="log")
    axes.legend()
