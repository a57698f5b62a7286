"""meterledger validate, typed by an operator."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.proven import proven, proven_copy
from tests.support.servers import Databases, MakeDatabase, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.cli import run
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_OPERATIONAL, EXIT_USAGE

Types = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shared(databases: Callable[[int], Databases]) -> Database:
    """A proven database, to be looked at."""
    return proven(databases(default_major()))


@pytest.fixture(scope="module")
def spoilt(databases: Callable[[int], Databases]) -> Iterator[tuple[Database, str]]:
    """A database with three legacy rows changed behind the sync's back, and the user's id."""
    with proven_copy(databases(default_major())) as copy:
        with copy.admin() as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute(
                "update public.electricity_readings set notes = 'changed' where id in"
                " (select reading_id from ledger.migrated_readings order by reading_id limit 3)"
            )
        rows = copy.rows("select id::text from public.electricity_readings where notes = 'changed'")
        assert len(rows) == 3
        yield copy, rows[0][0]


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    """Types `meterledger validate …` in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METERLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("METERLEDGER_DATABASE_URL", raising=False)

    def type_in(*words: str) -> tuple[int, str, str]:
        code = run(["validate", *words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    return type_in


def test_a_valid_database(shared: Database, types: Types) -> None:
    code, out, err = types("--database-url", shared.url)

    assert code == EXIT_OK
    assert "positions recomputed outside the database" in out
    assert "legacy rows that cannot become an event: 22" in out
    assert "them: meterledger rejects local --database-url …" in out
    assert err.splitlines()[0] == "validate …"
    assert "  ok   every phase holds" in err.splitlines()


def test_as_json(shared: Database, types: Types) -> None:
    code, out, _ = types("--database-url", shared.url, "--json")
    answer = json.loads(out)

    assert code == EXIT_OK
    assert set(answer) == {"database", "valid", "pending", "differences", "seconds", "checks"}
    assert (answer["valid"], answer["pending"], answer["differences"]) == (True, 0, 0)
    for check in answer["checks"]:
        assert set(check) == {
            *("name", "title", "verdict", "count", "findings", "next_step", "seconds", "figures")
        }
    figures = {check["name"]: check["figures"] for check in answer["checks"]}
    assert figures["mv_refresh"]["mv_bytes"] > 0
    assert figures["plan"]["index"] == "readings_newest"
    assert "@" in answer["database"]
    assert shared.url.split(":")[2].split("@")[0] not in out


def test_findings_are_named_counted_and_answered(
    spoilt: tuple[Database, str], types: Types
) -> None:
    database, row = spoilt
    code, out, _ = types("--database-url", database.url)

    assert code == EXIT_FINDINGS
    assert "the view gives every legacy row back, field by field: 6" in out
    assert re.search(rf"\[{row} [\w-]+\]$", out, re.M)
    assert "next: this is a defect" in out


def test_findings_as_json_first_few_and_a_count(spoilt: tuple[Database, str], types: Types) -> None:
    database, _ = spoilt
    code, out, _ = types("--database-url", database.url, "--json", "--show", "2")
    answer = json.loads(out)
    lossless = next(check for check in answer["checks"] if check["name"] == "lossless")

    assert code == EXIT_FINDINGS
    assert answer["valid"] is False
    assert answer["differences"] >= lossless["count"] == 6
    assert len(lossless["findings"]) == 2
    assert set(lossless["findings"][0]) == {"user_id", "row_id", "finding"}


def test_none_to_show_is_still_a_failure_with_a_next_step(
    spoilt: tuple[Database, str], types: Types
) -> None:
    code, out, _ = types("--database-url", spoilt[0].url, "--show", "0")

    assert code == EXIT_FINDINGS
    assert "next: this is a defect" in out
    assert spoilt[1] not in out


def test_the_url_of_the_environment(
    shared: Database, types: Types, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERLEDGER_DATABASE_URL", shared.url)

    assert types("--json")[0] == EXIT_OK
    assert types("local")[0] == EXIT_OPERATIONAL  # which does not run here


def test_a_database_without_the_phases(make_database: MakeDatabase, types: Types) -> None:
    for start in (StartingPoint.EMPTY, StartingPoint.DUAL_WRITE):
        code, out, err = types("--database-url", make_database(start).url)

        assert (code, out) == (EXIT_OPERATIONAL, "")
        assert "error: this database is not rolled out" in err
        assert "next: roll out first: meterledger deploy local --database-url … --defer" in err


def test_an_empty_migrated_database(db: Database, types: Types) -> None:
    code, out, _ = types("--database-url", db.url, "--json")

    assert code == EXIT_OK
    assert json.loads(out)["valid"] is True


def test_a_role_that_row_level_security_binds(shared: Database, types: Types) -> None:
    code, out, err = types("--database-url", shared.authenticator_url)

    assert (code, out) == (EXIT_OPERATIONAL, "")
    assert "error: this role does not own the tables" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--database-url", "nonsense"], EXIT_USAGE, "cannot be parsed"),
        (["--database-url", "postgresql://me:hidden-word@127.0.0.1:1/x"], 3, "nothing answers"),
        (["--database-url", "postgresql://me:hidden-word@nowhere.invalid/x"], 3, "not known"),
        ([], EXIT_OPERATIONAL, "the local server does not run"),
        (["mars"], EXIT_USAGE, "there is no environment 'mars'"),
        (["--show", "-1"], EXIT_USAGE, "--show"),
        (["--bogus"], EXIT_USAGE, "No such option"),
    ],
)
def test_bad_input_is_one_message(types: Types, words: list[str], code: int, message: str) -> None:
    found, out, err = types(*words)

    assert (found, out) == (code, "")
    assert message in err
    assert "hidden-word" not in err


def test_a_wrong_password_is_not_shown(shared: Database, types: Types) -> None:
    secret = shared.url.split(":")[2].split("@")[0]
    code, out, err = types("--database-url", shared.url.replace(secret, "hidden-word"))

    assert (code, out) == (EXIT_OPERATIONAL, "")
    assert "password" in err
    assert "hidden-word" not in err
    assert secret not in err
