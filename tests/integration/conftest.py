"""A folder for servers of one test, and ledgers that are too dear to make for each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.grown import Grown, grown_ledger
from tests.support.servers import MAJORS, Databases
from toolkit.local.account import remove_tree
from toolkit.local.server import Server


@pytest.fixture
def home() -> Iterator[Path]:
    """A server's folder that every account may pass through; pytest's own is private."""
    parent = Path(tempfile.mkdtemp(prefix="meterledger-test-"))
    parent.chmod(0o711)
    home = parent / "home"
    yield home
    Server(home).destroy()
    remove_tree(parent)


@pytest.fixture(scope="session", params=MAJORS, ids=lambda number: f"pg{number}")
def grown(databases: Callable[[int], Databases], request: pytest.FixtureRequest) -> Iterator[Grown]:
    """A grown ledger on each version, before and after the cutover, for tests that undo."""
    yield from grown_ledger(databases(request.param))
