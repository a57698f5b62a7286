"""Where the Supabase CLI is looked for."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from toolkit.errors import OperationalError, UsageError
from toolkit.rollout.push import find_cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder on a machine without any supabase; the checkout's own is out of sight."""
    monkeypatch.delenv("METERLEDGER_SUPABASE_CLI", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    # By its name: the package's attribute `push` is the function.
    module = importlib.import_module("toolkit.rollout.push")
    monkeypatch.setattr(module, "supabase_folder", lambda: tmp_path / "no" / "supabase")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_without_any_there_is_one_clear_error(folder: Path) -> None:
    with pytest.raises(OperationalError, match="the Supabase CLI is not installed") as error:
        find_cli()

    assert "npm install supabase" in error.value.next_step


def test_the_one_on_path(folder: Path) -> None:
    expected = program(folder / "bin" / "supabase")

    assert find_cli() == expected


def test_the_checkouts_comes_before_the_one_on_path(folder: Path) -> None:
    program(folder / "bin" / "supabase")
    expected = program(folder / "no" / "node_modules" / ".bin" / "supabase")

    assert find_cli() == expected


def test_the_projects_own_comes_before_the_checkouts(folder: Path) -> None:
    program(folder / "no" / "node_modules" / ".bin" / "supabase")
    expected = program(folder / "node_modules" / ".bin" / "supabase")

    assert find_cli() == expected
    assert find_cli(folder / "elsewhere") != expected


def test_a_named_one_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(folder / "node_modules" / ".bin" / "supabase")
    expected = program(folder / "mine")
    monkeypatch.setenv("METERLEDGER_SUPABASE_CLI", str(expected))

    assert find_cli() == expected


@pytest.mark.parametrize("name", ["missing", "not-executable"])
def test_a_named_one_that_is_no_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    program(folder / "node_modules" / ".bin" / "supabase")
    (folder / "not-executable").write_text("#!/bin/sh\n")
    monkeypatch.setenv("METERLEDGER_SUPABASE_CLI", str(folder / name))

    with pytest.raises(UsageError, match="METERLEDGER_SUPABASE_CLI names no program"):
        find_cli()
