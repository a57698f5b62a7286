"""The documentation's commands are run, page by page, against databases of the local server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.operator import Operator, an_operator
from tests.acceptance.walks import WALKS
from tests.support.doc_pages import blocks, pages
from tests.support.doc_walks import Walk, put_program
from tests.support.processes import CHECKOUT
from toolkit.local.binaries import find_binaries

_LIMIT_SECONDS = 1500
slow = [pytest.mark.slow, pytest.mark.timeout(_LIMIT_SECONDS + 60)]


@pytest.fixture
def operator() -> Iterator[Operator]:
    """Somebody new for each page: its databases have the same names as another's."""
    with an_operator() as somebody:
        yield somebody


@pytest.mark.parametrize("walk", [pytest.param(walk, marks=slow, id=walk.page) for walk in WALKS])
def test_the_page_is_walked(walk: Walk, operator: Operator) -> None:
    code, said = runs(operator, walk.script())
    assert code == 0, said[-6000:]


@pytest.mark.parametrize(
    ("script", "last"),
    [
        pytest.param("promotion.sh", r"missing from the table: 0; missing from the view: 0\n"),
        pytest.param("cutover.sh", r"missing: 0; twice: 0\nlongest pause .*\n"),
    ],
)
@pytest.mark.slow
@pytest.mark.timeout(_LIMIT_SECONDS + 60)
def test_a_script_walks_to_its_end(script: str, last: str, operator: Operator) -> None:
    code, said = runs(operator, f"cd {CHECKOUT} && docs/{script}")
    assert code == 0, said[-6000:]
    assert re.search(f"{last}$", said), said[-2000:]


def test_a_walk_that_fails_is_told(operator: Operator) -> None:
    code, said = runs(operator, "set -euo pipefail\nmeterledger status nowhere\ntrue")
    assert code == 2
    assert "there is no environment 'nowhere'" in said


def test_every_page_with_commands_is_walked() -> None:
    with_commands = {
        str(page.relative_to(CHECKOUT))
        for page in pages()
        if any(block.language == "sh" for block in blocks(page))
    }
    assert sorted(walk.page for walk in WALKS) == sorted(with_commands)


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.page)
def test_what_is_not_run_says_why(walk: Walk) -> None:
    assert walk.script()  # every line that it names is on the page
    assert all(walk.left_out.values())


def runs(operator: Operator, script: str) -> tuple[int, str]:
    """Run a script in the operator's folder; the exit code, and all that it said."""
    path = [
        put_program(operator.folder / "bin"),
        Path(sys.executable).parent,
        find_binaries().bindir,
    ]
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=operator.folder,
        env={
            **operator.environment,
            "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]),
            "METERLEDGER_SUPABASE_CLI": str(CHECKOUT / "node_modules" / ".bin" / "supabase"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_LIMIT_SECONDS,
    )
    return done.returncode, done.stdout
