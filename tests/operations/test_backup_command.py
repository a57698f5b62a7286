"""meterledger backup, typed by an operator in a folder with .env files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.support.database import Database
from tests.support.proven import proven
from tests.support.servers import Databases, MakeDatabase, default_major
from toolkit.cli import backup
from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.operations.backup import listing, verify
from toolkit.operations.backup.compare import Difference
from toolkit.operations.backup.folder import OWNER_FILE
from toolkit.operations.backup.listing import Backup, to_prune
from toolkit.operations.backup.manifest import read_manifest, write_manifest
from toolkit.operations.backup.prove import Proof

app = typer.Typer()
app.add_typer(backup.app, name="backup")


@app.callback()
def _root() -> None:
    """So that `backup` is a command of several."""


@pytest.fixture(scope="module")
def migrated(databases: Callable[[int], Databases]) -> Database:
    """Nobody changes it."""
    return proven(databases(default_major()))


@pytest.fixture
def here(tmp_path: Path, migrated: Database, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The operator's folder, with an environment called staging."""
    for name in [name for name in os.environ if name.startswith("METERLEDGER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env.staging").write_text(f"DATABASE_URL={migrated.url}\n")
    return tmp_path


def types(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["backup", *words])
    if isinstance(result.exception, MeterledgerError):
        raise result.exception
    assert result.exit_code == code, (result.output, result.exception)
    return result


def answers(*words: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(types(*words, "--json", code=code).stdout)
    return found


def test_make_list_restore(here: Path, make_database: MakeDatabase, migrated: Database) -> None:
    said = types("staging").stdout
    assert "verified" in said
    assert "NOT verified" not in said

    listed = answers("list", "staging", "--check")
    (one,) = listed["backups"]
    assert (one["verified"], one["proof"], one["problem"]) == (True, "proven", None)
    assert not (Path(one["path"]) / OWNER_FILE).exists()
    assert one["rows"] == read_manifest(Path(one["path"])).facts.rows
    assert Path(one["path"]).parent == here / ".meterledger" / "backups" / "staging"
    assert one["name"] in types("list", "staging").stdout

    target = make_database()
    (here / ".env.copy").write_text(f"DATABASE_URL={target.url}\n")
    planned = types("restore", "staging", "--into", "copy", "--dry-run").output
    assert one["name"] in planned
    password = re.search(r":([0-9a-f]{32})@", target.url)
    assert password is not None
    assert password[1] not in planned
    assert target.value("select to_regclass('public.token_events')") is None
    with pytest.raises(UsageError, match="nobody to ask"):
        types("restore", "staging", "--into", "copy")
    done = answers("restore", one["path"], "--into", "copy", "--yes")
    assert done["rows"] == one["rows"]
    with pytest.raises(UsageError, match="not empty"):
        types("restore", "staging", "--into", target.url, "--yes")


def test_a_backup_without_proof_says_so(here: Path) -> None:
    made = answers("staging", "--no-verify")
    assert (made["verified"], made["proof_wanted"]) == (False, False)
    assert made["sha256"] == made["files"]["dump.custom"]["sha256"]
    assert "not verified" in types("make", "staging", "--no-verify").stdout
    listed = answers("list", "staging")["backups"]
    assert [(b["verified"], b["proof"]) for b in listed] == [(False, "not proven")] * 2
    assert answers("prune", "staging", "--yes")["backups"] == []
    with pytest.raises(UsageError, match="no verified backup"):
        types("restore", "staging", "--into", "staging", "--yes")


def test_options_may_come_before_the_environment(here: Path) -> None:
    assert answers("--no-verify", "staging")["environment"] == "staging"


def test_a_proof_that_fails_is_exit_code_1(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    difference = Difference("policies", "public.x", "policy p of public.x", "this", None)
    monkeypatch.setattr(verify, "prove", lambda *_: Proof((difference,), ()))
    said = types("staging", code=1).stdout

    assert "NOT verified" in said
    assert "policy p of public.x is missing" in said
    (one,) = answers("list", "staging")["backups"]
    assert (one["proof"], one["verified"]) == ("proof failed", False)
    assert "proof failed (1" in types("list", "staging").stdout
    assert answers("prune", "staging", "--yes")["backups"] == []
    assert answers("staging", "--no-verify")["interrupted_proofs"] == []


def test_a_corrupt_backup_is_flagged(here: Path) -> None:
    path = Path(answers("staging", "--no-verify")["path"])
    dump = path / "dump.custom"
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    assert answers("list", "staging")["backups"][0]["problem"] is None
    assert "sha256" in answers("list", "staging", "--check", code=1)["backups"][0]["problem"]
    dump.write_bytes(whole[:-1])
    assert "bytes" in answers("list", "staging", code=1)["backups"][0]["problem"]
    (path / "manifest.json").write_text("{")
    assert "manifest" in answers("list", "staging", code=1)["backups"][0]["problem"]
    with pytest.raises(OperationalError, match="damaged"):
        types("restore", str(path), "--into", "staging", "--yes")


def test_leftovers_are_listed(here: Path) -> None:
    partial = here / ".meterledger" / "backups" / "staging" / ".partial-20260101T000000Z-x"
    partial.mkdir(parents=True)

    assert answers("list", "staging")["leftovers"] == [partial.name]
    assert partial.name in types("list", "staging").stdout
    assert answers("staging", "--no-verify")["removed_leftovers"] == [partial.name]
    assert answers("list", "staging")["leftovers"] == []


def aged(path: Path, days: int, *, verified: bool = True) -> Path:
    """The backup as if it had been made that long ago."""
    manifest = read_manifest(path)
    made = datetime.now(UTC) - timedelta(days=days)
    new = path.with_name(made.strftime("%Y%m%dT%H%M%SZ"))
    new.mkdir()
    for file in path.iterdir():
        (new / file.name).write_bytes(file.read_bytes())
    changed = {"made_at": made.isoformat(), "verified": verified}
    write_manifest(new, type(manifest)(**{**vars(manifest), **changed}))
    return new


def test_prune_keeps_the_newest_verified_one_and_all_that_is_unproven(here: Path) -> None:
    path = Path(answers("staging", "--no-verify")["path"])
    old = {days: aged(path, days) for days in (31, 40, 50)}
    unproven = aged(path, 60, verified=False)

    assert answers("prune", "staging", "--dry-run") == {
        "retention_days": 30,
        "backups": [old[40].name, old[50].name],
        "interrupted_proofs": [],
        "removed": False,
    }
    with pytest.raises(UsageError, match="nobody to ask"):
        types("prune", "staging")
    assert answers("prune", "staging", "--yes")["removed"] is True
    left = {backup["name"] for backup in answers("list", "staging")["backups"]}
    assert left == {path.name, old[31].name, unproven.name}
    assert "nothing is older" in types("prune", "staging").stdout


def test_other_environments_backups_in_the_same_folder_are_left_alone(here: Path) -> None:
    path = Path(answers("staging", "--no-verify")["path"])
    for days in (40, 50):
        aged(path, days)

    assert len(listing.backups(path.parent, "staging")) == 3
    assert listing.backups(path.parent, "production") == ()


def test_an_unknown_environment_and_an_unknown_backup(here: Path) -> None:
    with pytest.raises(UsageError, match="no environment 'nowhere'"):
        types("nowhere")
    with pytest.raises(UsageError, match="there is no backup"):
        types("restore", "staging", "--into", "staging", "--backup", "20200101T000000Z")
    with pytest.raises(UsageError, match="is no backup"):
        types("restore", "./nothing", "--into", "staging")


def test_prune_of_nothing() -> None:
    assert to_prune((), 30) == ()
    assert to_prune((Backup(Path("x"), None, "damaged"),), 30) == ()
