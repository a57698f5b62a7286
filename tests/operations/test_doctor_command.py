"""meterledger doctor, typed by an operator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from tests.support.database import Database
from tests.support.rollout import apply
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.cli.doctor import doctor
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, MeterledgerError

Types = Callable[..., tuple[int, str, str]]
BROKEN = (
    "revoke select on ledger.readings from authenticated;"
    "insert into ledger.maintenance (xact_id, purpose) values ('3', 'left');"
    "drop view ledger.open_matches"
)


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    made = make_database(StartingPoint.DUAL_WRITE)
    apply(made)
    return made


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    """Types `meterledger doctor …` in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METERLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("METERLEDGER_DATABASE_URL", raising=False)
    app = typer.Typer()
    app.command()(doctor)

    def type_in(*words: str) -> tuple[int, str, str]:
        try:
            code = app(list(words), standalone_mode=False)
        except MeterledgerError as error:
            code = error.exit_code
            typer.echo(f"error: {error.message}; next: {error.next_step}", err=True)
        shown = capsys.readouterr()
        return int(code or 0), shown.out, shown.err

    return type_in


def break_(database: Database) -> None:
    with database.admin(autocommit=True) as connection:
        connection.execute(BROKEN)


def environment(folder: Path, name: str, database: Database, *more: str) -> None:
    lines = [f"DATABASE_URL={database.url}", *more]
    (folder / f".env.{name}").write_text("\n".join(lines) + "\n")


def test_a_healthy_database(database: Database, types: Types) -> None:
    code, out, err = types("--database-url", database.url)

    assert code == EXIT_OK
    assert "is well: 15 kinds of trouble, none found" in out
    assert "  ok: rights that were lost" in err.splitlines()


def test_troubles_with_their_repairs(database: Database, types: Types, tmp_path: Path) -> None:
    break_(database)
    environment(tmp_path, "staging", database)
    code, out, _ = types("staging")

    assert code == EXIT_FINDINGS
    assert "found: authenticated has lost select on ledger.readings [grants]" in out
    assert (
        "  repair (safe, --fix does it): grant select on ledger.readings to authenticated;" in out
    )
    assert "  repair (look at it first): run: delete from supabase_migrations" in out
    assert "then: meterledger deploy staging" in out
    assert "is well" not in out


def test_fix_applies_the_safe_ones_and_lists_the_rest(
    database: Database, types: Types, tmp_path: Path
) -> None:
    break_(database)
    environment(tmp_path, "staging", database)
    code, out, err = types("staging", "--fix", "--yes")

    assert code == EXIT_FINDINGS
    assert "fixed: authenticated has lost select on ledger.readings" in out
    assert "fixed: ledger.maintenance still names transaction 3" in out
    assert "it lacks view ledger.open_matches [history]" in out
    assert "grant select on ledger.readings to authenticated;" in err  # said before it is done
    assert database.rows("select from ledger.maintenance") == []


def test_all_of_it_fixed_is_exit_code_0(database: Database, types: Types) -> None:
    with database.connect() as connection:
        connection.execute("revoke select on ledger.readings from authenticated")
    code, out, _ = types("--database-url", database.url, "--fix", "--yes", "--json")
    answer = json.loads(out)

    assert code == EXIT_OK
    assert (answer["well"], answer["troubles"], answer["unseen"]) == (True, [], [])
    assert [(one["check"], one["outcome"]) for one in answer["treatments"]] == [("grants", "fixed")]
    assert database.url.split(":")[2].split("@")[0] not in out


def test_without_a_terminal_nothing_is_done_unasked(database: Database, types: Types) -> None:
    break_(database)
    code, out, err = types("--database-url", database.url, "--fix")

    assert (code, out) == (2, "")
    assert "nobody to ask" in err
    assert database.value("select count(*) from ledger.maintenance") == 1


def test_a_protected_environment_wants_its_name(
    database: Database, types: Types, tmp_path: Path
) -> None:
    break_(database)
    environment(tmp_path, "production", database)

    assert types("production", "--fix", "--yes")[0] == 2
    assert types("production", "--fix", "--confirm", "staging")[0] == 2
    assert database.value("select count(*) from ledger.maintenance") == 1
    code, out, _ = types("production", "--fix", "--confirm", "production")
    assert code == EXIT_FINDINGS
    assert "fixed: ledger.maintenance" in out


def test_another_environments_database_is_left_alone(
    database: Database, types: Types, tmp_path: Path
) -> None:
    with database.connect() as connection:
        connection.execute("update ledger.settings set environment = 'production'")
    environment(tmp_path, "staging", database)
    code, out, err = types("staging", "--fix", "--yes")

    assert (code, out) == (2, "")
    assert "'production', not 'staging'" in err
