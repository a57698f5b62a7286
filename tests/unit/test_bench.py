"""The bench's arithmetic: which way a ratio points, who takes turns, what counts as met."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import CHECKOUT
from toolkit.settings import child_environment
from tools.bench import pgbench, report, stage, targets
from tools.bench.measure import Comparison, Load, Variant, in_turns, loads_in_turns, percentiles
from tools.bench.targets import TARGETS, Target, judge


def compared(unit: str, base: float, mine: float, key: str = "some") -> Comparison:
    variants = (Variant("base", (base,)), Variant("mine", (mine,)))
    return Comparison(key, "Something", 1_000, unit, "base", variants)


@pytest.mark.parametrize(("unit", "mine"), [("s", 0.5), ("1/s", 2.0)])
def test_twice_as_fast_is_a_ratio_of_two_whatever_the_unit(unit: str, mine: float) -> None:
    assert compared(unit, 1.0, mine).ratio("mine") == 2
    assert compared(unit, 1.0, mine).ratio("base") == 1


def test_the_median_is_of_the_rounds_and_the_spread_is_their_whole_range() -> None:
    variant = Variant("a", (1.0, 4.0, 2.0))
    assert (variant.median, variant.spread) == (2.0, 1.5)


def test_variants_take_turns_and_the_first_round_is_thrown_away() -> None:
    said: list[str] = []

    def act(name: str) -> float:
        said.append(name)
        return float(len(said))

    first, second = in_turns({"a": lambda: act("a"), "b": lambda: act("b")}, rounds=2)

    assert "".join(said) == "baabba"  # who begins changes with the round
    assert (first.samples, second.samples) == ((3.0, 6.0), (4.0, 5.0))


def test_clients_keep_their_rates_and_the_medians_of_their_latencies() -> None:
    loads = iter([Load(rate, {"p50": rate * 10}) for rate in (9.0, 1.0, 3.0)])
    [variant] = loads_in_turns({"a": lambda: next(loads)}, rounds=2)
    assert variant.samples == (1.0, 3.0)
    assert variant.latency == {"p50": 20.0}


def test_percentiles_are_of_what_was_measured() -> None:
    assert percentiles(range(1, 101)) == {"p50": 51, "p95": 96, "p99": 100}
    assert percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0}
    assert percentiles([]) == {}


@pytest.mark.parametrize(
    ("sign", "bound", "cost", "mine", "met"),
    [
        ("≥", 0.9, False, 0.9, True),
        ("≥", 0.9, False, 0.89, False),
        ("≤", 0.05, True, 20.0, True),  # twenty times as fast costs a twentieth
        ("≤", 0.05, True, 19.0, False),
    ],
)
def test_a_target_is_met_up_to_its_bound(
    sign: str, bound: float, cost: bool, mine: float, met: bool
) -> None:
    target = Target("it", "some", "mine", sign, bound, cost=cost)
    assert target.met(compared("1/s", 1.0, mine)) is met


def test_a_missed_target_is_named_as_missed(tmp_path: Path) -> None:
    target = next(one for one in TARGETS if one.key == "read.100.1")
    variants = (Variant("base", (100.0,)), Variant(target.variant, (50.0,)))
    found = [Comparison(target.key, "Reading", 100_000, "1/s", "base", variants)]
    machine = {
        "day": "2026-11-24", "meterledger": "0", "cores": 2, "processor": "p", "memory_gib": 1,
        "system": "s", "load_at_start": 0, "settings": {"fsync": "on"},
        "rounds": 1, "client_seconds": 1,
    }  # fmt: skip
    base = {
        "legacy_rows": 100_000, "postgres": "17", "bytes": 2**20, "events": 1, "readings": 1,
        "users": 1,
    }  # fmt: skip
    run = report.Measured(machine, [base], found)
    report.write(tmp_path, run, [])

    assert [one["met"] for one in judge(found)] == [False]
    page = (tmp_path / "README.md").read_text("utf-8")
    assert f"| {target.says} | 100,000 | ≥ 0.9 | 0.5 | **missed** |" in page
    assert json.loads((tmp_path / "bench.json").read_text("utf-8"))["targets"] == judge(found)
    assert report.read(tmp_path) == run


def test_what_one_server_carries_goes_between_the_marks_of_its_page(tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    begin, end = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
    page.write_text(f"Before.\n{begin}\nold\n{end}\nAfter.\n", "utf-8")
    found = [
        Comparison(key, "", 1_000, unit, name, (Variant(name, (1234.0,)),))
        for key, name, unit in report.CARRIED
    ]
    bases = [{"legacy_rows": 1_000, "readings": 900, "bytes": 5 * 2**20}]
    for _ in range(2):
        report.carry(page, report.Measured({}, bases, found))

    text = page.read_text("utf-8")
    assert text.startswith(f"Before.\n{begin}\n| readings |")
    assert "| 900 | 5 | 1,234/s | 1,234/s | 1,234/s | 1,234/s | 1,234 |" in text
    assert text.endswith(f"{end}\nAfter.\n")


@pytest.mark.parametrize(("rows", "judged"), [(999_999, 0), (1_000_000, 1)])
def test_a_target_of_large_tables_is_not_asked_of_small_ones(rows: int, judged: int) -> None:
    target = next(one for one in TARGETS if one.key == "move")
    names = [one.variant for one in TARGETS if one.key == "move"]
    variants = (Variant("base", (1.0,)), *(Variant(name, (1.0,)) for name in names))
    found = [Comparison("move", "", rows, "1/s", "base", variants)]
    assert len([one for one in judge(found) if one["target"] == target.says]) == judged


def test_every_target_speaks_of_its_own_comparison() -> None:
    assert len({(target.key, target.variant) for target in TARGETS}) == len(TARGETS)
    assert {target.sign for target in TARGETS} <= {"≥", "≤"}
    assert targets.TARGETS


def test_a_transaction_sets_role_and_claims_of_the_user_it_reads_for() -> None:
    prepare, user = stage.random_user(2_000)
    text = pgbench.script("select f(USER)", user=user, prepare=prepare)

    assert "USER" not in text
    assert text.startswith("\\set n random(0, 15)\nbegin;")
    assert text.count("(2000000 + :n)") == 2
    assert text.endswith(";\ncommit;\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "0"], "at least 1 round"),
        (["--seconds", "0.5"], "at least 1 whole second"),
        (["--rows", "many"], "at least 55,200 rows"),
        (["--rows", "100000,7"], "at least 55,200 rows"),
        (["--only", "everything"], "no subject everything"),
        (["--render", "--out", "nowhere"], "next step: measure first: make bench"),
    ],
)
def test_bad_input_is_one_clear_error(words: list[str], said: str, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tools.bench", *words],
        cwd=tmp_path, env=child_environment({"PYTHONPATH": str(CHECKOUT)}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
