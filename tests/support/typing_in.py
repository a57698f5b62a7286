"""Types commands as an operator does, in a folder of the test's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from tests.support.processes import environment
from toolkit.cli import run

Types = Callable[..., tuple[int, str, str]]
TypesProgram = Callable[..., "Typed"]


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


@dataclass(frozen=True)
class Typed:
    """What a program of its own answered."""

    code: int
    out: str
    err: str


def types_as_a_program(command: str, folder: Path, database_url: str, *names: str) -> TypesProgram:
    """A function that types `meterledger command …` in a process of its own.

    Args:
        command: the command's name.
        folder: where it is typed.
        database_url: what the environments of these names say.
    """
    for name in names:
        (folder / f".env.{name}").write_text(f"DATABASE_URL={database_url}\n", "utf-8")

    def type_in(*words: str) -> Typed:
        done = subprocess.run(
            [sys.executable, "-c", "from toolkit.cli import main; main()", command, *words],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Typed(done.returncode, done.stdout, done.stderr)

    return type_in
