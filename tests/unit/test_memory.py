"""Where the tests' temporary files go."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.support import memory


@pytest.fixture(autouse=True)
def _own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `use` does to this process is taken back."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)


def test_a_folder_with_room_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "has_room", lambda _: True)
    environ: dict[str, str] = {}

    memory.use(environ, tmp_path)

    assert environ == {"TMPDIR": str(tmp_path)}
    assert tempfile.tempdir is None


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP"])
def test_a_folder_that_somebody_named_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(memory, "has_room", lambda _: True)
    environ = {name: "/elsewhere"}

    memory.use(environ, tmp_path)

    assert environ == {name: "/elsewhere"}


def test_a_folder_without_room_is_left_alone(tmp_path: Path) -> None:
    environ: dict[str, str] = {}

    memory.use(environ, tmp_path / "missing")

    assert environ == {}
    assert not memory.has_room(tmp_path, wanted=2**62)
    assert memory.has_room(tmp_path, wanted=1)
