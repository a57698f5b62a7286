"""A folder for servers of one test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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
