"""A deploy takes the files that were vouched for, and no others, whenever they are changed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.deploying import (
    PLANTED,
    QUICK,
    Folder,
    Heard,
    deploys,
    own_folder,
    recorded,
    refused,
)
from tests.support.rollout import history
from tests.support.servers import MakeDatabase
from tests.support.typing_in import types_in
from toolkit import settings
from toolkit.bootstrap import StartingPoint
from toolkit.cli import app as commands
from toolkit.errors import EXIT_FINDINGS, FindingsError
from toolkit.operations.promote import receipt as receipts
from toolkit.operations.promote.receipt import Receipt
from toolkit.operations.promote.run import local_checksums
from toolkit.rollout import phases
from toolkit.rollout.checksums import checksum, short

KEY = "k" * 32
# The package's attribute of that name is the function.
_PROMOTE = importlib.import_module("toolkit.cli.promote")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return own_folder(tmp_path, monkeypatch)


@pytest.fixture
def app(make_database: MakeDatabase) -> Database:
    """A deployed app before the rollout."""
    return make_database(StartingPoint.DUAL_WRITE)


def nothing_happened(database: Database) -> bool:
    return bool(database.value("select to_regclass('ledger.settings') is null"))


def edit(number: int) -> None:
    """Somebody saves another text of a phase."""
    file = phases()[number].migration
    file.write_text(file.read_text("utf-8") + "create table public.smuggled ();\n", "utf-8")


def _remove() -> None:
    phases()[-1].migration.unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: edit(1), "vouched for as {1}, now "),
        (lambda folder: folder.plant("select 1;"), f"{PLANTED}.sql: here, and not vouched for"),
        (lambda _: _remove(), "{last}: vouched for, and not here"),
    ],
    ids=["edited", "added", "removed"],
)
def test_other_files_than_the_vouched_ones_are_refused(
    change: Callable[[Folder], object], words: str, app: Database, folder: Folder
) -> None:
    vouched = local_checksums()
    words = words.replace("{1}", short(checksum(phases()[1])))
    words = words.replace("{last}", phases()[-1].version)
    change(folder)
    error = refused(app, replace(QUICK, vouched=vouched))

    assert isinstance(error, FindingsError)
    assert "not those that were vouched for" in error.message
    assert len(error.details) == 1
    assert words in error.details[0]
    assert nothing_happened(app)


def test_the_vouched_files_are_deployed(app: Database, folder: Folder) -> None:
    report = deploys(app, replace(QUICK, vouched=local_checksums(), defer_backfill=True))

    assert [file.version for file in report.applied] == [phase.version for phase in phases()]


@pytest.mark.parametrize("vouching", [True, False], ids=["vouched", "not vouched"])
def test_a_file_that_is_changed_under_way_is_not_applied(
    vouching: bool, app: Database, folder: Folder
) -> None:
    """After the guards had looked, before its turn comes; what came before it stays."""
    changed = phases()[1]

    def change(name: str) -> None:
        if name == changed.migration.stem:
            edit(1)

    options = replace(QUICK, vouched=local_checksums() if vouching else None)
    error = refused(app, options, Heard(on_step=change))

    assert isinstance(error, FindingsError)
    assert error.message.startswith(f"{changed.migration.name} is not the file that was looked at")
    assert app.value("select to_regclass('public.smuggled') is null")
    assert history(app) == [phase.version for phase in phases()[:1]]
    assert [row for row in recorded(app) if row[1]] == []


def test_a_file_that_comes_in_under_way_is_not_applied(app: Database, folder: Folder) -> None:
    """The CLI would apply whatever lies between: the deploy never looked at it."""
    between = f"{phases()[0].version}5_between"

    def change(name: str) -> None:
        if name == phases()[1].migration.stem:
            folder.plant("create table public.smuggled ();", between)

    error = refused(app, QUICK, Heard(on_step=change))

    assert between in error.message
    assert app.value("select to_regclass('public.smuggled') is null")


def test_a_promotion_vouches_for_what_it_was_shown(
    app: Database,
    folder: Folder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The files are changed when the receipt has been looked at, and the deploy has not begun."""
    types = types_in(commands, tmp_path, monkeypatch, capsys)
    for name in settings.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env.next").write_text(
        f"DATABASE_URL={app.url}\nMETERLEDGER_RECEIPT_KEY={KEY}\nMETERLEDGER_TIME_ZONE=UTC\n"
    )
    proven = Receipt(
        *("staging", "x", local_checksums(), ""),
        validation={"valid": True},
        isolation={"isolated": True},
        versions={},
        git_commit="",
        made_at=datetime.now(UTC).isoformat(),
    )
    receipts.write(tmp_path / "receipt.json", proven, receipts.sign(proven, KEY))
    monkeypatch.setattr(_PROMOTE, "require_confirmation", lambda *_: edit(1))
    words = (
        "promote",
        "staging",
        "next",
        "--receipt",
        "receipt.json",
        "--from",
        "deploy",
        "--json",
    )
    code, out, err = types(*words)

    assert code == EXIT_FINDINGS, err
    assert "the files at hand are not those that were vouched for" in out
    assert nothing_happened(app)
