"""Backups, receipts and phase files."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toolkit.errors import FindingsError
from toolkit.operations.preflight import CheckItem, Options, Verdict
from toolkit.operations.preflight.evidence import backup_item, receipt_item
from toolkit.operations.preflight.scripts import checksums, locks, scripts_item, squawk_item
from toolkit.operations.preflight.shapes import expected_columns
from toolkit.rollout import Phase, phases

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
PASS, WARN, FAIL, SKIP = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.SKIP
PHASES = {"20261101000000": "aa", "20261101000100": "bb"}


def manifest(folder: Path, name: str, **changes: object) -> None:
    content = {
        "made_at": (NOW - timedelta(hours=2)).isoformat(),
        "environment": "production",
        "verified": True,
        "database": "postgres@db.example:5432/postgres",
        **changes,
    }
    (folder / name).mkdir(parents=True)
    (folder / name / "manifest.json").write_text(json.dumps(content))


def backup_of(folder: Path | None, *, protected: bool = True) -> CheckItem:
    chosen = Options("production", protected=protected, backup_folder=folder, now=NOW)
    return backup_item(chosen, "postgres")


def test_a_fresh_verified_backup(tmp_path: Path) -> None:
    manifest(tmp_path, "20261124T000000Z")
    manifest(tmp_path, "20261101T000000Z", made_at=(NOW - timedelta(days=9)).isoformat())
    item = backup_of(tmp_path)
    assert (item.verdict, item.detail) == (PASS, "verified, 2.0 hours old")
    assert item.figures["backups"] == item.figures["verified"] == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"verified": False}, "none was verified"),
        ({"verified": "yes"}, "none was verified"),
        ({"made_at": "yesterday"}, "none was verified"),
        ({"made_at": "2026-11-24T00:00:00"}, "none was verified"),
        ({"made_at": None}, "none was verified"),
        ({"environment": "staging"}, "there is none"),
        ({"database": "postgres@db.example:5432/other"}, "there is none"),
    ],
)
def test_a_backup_that_cannot_be_relied_on(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    manifest(tmp_path, "20261124T000000Z", **changes)
    item = backup_of(tmp_path)
    assert (item.verdict, says in item.detail) == (FAIL, True)
    assert item.next_step == "meterledger backup production"
    assert backup_of(tmp_path, protected=False).verdict is WARN


def test_no_folder_no_manifest_or_a_torn_one(tmp_path: Path) -> None:
    assert backup_of(None).verdict is FAIL
    assert backup_of(tmp_path / "nowhere").verdict is FAIL
    (tmp_path / "a").mkdir()
    for name, content in (("b", "{"), ("c", "[]"), ("d", "\x00")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(content)
    assert backup_of(tmp_path).verdict is FAIL
    assert backup_of(tmp_path, protected=False).verdict is WARN


@pytest.mark.parametrize(("hours", "says"), [(25, "25.0 hours old"), (-3, "from the future")])
def test_an_old_backup_or_one_from_the_future(tmp_path: Path, hours: int, says: str) -> None:
    manifest(tmp_path, "x", made_at=(NOW - timedelta(hours=hours)).isoformat())
    item = backup_of(tmp_path)
    assert (item.verdict, says in item.detail) == (WARN, True)


def receipt_of(
    tmp_path: Path,
    changes: Mapping[str, object] | None = None,
    verify: Callable[[Path], object] | None = None,
) -> CheckItem:
    body = {
        "environment": "staging",
        "phases": PHASES,
        "validation": {"valid": True},
        "isolation": {"isolated": True},
        "made_at": (NOW - timedelta(hours=3)).isoformat(),
        **(changes or {}),
    }
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps({"receipt": body, "signature": "00"}))
    chosen = Options(
        "production", protected=True, receipt=file, verify_receipt=verify or (lambda _: None),
        now=NOW,
    )  # fmt: skip
    return receipt_item(chosen, PHASES)


def test_a_receipt_that_vouches_for_these_files(tmp_path: Path) -> None:
    item = receipt_of(tmp_path)
    assert (item.verdict, item.detail[:10]) == (PASS, "by staging")


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({"phases": {**PHASES, "20261101000100": "cc"}}, FAIL, "other files: 20261101000100"),
        ({"phases": {"20261101000000": "aa"}}, FAIL, "other files: 20261101000100"),
        ({"phases": {**PHASES, "2": "x"}}, FAIL, "other files: 2"),
        ({"phases": None}, FAIL, "is no receipt"),
        ({"validation": {"valid": False}}, FAIL, "validation was not green"),
        ({"isolation": {}}, FAIL, "isolation was not green"),
        ({"environment": "production"}, FAIL, "of production itself"),
        ({"made_at": "soon"}, FAIL, "no sound date"),
        ({"made_at": (NOW + timedelta(hours=1)).isoformat()}, FAIL, "no sound date"),
        ({"made_at": (NOW - timedelta(hours=30)).isoformat()}, WARN, "30.0 hours old"),
    ],
)
def test_a_receipt_that_does_not(
    tmp_path: Path, changes: dict[str, object], verdict: Verdict, says: str
) -> None:
    item = receipt_of(tmp_path, changes)
    assert (item.verdict, says in item.detail) == (verdict, True), item
    assert item.next_step


def test_a_signature_is_checked_by_whoever_can(tmp_path: Path) -> None:
    def forged(_: Path) -> None:
        raise FindingsError("it is forged", next_step="ask who made it")

    assert receipt_of(tmp_path, verify=forged).detail == "it is forged"
    chosen = Options("production", receipt=tmp_path / "receipt.json", now=NOW)
    item = receipt_item(chosen, PHASES)
    assert (item.verdict, "signature could not be checked" in item.detail) == (WARN, True)


def test_no_receipt(tmp_path: Path) -> None:
    assert receipt_item(Options("staging"), PHASES).verdict is SKIP
    assert receipt_item(Options("production", protected=True), PHASES).verdict is FAIL
    gone = Options("production", receipt=tmp_path / "gone")
    assert receipt_item(gone, PHASES).verdict is FAIL


@pytest.fixture
def copied(tmp_path: Path) -> list[Phase]:
    """The phase files, to be spoilt."""
    source = phases()[0].migration.parents[1]
    for name in ("migrations", "rollbacks", "verify"):
        shutil.copytree(source / name, tmp_path / name)
    return [Phase(p.version, p.name, tmp_path / "migrations" / p.migration.name) for p in phases()]


def test_every_file_says_what_it_locks(copied: list[Phase]) -> None:
    item = scripts_item(copied, checksums(copied), [p.version for p in copied])
    assert item.verdict is PASS, item
    told = item.figures["phases"]
    assert isinstance(told, list)
    assert [len(phase["sha256"]) for phase in told] == [64] * len(copied)
    locks = {p.name: one["locks"] for p, one in zip(copied, told, strict=True)}
    assert "share row exclusive on electricity_readings" in locks["install_data_migration"]
    assert locks["install_data_migration"].endswith("to create triggers")


def test_a_spoilt_file(copied: list[Phase]) -> None:
    first, second, third = copied[:3]
    recorded = checksums(copied)
    for phase, old, new in (
        (first, "set local", "set  local"),
        (second, "-- Locks:", "-- Nothing:"),
    ):
        text = phase.migration.read_text()
        phase.migration.write_text(text.replace(old, new, 1))
    third.rollback.unlink()
    third.verification.unlink()

    edited = scripts_item(copied, {first.version: recorded[first.version]}, [])
    assert edited.verdict is FAIL
    assert f"{first.migration.name} was edited" in edited.detail
    assert f"{second.migration.name} says nothing of its locks" in edited.detail
    assert f"{third.migration.name} has no twin in rollbacks/" in edited.detail
    assert f"{third.migration.name} has no twin in verify/" in edited.detail
    assert locks(second) is None


def test_a_gap_in_the_history(copied: list[Phase]) -> None:
    versions = [p.version for p in copied]
    item = scripts_item(copied, {}, [versions[0], versions[2]])
    assert (item.verdict, versions[1] in item.detail) == (WARN, True)


def test_squawk_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "1_bad.sql"
    bad.write_text("alter table t add column c int not null;\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert squawk_item([bad]).verdict is SKIP
    program = tmp_path / "squawk"
    for script in ("#!/bin/sh\nexit 3\n", "#!/bin/sh\necho no json\n"):
        program.write_text(script)
        program.chmod(0o755)
        assert squawk_item([bad]).verdict is SKIP
    program.write_text("#!/bin/sh\necho '[]'\n")
    assert squawk_item([bad]).verdict is PASS


def test_squawk_finds_what_make_check_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path(sys.executable).parent  # where the development requirements put it
    monkeypatch.setenv("PATH", f"{here}:/usr/bin:/bin")
    assert squawk_item([phase.migration for phase in phases()]).verdict is PASS
    bad = tmp_path / "1_bad.sql"
    bad.write_text("set local lock_timeout = '5s';\ndrop table public.users;\n")
    item = squawk_item([bad])
    assert item.verdict is WARN
    assert "1_bad.sql:2 ban-drop-table" in item.detail


def test_what_is_expected_of_tables_stands_in_the_phases() -> None:
    expected = expected_columns()
    assert set(expected) == {
        "public.user_profiles", "public.electricity_readings", "public.token_events",
        "public.recalculation_batches",
    }  # fmt: skip
    assert expected["public.electricity_readings"]["date"] == "date|timestamp with time zone"
    text = "".join(phase.migration.read_text() for phase in phases())
    assert text.count("select ledger.require_columns(") + text.count(
        "perform ledger.require_columns("
    ) == len(expected)
