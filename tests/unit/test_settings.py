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


def _environment(tmp_path: Path, name: str = "staging", **variables: str) -> settings.Environment:
    return settings.environment(name, {"DATABASE_URL": "x", **variables}, folder=tmp_path)


def test_an_environment_with_a_url_alone_has_usable_defaults(tmp_path: Path) -> None:
    found = _environment(tmp_path)

    assert found == settings.Environment(
        "staging",
        "x",
        backup_folder=tmp_path / ".meterledger" / "backups" / "staging",
        retention_days=30,
    )
    assert (found.protection, found.file, found.overridden) == ("open", None, ())


def test_every_variable_of_an_environment_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / ".env.staging"
    file.write_text(
        "DATABASE_URL=a\nSUPABASE_URL=b\nSUPABASE_ANON_KEY=c\nSUPABASE_SERVICE_ROLE_KEY=d\n"
        "SUPABASE_JWT_SECRET=e\nSUPABASE_PROJECT_REF=f\nMETERLEDGER_TIME_ZONE=Asia/Jakarta\n"
        "METERLEDGER_PROTECTION=confirm\nMETERLEDGER_BACKUPS=kept\n"
        "METERLEDGER_BACKUP_RETENTION_DAYS=7\nMETERLEDGER_RECEIPT_KEY=g\n"
    )

    assert settings.environment("staging", {}, folder=tmp_path) == settings.Environment(
        *("staging", "a", "b", "c", "d", "e", "f", "Asia/Jakarta"),
        protection="confirm",
        backup_folder=tmp_path / "kept",
        retention_days=7,
        receipt_key="g",
    )


def test_the_process_wins_over_the_file_and_what_it_changes_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env.staging").write_text("DATABASE_URL=a\nSUPABASE_URL=b\nSUPABASE_ANON_KEY=c\n")
    found = _environment(tmp_path, SUPABASE_URL="b", SUPABASE_JWT_SECRET="d")

    assert (found.database_url, found.api_url, found.jwt_secret) == ("x", "b", "d")
    assert found.overridden == ("DATABASE_URL",)
    assert found.file == tmp_path / ".env.staging"


@pytest.mark.parametrize(
    ("name", "protection"),
    [
        ("production", "confirm"),
        ("eu-PROD", "confirm"),
        ("live2", "confirm"),
        ("staging", "open"),
        ("dev", "open"),
    ],
)
def test_protection_is_told_by_the_name_unless_it_is_said(
    name: str, protection: str, tmp_path: Path
) -> None:
    assert _environment(tmp_path, name).protection == protection
    for said in ("open", "confirm"):
        assert _environment(tmp_path, name, METERLEDGER_PROTECTION=said).protection == said


def test_another_word_for_protection_is_refused(tmp_path: Path) -> None:
    for word in ("Confirm", "none", "0"):
        with pytest.raises(UsageError, match="METERLEDGER_PROTECTION"):
            _environment(tmp_path, METERLEDGER_PROTECTION=word)


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "x", "٣", "1 0", "+1", "9" * 30])
def test_a_retention_that_is_no_positive_whole_number_is_refused(days: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="METERLEDGER_BACKUP_RETENTION_DAYS") as refused:
        _environment(tmp_path, METERLEDGER_BACKUP_RETENTION_DAYS=days)
    assert refused.value.exit_code == 2


def test_the_home_of_the_backups_is_the_one_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("METERLEDGER_HOME=elsewhere\n")

    home = settings.load({}, folder=tmp_path).home
    assert _environment(tmp_path).backup_folder == home / "backups" / "staging"


def test_environments_are_the_files_but_examples_copies_and_local(tmp_path: Path) -> None:
    for name in ("staging", "production", "example", "local", "a.bak", "staging~", "-x"):
        (tmp_path / f".env.{name}").write_text("")
    (tmp_path / ".env.folder").mkdir()
    (tmp_path / ".env").write_text("")

    assert settings.environments(tmp_path) == ("production", "staging")


@pytest.mark.parametrize("name", ["", "../x", "a b", "a.b", "-a", "a\n"])
def test_a_name_that_is_no_word_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no name of an environment"):
        _environment(tmp_path, name)


def test_an_unknown_environment_names_those_that_there_are(tmp_path: Path) -> None:
    (tmp_path / ".env.staging").write_text("")

    with pytest.raises(UsageError, match="no environment 'mars'") as refused:
        settings.environment("mars", {}, folder=tmp_path)
    assert refused.value.next_step == "there is staging"


def test_the_repr_of_an_environment_shows_no_secret(tmp_path: Path) -> None:
    secrets = (
        *("DATABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
        *("SUPABASE_JWT_SECRET", "METERLEDGER_RECEIPT_KEY"),
    )
    found = _environment(tmp_path, **{name: f"hush-{name}" for name in secrets})

    assert "hush" not in repr(found)
