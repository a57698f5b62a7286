"""The performance table: measure, write docs/bench, show the targets.

python -m tools.bench --rows 100000,1000000      # what `make bench` does
python -m tools.bench --large                    # five million rows too
python -m tools.bench --rows 100000 --seconds 1 --rounds 2 --out /tmp/bench
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.errors import MeterledgerError, UsageError
from tools.bench import facts, moving, reading, report, scheduled, serving, writing
from tools.bench.measure import Comparison
from tools.bench.report import Measured
from tools.bench.stage import EXTRA_ROWS, Stage, stage
from tools.bench.targets import judge

OUT = Path(__file__).parents[2] / "docs" / "bench"
SIZES = (100_000, 1_000_000)
LARGE = 5_000_000
SUBJECTS: dict[str, Callable[[Stage], None]] = {
    "moving": moving.measure,
    "reading": reading.measure,
    "serving": serving.measure,
    "scheduled": scheduled.measure,
    "writing": writing.measure,  # the last one: it cuts over
}


def main() -> int:
    """Exit code 0 with every target met, 1 with one missed, 2 for bad input, 3 where it broke."""
    options = _options()
    try:
        run = _read(options.out) if options.render else _measure(options)
    except MeterledgerError as error:
        print(f"error: {error}\nnext step: {error.next_step}", file=sys.stderr)
        print(*error.details, sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped: nothing is written, the server is gone", file=sys.stderr)
        return 130
    if set(options.only) == set(SUBJECTS) or options.out != OUT:
        from tools.bench import plots  # noqa: PLC0415 - its library comes with make bench alone

        report.write(options.out, run, plots.draw(options.out, run.found))
        if options.out == OUT:
            report.carry(OUT.parent / "scaling.md", run)
        print(f"written: {options.out}", file=sys.stderr)
    judged = judge(run.found)
    for one in judged:
        mark = "met   " if one["met"] else "MISSED"
        print(f"{mark} {one['target']}, {one['rows']:,} rows: {one['figure']} ({one['bound']})")
    return 0 if all(one["met"] for one in judged) else 1


def _measure(options: argparse.Namespace) -> Measured:
    machine = {**facts.machine(), "rounds": options.rounds, "client_seconds": options.seconds}
    databases: list[dict[str, Any]] = []
    found: list[Comparison] = []
    for rows in options.rows:
        found += _one_size(rows, options, databases)
    return Measured(machine, databases, found)


def _read(folder: Path) -> Measured:
    try:
        return report.read(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder}/bench.json cannot be read: {type(error).__name__}",
            next_step="measure first: make bench",
        ) from None


def _one_size(
    rows: int, options: argparse.Namespace, databases: list[dict[str, Any]]
) -> list[Comparison]:
    started = time.monotonic()

    def tell(text: str) -> None:
        print(f"[{rows:>9,} rows {time.monotonic() - started:5.0f} s] {text}", file=sys.stderr)

    with stage(rows, seconds=options.seconds, rounds=options.rounds, tell=tell) as made:
        for name, measure in SUBJECTS.items():
            if name == "moving" and name not in options.only:
                moving.move(made)
            elif name in options.only:
                tell(f"-- {name}")
                measure(made)
            if name == "moving":
                databases.append(facts.database(made))
        return made.found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measure meterledger, as ratios in one run."
    )
    parser.add_argument(
        "--rows", type=_sizes, default=SIZES, metavar="N,N",
        help=f"legacy rows of each database, at least {EXTRA_ROWS:,} (100000,1000000)",
    )  # fmt: skip
    parser.add_argument("--large", action="store_true", help=f"{LARGE:,} rows too")
    parser.add_argument(
        "--seconds", type=_seconds, default=2, help="that clients work in a round (2)"
    )
    parser.add_argument("--rounds", type=_rounds, default=3, help="samples of each variant (3)")
    parser.add_argument(
        "--only", type=_subjects, default=tuple(SUBJECTS), metavar="NAME,NAME",
        help=f"of {', '.join(SUBJECTS)}; nothing is written then, unless --out says where",
    )  # fmt: skip
    parser.add_argument(
        "--render", action="store_true", help="measure nothing: write the pages from bench.json"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write into (docs/bench)")
    options = parser.parse_args()
    if options.large and LARGE not in options.rows:
        options.rows = (*options.rows, LARGE)
    return options


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(_at_least(EXTRA_ROWS, part.replace("_", ""), "rows") for part in text.split(","))


def _rounds(text: str) -> int:
    return _at_least(1, text, "round")


def _seconds(text: str) -> int:
    return _at_least(1, text, "whole second")


def _at_least(least: int, text: str, what: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r}: at least {least:,} {what}")
    return int(text)


def _subjects(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no subject {unknown[0]}: {', '.join(SUBJECTS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
