"""The environment and .env, read in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import settings
from toolkit.errors import UsageError


def test_nothing_set_gives_the_folder_here_and_no_url(tmp_path: Path) -> None:
    found = settings.load({}, folder=tmp_path)

    assert found == settings.Settings(home=tmp_path / ".meterledger")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("METERLEDGER_DATABASE_URL=from-file\nMETERLEDGER_HOME=files\n")

    found = settings.load({"METERLEDGER_DATABASE_URL": "from-environment"}, folder=tmp_path)

    assert found.database_url == "from-environment"
    assert found.home == tmp_path / "files"


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    assert settings.load({"METERLEDGER_HOME": "  "}, folder=tmp_path).home.name == ".meterledger"


@pytest.mark.parametrize(
    ("word", "expected"), [("true", True), ("1", True), ("false", False), ("0", False), ("", False)]
)
def test_ci_is_told_by_its_variable(word: str, expected: bool, tmp_path: Path) -> None:
    assert settings.load({"CI": word}, folder=tmp_path).in_ci is expected


def test_a_bindir_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="METERLEDGER_PG_BINDIR") as refused:
        settings.load({"METERLEDGER_PG_BINDIR": str(tmp_path / "missing")}, folder=tmp_path)
    assert refused.value.exit_code == 2
    assert refused.value.next_step


def test_an_unreadable_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\n")

    with pytest.raises(UsageError, match=r"\.env cannot be read"):
        settings.load({}, folder=tmp_path)


def test_the_repr_does_not_show_the_url(tmp_path: Path) -> None:
    found = settings.load({"METERLEDGER_DATABASE_URL": "postgresql://u:hush@h/d"}, folder=tmp_path)

    assert "hush" not in repr(found)


def test_a_variable_of_its_own_comes_from_the_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METERLEDGER_X", raising=False)
    (tmp_path / ".env").write_text("METERLEDGER_X=y\n")

    assert settings.variable("METERLEDGER_X", folder=tmp_path) == "y"
    assert settings.variable("METERLEDGER_Z", folder=tmp_path) is None


def test_a_program_that_we_start_does_not_see_variables_of_libpq() -> None:
    child = settings.child_environment(
        {"PGPASSWORD": "ours"}, environ={"PGHOST": "elsewhere", "PATH": "/bin", "PGPASSWORD": "x"}
    )

    assert child == {"PATH": "/bin", "PGPASSWORD": "ours"}
