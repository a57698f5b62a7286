"""What is written: bench.json, and README.md beside it with the tables. Never typed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.measure import Comparison, Variant
from tools.bench.reading import VIEW
from tools.bench.targets import judge

HEAD = (
    "# The bench\n\nWritten by `make bench`, as is everything in this folder: don't edit it. Only "
    "the ratios carry over to another machine. In each comparison the variants took turns on the "
    "same rows; the figures are medians of the rounds, the spread is from the lowest round to the "
    "highest, in shares of the median. A ratio above 1 is faster than the baseline. What was tried "
    "to reach the targets: [../performance.md](../performance.md).\n"
)
_BEGIN, _END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
CARRIED = (
    ("read.100.8", VIEW, "1/s"),
    ("rest.8", VIEW, "1/s"),
    ("insert.newest.16", "projector", "1/s"),
    ("move", "the whole migration: matching, inserts, proof", "1/s"),
    ("scheduled", "full refresh", "s"),
)


@dataclass(frozen=True)
class Measured:
    """A whole run.

    Attributes:
        machine: what it ran on, and how.
        databases: each size's database.
        found: every comparison.
    """

    machine: dict[str, Any]
    databases: list[dict[str, Any]]
    found: list[Comparison]


def read(folder: Path) -> Measured:
    """What write() kept in bench.json.

    Raises:
        OSError: there is none to read.
        ValueError, KeyError, TypeError: it holds something else.
    """
    content = json.loads((folder / "bench.json").read_text("utf-8"))
    found = [Comparison.from_object(one) for one in content["comparisons"]]
    return Measured(content["machine"], content["databases"], found)


def write(folder: Path, run: Measured, plots: Sequence[Path]) -> None:
    """Write both files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": run.machine,
        "databases": run.databases,
        "targets": judge(run.found),
        "comparisons": [comparison.as_object() for comparison in run.found],
    }
    (folder / "bench.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    parts = [HEAD, _machine(run.machine, run.databases), "## Targets\n", _targets(run.found)]
    parts += [f"![{plot.stem.replace('-', ' ')}]({plot.name})\n" for plot in plots]
    for key in dict.fromkeys(comparison.key for comparison in run.found):
        parts.append(_section([comparison for comparison in run.found if comparison.key == key]))
    (folder / "README.md").write_text("\n".join(parts), "utf-8")


def carry(page: Path, run: Measured) -> None:
    """Write what one server carried into a page, between its two marks."""
    by_size: dict[int, dict[str, Comparison]] = {}
    for comparison in run.found:
        by_size.setdefault(comparison.rows, {})[comparison.key] = comparison
    rows = []
    for base in run.databases:
        measured = by_size[base["legacy_rows"]]
        cells = [
            _number(measured[key][name].median) + ("" if unit == "s" else "/s")
            for key, name, unit in CARRIED
        ]
        rows.append([f"{base['readings']:,}", f"{base['bytes'] // 2**20:,}", *cells])
    head = [
        "readings", "MiB", "reads of 100 rows, 8 clients", "the same through PostgREST",
        "inserts, 16 writers", "legacy rows moved, matched and proven", "full refresh, s",
    ]  # fmt: skip
    text = page.read_text("utf-8")
    before, rest = text.split(_BEGIN)
    after = rest.split(_END)[1]
    page.write_text(f"{before}{_BEGIN}\n{table(head, rows)}{_END}{after}", "utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _machine(machine: dict[str, Any], databases: Sequence[dict[str, Any]]) -> str:
    settings = ", ".join(f"{name} = {value}" for name, value in machine["settings"].items())
    return (
        f"{machine['day']}, meterledger {machine['meterledger']}, PostgreSQL "
        f"{databases[0]['postgres']}, {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gib']} GiB, {machine['system']}, load {machine['load_at_start']} at the "
        f"start; {settings}. {machine['rounds']} rounds, in which "
        f"clients worked {machine['client_seconds']:g} s. Clients and server share the cores.\n\n"
        + table(
            ["legacy rows", "events", "readings", "users", "MiB"],
            [
                [
                    *(f"{base[name]:,}" for name in ("legacy_rows", "events", "readings", "users")),
                    f"{base['bytes'] // 2**20:,}",
                ]
                for base in databases
            ],
        )
    )


def _targets(found: Sequence[Comparison]) -> str:
    return table(
        ["", "legacy rows", "target", "figure", ""],
        [
            [
                judged["target"],
                f"{judged['rows']:,}",
                judged["bound"],
                f"{judged['figure']:g}",
                "met" if judged["met"] else "**missed**",
            ]
            for judged in judge(found)
        ],
    )


def _section(sizes: Sequence[Comparison]) -> str:
    first = sizes[0]
    named = [f"{comparison.rows:,} rows" for comparison in sizes]
    latency = any(variant.latency for variant in first.variants)
    head = [f"of {first.baseline}"]
    for name in named:
        head += [name, "ratio", "spread", *(["p50 / p95 / p99 ms"] if latency else [])]
    rows = []
    for variant in first.variants:
        cells = [variant.name]
        for comparison in sizes:
            cells += _cells(comparison, comparison[variant.name], latency)
        rows.append(cells)
    return f"## {first.title}\n\n{table(head, rows)}"


def _cells(comparison: Comparison, variant: Variant, latency: bool) -> list[str]:
    unit = " s" if comparison.unit == "s" else "/s"
    cells = [
        f"{_number(variant.median)}{unit}",
        f"{comparison.ratio(variant.name):.3g}",
        f"{variant.spread:.2f}",
    ]
    if latency:
        cells.append(" / ".join(f"{variant.latency[p]:.3g}" for p in ("p50", "p95", "p99")))
    return cells


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
