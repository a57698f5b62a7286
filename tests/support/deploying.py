"""Deploys in tests: a copy of supabase/ to plant files in, and somebody who is told."""

from __future__ import annotations

import importlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.processes import CHECKOUT
from toolkit.errors import MeterledgerError
from toolkit.operations.deploy import DeployOptions, DeployReport, run_deploy

# By its name each: the package's attribute `push` is the function.
_USERS = (
    "toolkit.operations.deploy.provenance",
    "toolkit.rollout.inspect",
    "toolkit.rollout.phases",
    "toolkit.rollout.project",
    "toolkit.rollout.push",
)
# The command line with the command on it, for programs of their own.
PROGRAM = """
from toolkit.cli import app, main
from toolkit.cli.deploy import deploy
if not any(known.callback is deploy for known in app.registered_commands):
    app.command()(deploy)
main()
"""
PLANTED = "20270101000000_planted"
QUICK = DeployOptions(settle=0, wait=0, pause=0.05, lock_timeout=0.4)


@dataclass
class Heard:
    """An observer that remembers, and may act when a line comes."""

    steps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    on_step: Callable[[str], None] | None = None
    on_note: Callable[[str], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def step(self, name: str) -> None:
        self.steps.append(name)
        if self.on_step is not None:
            self.on_step(name)

    def note(self, text: str) -> None:
        with self._lock:
            self.notes.append(text)
        if self.on_note is not None:
            self.on_note(text)

    def has(self, words: str) -> bool:
        return any(words in note for note in self.notes)


@dataclass(frozen=True)
class Folder:
    """A supabase/ folder of a test's own."""

    path: Path

    def plant(self, text: str, name: str = PLANTED, *, verification: str = "select 1;") -> Path:
        """Add a migration with its twin."""
        file = self.path / "migrations" / f"{name}.sql"
        file.write_text(text, "utf-8")
        (self.path / "verify" / f"{name}.sql").write_text(verification, "utf-8")
        return file


def own_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A copy of supabase/, which the toolkit takes for its own."""
    folder = path / "supabase"
    for name in ("migrations", "verify", "rollbacks"):
        shutil.copytree(CHECKOUT / "supabase" / name, folder / name)
    shutil.copy(CHECKOUT / "supabase" / "config.toml", folder)
    for user in _USERS:
        monkeypatch.setattr(importlib.import_module(user), "supabase_folder", lambda: folder)
    # The CLI is looked for in the folder of the tests' caller.
    monkeypatch.setenv("METERLEDGER_SUPABASE_CLI", str(CHECKOUT / "node_modules/.bin/supabase"))
    return Folder(folder)


def deploys(
    database: Database, options: DeployOptions = QUICK, heard: Heard | None = None
) -> DeployReport:
    return run_deploy(database.url, options, heard if heard is not None else Heard())


def refused(
    database: Database, options: DeployOptions = QUICK, heard: Heard | None = None
) -> MeterledgerError:
    """The error of a deploy that must fail."""
    with pytest.raises(MeterledgerError) as error:
        deploys(database, options, heard)
    assert error.value.next_step
    return error.value


def words_of(error: MeterledgerError) -> str:
    return "\n".join((error.message, error.next_step, *error.details))


def recorded(database: Database) -> list[tuple[str, bool, bool]]:
    """Version, whether unfinished and whether adopted, of each row of the ledger."""
    rows = database.rows(
        "select version, details ? 'unfinished', details ? 'adopted' from ledger.deployments"
        " order by version, deployment_id"
    )
    return [(str(version), bool(open_), bool(adopted)) for version, open_, adopted in rows]
