"""The command proves only the database that it names: one that says it is another stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.servers import MakeDatabase
from tests.support.typing_in import Types, types_in
from toolkit import cli
from toolkit.bootstrap import StartingPoint
from toolkit.errors import EXIT_OK, EXIT_USAGE


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    """Types `meterledger …` in a folder of its own."""
    return types_in(cli.app, tmp_path, monkeypatch, capsys)


def test_a_database_that_says_it_is_another_environment_is_left_alone(
    make_database: MakeDatabase, types: Types, tmp_path: Path
) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True)
    for name in ("staging", "production"):
        (tmp_path / f".env.{name}").write_text(f"DATABASE_URL={database.url}\n", "utf-8")
    database.rows("update ledger.settings set environment = 'production'")
    page = tmp_path / "proof.html"

    code, out, err = types("isolation", "staging", "--no-advisors", "--html", page)

    assert (code, out) == (EXIT_USAGE, "")
    assert "this database says that it is 'production', not 'staging'" in err
    assert "isolation …" not in err
    assert not page.exists()
    assert types("isolation", "production", "--no-advisors")[0] == EXIT_OK
