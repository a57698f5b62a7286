"""meterledger rejects and duplicates, typed by an operator."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from tests.support.database import Database
from tests.support.review import NOTES, REASONS, STRANGER, near, rejected, undecided
from tests.support.servers import Databases, MakeDatabase, default_major
from tests.support.typing_in import Types, types_in
from toolkit.bootstrap import StartingPoint
from toolkit.cli.review import duplicates, rejects
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_OPERATIONAL, EXIT_USAGE


@pytest.fixture(scope="module")
def original(databases: Callable[[int], Databases]) -> Iterator[Database]:
    with undecided(databases(default_major())) as database:
        yield database


@pytest.fixture
def staging(
    databases: Callable[[int], Databases], original: Database, tmp_path: Path
) -> Iterator[Database]:
    with databases(default_major()).copy(original) as copy:
        (tmp_path / ".env.staging").write_text(f"DATABASE_URL={copy.url}\n")
        yield copy


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    app = typer.Typer()
    app.add_typer(rejects, name="rejects")
    app.add_typer(duplicates, name="duplicates")
    return types_in(app, tmp_path, monkeypatch, capsys)


def test_plain_rejects_lists_them(staging: Database, types: Types) -> None:
    code, shown, _ = types("rejects", "staging")
    assert code == EXIT_FINDINGS
    assert all(reason[:20] in shown for reason in REASONS)
    assert f"{len(REASONS)} rows left to decide" in shown
    assert types("rejects", "list", "staging")[1] == shown

    code, shown, _ = types("rejects", "staging", "--json")
    found = json.loads(shown)
    assert (code, found["left"], len(found["rejects"])) == (EXIT_FINDINGS, len(REASONS), 10)
    assert "habis" not in shown  # what people wrote is shown on request only
    code, shown, _ = types("rejects", "staging", "--reason-is", "no date", "--json")
    assert [r["reason"] for r in json.loads(shown)["rejects"]] == ["no date"]


def test_help_names_the_commands(types: Types) -> None:
    code, shown, _ = types("rejects", "--help")
    assert code == EXIT_OK
    assert all(word in shown for word in ("list", "show", "export", "correct", "waive", "retry"))


def test_one_row_is_shown_and_steers_nothing(staging: Database, types: Types) -> None:
    code, shown, _ = types("rejects", "show", "staging", rejected("no date"))
    assert code == EXIT_OK
    assert "next: correct the column that the reason names, or waive it" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "tr0ub4dor" not in shown
    code, shown, _ = types("rejects", "show", "staging", rejected("no date"), "--json")
    assert json.loads(shown)["row"]["notes"] == NOTES
    code, _, told = types("rejects", "show", "staging", STRANGER)
    assert code == EXIT_USAGE
    assert f"not rejected: {STRANGER}" in told


@pytest.mark.parametrize(("group", "count"), [("rejects", len(REASONS)), ("duplicates", 3)])
def test_an_export_warns_and_is_private(
    staging: Database, types: Types, tmp_path: Path, group: str, count: int
) -> None:
    for suffix in ("json", "csv"):
        code, shown, told = types(group, "export", "staging", f"left.{suffix}")
        assert (code, shown) == (EXIT_OK, "")
        assert "it holds personal data" in told
        assert stat.S_IMODE((tmp_path / f"left.{suffix}").stat().st_mode) == 0o600
    assert len(json.loads((tmp_path / "left.json").read_text("utf-8"))) == count
    code, _, told = types(group, "export", "staging", "left.csv")
    assert code == EXIT_USAGE
    assert "is there already" in told
    assert types(group, "export", "staging", "left.csv", "--replace")[0] == EXIT_OK


def test_a_correction_is_tried_asked_for_and_made(staging: Database, types: Types) -> None:
    words = ("rejects", "correct", "staging", rejected("no date"), "--set", "date=2024-05-01")
    code, shown, _ = types(*words, "--null", "notes", "--dry-run")
    assert code == EXIT_OK
    assert "date: null → 2024-05-01" in shown
    assert "nothing was changed" in shown
    code, _, told = types(*words)
    assert code == EXIT_USAGE
    assert "there is nobody to ask" in told
    assert types("rejects", "staging", "--json")[1].count(str(rejected("no date"))) == 1

    code, shown, _ = types(*words, "--yes")
    assert code == EXIT_OK
    assert f"corrected and migrated: {rejected('no date')} is event" in shown
    code, _, told = types(*words, "--yes")
    assert code == EXIT_USAGE

    code, _, told = types(
        *("rejects", "correct", "staging", rejected("no user"), "--yes", "--set", "kwh_value=NaN")
    )
    assert code == EXIT_FINDINGS
    assert "nothing was changed" in told
    code, _, told = types("rejects", "correct", "staging", rejected("no user"), "--set", "x")
    assert code == EXIT_USAGE


def test_a_protected_environment_wants_its_name(
    staging: Database, types: Types, tmp_path: Path
) -> None:
    (tmp_path / ".env.staging").rename(tmp_path / ".env.live")
    words = ("rejects", "waive", "live", rejected("no date"), "--because", "test account")
    code, _, told = types(*words, "--yes")
    assert code == EXIT_USAGE
    assert "add --confirm live" in told
    code, shown, _ = types(*words, "--confirm", "live", "--by", "ana")
    assert code == EXIT_OK
    assert f"waived: 1 row; {len(REASONS) - 1} rows left to decide" in shown


def test_waived_and_withdrawn(staging: Database, types: Types) -> None:
    by_reason = ("rejects", "waive", "staging", "--reason-is", "no date")
    code, shown, _ = types(*by_reason, "--because", "x", "--dry-run")
    assert (code, "nothing was changed" in shown) == (EXIT_OK, True)
    assert types(*by_reason, "--yes")[0] == EXIT_USAGE  # no reason given
    assert types("rejects", "waive", "staging", "--because", "x", "--yes")[0] == EXIT_USAGE
    code, shown, _ = types(*by_reason, "--because", "x", "--yes")
    assert f"{len(REASONS) - 1} rows left" in shown
    code, shown, _ = types(*by_reason, "--withdraw", "--yes")
    assert "to be decided again: 1 row" in shown


def test_tried_again(staging: Database, types: Types) -> None:
    code, shown, _ = types("rejects", "retry", "staging", "--all", "--yes")
    assert code == EXIT_FINDINGS
    assert "migrated: 0 rows, of which 0 absorbed a dual-written event; rejected still: " in shown
    staging.rows("insert into auth.users (id) values (%s) returning id", (STRANGER,))
    words = ("rejects", "retry", "staging", rejected("no profile owns it"), "--json")
    assert json.loads(types(*words, "--dry-run")[1])["migrated"] == 1
    code, shown, _ = types(*words, "--yes")
    assert (code, json.loads(shown)["migrated"]) == (EXIT_OK, 1)
    assert types("rejects", "retry", "staging", "--yes")[0] == EXIT_USAGE


def test_duplicates_are_listed_kept_and_merged(staging: Database, types: Types) -> None:
    code, shown, _ = types("duplicates", "staging")
    assert code == EXIT_FINDINGS
    assert "3 left to decide" in shown
    code, shown, _ = types("duplicates", "show", "staging", near("event", 0))
    assert code == EXIT_OK
    assert "20.50" in shown
    assert "\x1b" not in shown

    keep = ("duplicates", "keep", "staging", near("event", 0), "--because", "two meters")
    assert "nothing was changed" in types(*keep, "--dry-run")[1]
    assert types(*keep, "--yes")[1] == "kept: 1\n"
    merge = ("duplicates", "merge", "staging", near("event", 1), near("reading", 1))
    assert "nothing was changed" in types(*merge, "--dry-run")[1]
    assert types(*merge, "--yes")[1].startswith("merged: event")
    assert "merged before, nothing was changed" in types(*merge, "--yes")[1]
    code, shown, _ = types("duplicates", "staging", "--json")
    assert json.loads(shown)["left"] == 1
    code, shown, _ = types("duplicates", "keep", "staging", "--all", "--because", "x", "--yes")
    assert (code, shown) == (EXIT_OK, "kept: 1\n")
    assert types("duplicates", "staging") == (EXIT_OK, "no near matches left to decide\n", "")
    assert types("duplicates", "keep", "staging", "--yes", "--because", "x")[0] == EXIT_USAGE


def test_before_the_phases_there_is_nothing_to_review(
    make_database: MakeDatabase, types: Types, tmp_path: Path
) -> None:
    bare = make_database(StartingPoint.LEGACY_ONLY)
    (tmp_path / ".env.bare").write_text(f"DATABASE_URL={bare.url}\n")
    for group in ("rejects", "duplicates"):
        code, _, told = types(group, "bare")
        assert code == EXIT_OPERATIONAL
        assert "this database is not rolled out" in told
