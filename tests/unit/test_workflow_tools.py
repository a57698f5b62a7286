"""What the workflows run beside meterledger: plans shown, receipts fetched, backups kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.fake_github import PULL_REQUEST, REPOSITORY, TOKEN, fake_github
from tests.support.processes import CHECKOUT
from tools import github

COMMIT = "c0ffee" + "0" * 34


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the step works; no runner is around."""
    monkeypatch.chdir(tmp_path)
    for name in ("API_URL", "REPOSITORY", "SHA", "TOKEN", "STEP_SUMMARY"):
        monkeypatch.delenv(f"GITHUB_{name}", raising=False)
    (tmp_path / "plan.txt").write_text("1 file: create_things\n```\nnot the end\n")
    return tmp_path


def on_a_runner(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("GITHUB_API_URL", url)
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    monkeypatch.setenv("GITHUB_SHA", COMMIT)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")


def test_a_plan_is_printed_where_no_runner_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert github.main(["plan", "plan.txt"]) == 0
    assert "create_things" in capsys.readouterr().out


def test_a_plan_becomes_a_comment_that_its_own_text_cannot_break(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_github() as fake:
        on_a_runner(monkeypatch, fake.url)
        assert github.main(["plan", "plan.txt"]) == 0

    ((number, text),) = fake.comments
    assert number == PULL_REQUEST
    assert text.count("````") == 2
    assert (folder / "summary.md").read_text() == text


def test_a_commit_without_a_request_gets_no_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_github() as fake:
        fake.merged = False
        on_a_runner(monkeypatch, fake.url)
        assert github.main(["plan", "plan.txt"]) == 0

    assert fake.comments == []


def test_a_receipt_is_fetched_and_an_older_one_goes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = folder / github.RECEIPTS / "staging-old.json"
    old.parent.mkdir(parents=True)
    old.touch()
    with fake_github() as fake:
        fake.receipts[COMMIT] = {"../../staging-1.json": b"1", "../../staging-2.json": b"2"}
        on_a_runner(monkeypatch, fake.url)
        assert github.main(["receipt"]) == 0

    (receipt,) = old.parent.iterdir()
    assert (receipt.name, receipt.read_bytes()) == ("staging-2.json", b"2")


def test_another_commits_receipt_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_github() as fake:
        fake.receipts["another"] = {"staging-1.json": b"1"}
        on_a_runner(monkeypatch, fake.url)
        assert github.main(["receipt"]) == 1


def test_a_token_that_may_not_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_github() as fake:
        on_a_runner(monkeypatch, fake.url)
        monkeypatch.setenv("GITHUB_TOKEN", "another")
        assert github.main(["receipt"]) == 3

    assert "GitHub answers 401" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["plan", "missing.txt"], ["receipt"]])
def test_what_is_missing_is_a_wrong_usage(words: list[str]) -> None:
    assert github.main(words) == 2


def keep(folder: Path, store: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CHECKOUT / "tools" / "keep_backup.sh", "production"],
        env={"PATH": path, "BACKUP_STORE": store, "METERLEDGER_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def newest(folder: Path) -> Path:
    """The newest of two backups, beside one that is under way."""
    backups = folder / "home" / "backups" / "production"
    for name in ("20260101T000000Z", "20260201T000000Z", ".partial-1"):
        (backups / name).mkdir(parents=True)
        (backups / name / "manifest.json").write_text(name)
    return backups / "20260201T000000Z"


def test_the_newest_backup_is_kept_in_a_folder_for_its_owner_only(
    folder: Path, newest: Path
) -> None:
    done = keep(folder, str(folder / "store"))

    assert done.returncode == 0, done.stderr
    (kept,) = (folder / "store" / "production").iterdir()
    assert (kept / "manifest.json").read_text() == newest.name
    assert (folder / "store").stat().st_mode & 0o077 == 0


def test_a_bucket_is_written_by_the_aws_command(folder: Path, newest: Path) -> None:
    shim = folder / "bin" / "aws"
    shim.parent.mkdir()
    shim.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/words"\n')
    shim.chmod(0o755)
    done = keep(folder, "s3://bucket/here/", f"{shim.parent}:/usr/bin:/bin")

    assert done.returncode == 0, done.stderr
    words = (shim.parent / "words").read_text().split()
    assert words[:2] == ["s3", "cp"]
    assert words[-2:] == [str(newest), f"s3://bucket/here/production/{newest.name}"]


def test_a_backup_without_a_place_or_a_place_without_a_backup_stops(folder: Path) -> None:
    assert keep(folder, "").returncode == 2
    assert "there is no backup in" in keep(folder, str(folder / "store")).stderr
