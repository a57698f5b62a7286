"""meterledger status, typed by an operator."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from tests.support.database import Database
from tests.support.proven import proven_copy
from tests.support.servers import Databases, default_major
from tests.support.typing_in import Types, types_in
from toolkit.cli.status import status
from toolkit.errors import EXIT_OK, EXIT_OPERATIONAL, EXIT_USAGE, OperationalError

# By its name: the package's attribute `status` may be the function.
module = importlib.import_module("toolkit.cli.status")
PASSWORD = "tr0ub4dor"


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command()(status)
    return types_in(app, tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def database(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """A proven database that says it is staging."""
    with proven_copy(databases(default_major())) as copy:
        with copy.connect() as connection:
            connection.execute("update ledger.settings set environment = 'staging'")
        yield copy


@pytest.fixture
def staging(database: Database, tmp_path: Path) -> Database:
    (tmp_path / ".env.staging").write_text(f"DATABASE_URL={database.url}\n")
    gone = f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/x"
    (tmp_path / ".env.gone").write_text(f"DATABASE_URL={gone}\n")
    return database


def test_a_table_for_people(staging: Database, types: Types) -> None:
    code, shown, _ = types("status", "staging")
    assert code == EXIT_OK
    assert "→ [backfill] →" in shown
    assert "0 of 700 pending; no green receipt since the last change: validate" in shown
    assert "rejects left: 22 (waived: 0)" in shown


def test_one_json_object_or_metrics_for_machines(staging: Database, types: Types) -> None:
    code, shown, _ = types("status", "staging", "--json", "--exact")
    found = json.loads(shown)
    assert (code, found["state"], found["pending"]) == (
        EXIT_OK,
        "backfill",
        {"rows": 0, "exact": True},
    )
    assert found["runs"][0]["kind"] == "migrate"
    code, shown, _ = types("status", "staging", "--prometheus")
    assert code == EXIT_OK
    assert 'meterledger_rejects_open{environment="staging"} 22\n' in shown


def test_a_page_in_a_file(staging: Database, types: Types, tmp_path: Path) -> None:
    code, shown, told = types("status", "staging", "--html", "status.html")
    assert code == EXIT_OK
    assert "[backfill]" in shown
    assert told == "written: status.html\n"
    assert "<h1>Status of staging</h1>" in (tmp_path / "status.html").read_text("utf-8")
    code, _, told = types("status", "staging", "--html", "no/status.html")
    assert code == EXIT_USAGE
    assert "cannot be written" in told


def test_what_contradicts_itself_is_refused(staging: Database, types: Types) -> None:
    for words in (("--json", "--prometheus"), ("--watch", "2", "--json")):
        code, shown, told = types("status", "staging", *words)
        assert (code, shown) == (EXIT_USAGE, "")
        assert "next: leave" in told


def test_another_environments_database_is_not_shown(
    staging: Database, types: Types, tmp_path: Path
) -> None:
    (tmp_path / ".env.staging").rename(tmp_path / ".env.other")
    code, shown, told = types("status", "other")
    assert (code, shown) == (EXIT_USAGE, "")
    assert "this database says that it is 'staging', not 'other'" in told


def test_a_server_that_is_away_is_an_error_without_the_password(
    staging: Database, types: Types
) -> None:
    code, shown, told = types("status", "gone")
    assert (code, shown) == (EXIT_OPERATIONAL, "")
    assert "nothing answers" in told
    assert PASSWORD not in told


@pytest.mark.parametrize("terminal", [False, True])
def test_a_watch_reads_again_until_it_is_interrupted(
    staging: Database, types: Types, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """Once the server is away in between; the watch goes on."""
    naps: list[float] = []
    reads = []
    read_once = module._read

    def read(where: object, exact: bool) -> object:
        reads.append(exact)
        if len(reads) == 2:
            raise OperationalError("nothing answers", next_step="wait")
        return read_once(where, exact)

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_read", read)
    monkeypatch.setattr(module.time, "sleep", nap)
    monkeypatch.setattr(module.out, "_force_terminal", terminal)
    monkeypatch.setattr(module.out, "is_interactive", terminal)
    monkeypatch.setenv("TERM", "xterm")
    code, shown, _ = types("status", "staging", "--watch", "2")
    assert (code, naps, len(reads)) == (EXIT_OK, [2.0, 2.0, 2.0], 3)
    assert shown.count("backfill") >= 2
    assert "no answer: nothing answers; trying again" in shown
