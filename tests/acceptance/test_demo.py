"""meterledger demo, typed by a newcomer."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from typing import Any

import pytest

from tests.acceptance.operator import Answer, Operator
from toolkit.errors import EXIT_OK, EXIT_USAGE
from toolkit.rollout import phases

SMALL = ("--rows", "400", "--users", "30", "--seed", "7", "--time-zone", "Asia/Jakarta")
NAMED = {
    *("server_version", "phases_applied", "legacy_rows", "migrated", "merged", "rejected"),
    *("event_only", "differences", "isolation_violations", "valid", "seconds"),
}
STEPS = [
    *("start", "generate", "expand", "twin", "migrate", "insert", "validate", "isolation"),
    *("copy", "compare with COPY", "ask", "scheduled work"),
]


@pytest.fixture(scope="module")
def kept(operator: Operator) -> Answer:
    """What `demo --keep --json` said; the database stays for the tests that follow."""
    return operator.types("demo", *SMALL, "--keep", "--json")


@pytest.fixture(scope="module")
def demo(kept: Answer) -> dict[str, Any]:
    """The object that it printed."""
    assert kept.code == EXIT_OK, kept.err
    answer: dict[str, Any] = json.loads(kept.out)
    return answer


def test_one_object_with_everything_that_the_issue_names(demo: dict[str, Any]) -> None:
    assert set(demo) >= NAMED
    assert demo["server_version"].startswith("17")
    assert demo["phases_applied"] == [f"{phase.version}_{phase.name}" for phase in phases()]
    assert demo["legacy_rows"] == demo["migrated"] + demo["rejected"] == 400
    assert demo["merged"] > 200
    assert demo["rejected"] > 0
    assert demo["event_only"] > 0
    assert (demo["differences"], demo["isolation_violations"]) == (0, 0)
    assert demo["isolation_probes"] > 2000
    assert demo["valid"] is True
    assert list(demo["seconds"]) == STEPS
    assert all(seconds >= 0 for seconds in demo["seconds"].values())
    assert set(demo["rows_per_second"]) == {"insert", "copy"}


def test_data_on_stdout_and_plain_lines_on_stderr(kept: Answer, demo: dict[str, Any]) -> None:
    lines = kept.err.splitlines()

    assert "\x1b" not in kept.out + kept.err
    assert [line for line in lines if not line.startswith(" ")] == [
        f"{step} …" for step in STEPS if step not in ("insert", "copy")
    ]
    assert "  20261101000401_migrate_data" in lines
    assert "  ok   every phase holds" in lines
    assert "time-zone" not in kept.err
    assert demo["url"].split(":")[2].split("@")[0] not in kept.err


def test_the_operators_questions_are_answered(demo: dict[str, Any]) -> None:
    answers, counts = demo["answers"], demo["answers"]["counts"]

    assert counts["view_rows"] == counts["mv_rows"] == demo["migrated"] + demo["event_only"]
    assert counts["mv_bytes"] > 0
    assert 5 <= len(answers["readings"]) == len(answers["positions"]) <= 10
    assert answers["readings"] == sorted(answers["readings"], key=lambda row: row[0], reverse=True)
    assert "Index Scan" in answers["plan"]
    assert answers["milliseconds"] > 0


def test_the_same_seed_gives_the_same_and_leaves_nothing(
    operator: Operator, demo: dict[str, Any]
) -> None:
    kept_processes = operator.processes()
    again = json.loads(operator.types("demo", *SMALL, "--no-copy", "--json").out)

    for name in NAMED - {"seconds"}:
        assert again[name] == demo[name]
    for name in ("user_id", "readings", "positions"):
        assert again["answers"][name] == demo["answers"][name]
    assert again["url"] is None
    assert again["insert_to_copy_ratio"] is None
    assert operator.leftovers() == []
    assert set(operator.processes()) <= set(kept_processes)


def test_what_was_kept_can_be_looked_at(operator: Operator, demo: dict[str, Any]) -> None:
    validation = operator.types("validate", "--database", "demo", "--json")
    counted = operator.types(
        *("local", "psql", "--database", "demo", "-tAc"),
        "select count(*) from public.electricity_readings_v",
    )

    assert validation.code == counted.code == EXIT_OK
    assert json.loads(validation.out)["valid"] is True
    assert int(counted.out) == demo["answers"]["counts"]["view_rows"]
    assert (
        "twin" not in operator.types("local", "psql", "-tAc", "select datname from pg_database").out
    )


def test_bars_on_a_terminal(operator: Operator, demo: dict[str, Any]) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*operator.program, "validate", "--database", "demo"],
        cwd=operator.folder,
        env={**operator.environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the terminal is closed
            break
    os.close(ours)

    assert process.wait() == EXIT_OK
    assert b"\x1b[" in shown
    assert b"done" in shown
    assert "positions recomputed" in shown.decode()


def test_an_interruption_of_a_kept_one_does_not_trip_the_next(
    operator: Operator, demo: dict[str, Any]
) -> None:
    words = ("demo", *SMALL, "--keep", "--legacy-only")
    interrupted = operator.interrupts("migrate", *words, group=True)
    answer = operator.types(*words, "--no-copy")

    assert interrupted.code == 130
    assert interrupted.err.splitlines()[-1] == "interrupted"
    assert operator.leftovers() == []
    assert answer.code == EXIT_OK
    assert "\x1b" not in answer.out
    assert re.search(r"PostgreSQL 17\.\d+, \d+ files applied: differences 0, ", answer.out)
    assert "isolation violations 0 in" in answer.out
    assert answer.out.rstrip().splitlines()[-2].endswith("valid")
    assert answer.out.rstrip().splitlines()[-1].startswith("kept: meterledger local psql")
    rows = {line.split("│")[2].strip(): line.split("│")[1].strip() for line in table(answer.out)}
    assert rows["in electricity_readings"] == "400"
    assert rows["dual-written events merged into them, not counted twice"] == "0"
    assert rows["events that no legacy row states"] == "0"
    databases = "select count(*) from pg_database where datname like 'demo%'"
    assert operator.types("local", "psql", "-tAc", databases).out.strip() == "1"


def table(out: str) -> list[str]:
    """The lines of the table of counts."""
    found = out[out.index("what the rollout made of it") :].partition("└")[0]
    return [line for line in found.splitlines() if line.startswith("│")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--time-zone", "Mars/Olympus"], "error: there is no time zone 'Mars/Olympus'"),
        (["--time-zone", ""], "error: there is no time zone ''"),
        (["--rows", "-1"], "--rows"),
        (["--bogus"], "No such option"),
        (["surplus"], "unexpected extra argument"),
    ],
)
def test_a_typing_error_is_told_before_anything_is_started(
    operator: Operator, words: list[str], message: str
) -> None:
    answer = operator.types("demo", *words)

    assert (answer.code, answer.out) == (EXIT_USAGE, "")
    assert message in answer.err
    assert "start …" not in answer.err
