"""Types commands as an operator does, in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from toolkit.cli import run

Types = Callable[..., tuple[int, str, str]]


def types_in(
    app: typer.Typer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Types:
    """A function that types words after `meterledger`: exit code, stdout, stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("METERLEDGER_HOME", str(folder / "home"))
    for name in ("METERLEDGER_DATABASE_URL", "DATABASE_URL", "METERLEDGER_PROTECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("toolkit.cli.app", app)

    def type_in(*words: object) -> tuple[int, str, str]:
        code = run([str(word) for word in words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    return type_in
