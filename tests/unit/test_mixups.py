"""A shell's DATABASE_URL, and two names for one database: told before anything is connected to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.typing_in import Types, types_in
from toolkit import settings
from toolkit.cli import app
from toolkit.environments.place import place_of
from toolkit.errors import EXIT_OPERATIONAL, EXIT_USAGE

# Nothing answers there: a command that gets as far as connecting says so, with another code.
HERE = "postgresql://postgres:hush-here@127.0.0.1:1/postgres?sslmode=disable"
THERE = "postgresql://postgres:hush-there@127.0.0.1:2/postgres?sslmode=disable"
KEY = "k" * 32
ID = "00000000-0000-0000-0000-000000000001"
RECEIPT = (
    '{"receipt": {"environment": "staging", "database": "x", "phases": {}, "fingerprint": "",'
    ' "validation": {}, "isolation": {}, "versions": {}, "git_commit": "",'
    ' "made_at": "2026-01-01T00:00:00+00:00"}, "signature": "x"}'
)
CHANGING: dict[str, tuple[str, ...]] = {
    "deploy": ("deploy", "staging", "--yes"),
    "backfill": ("backfill", "staging", "--yes"),
    "rollback": ("rollback", "staging", "--to", "nothing", "--yes"),
    "rollout": ("rollout", "staging", "--yes"),
    "receipt": ("receipt", "staging"),
    "promote to it": ("promote", "other", "staging", "--receipt", "receipt.json", "--yes"),
    "promote from it": ("promote", "staging", "free", "--yes"),
    "backup restore": ("backup", "restore", "BACKUP", "--into", "staging", "--yes"),
    "doctor --fix": ("doctor", "staging", "--fix", "--yes"),
    "rejects retry": ("rejects", "retry", "staging", "--all", "--yes"),
    "duplicates keep": ("duplicates", "keep", "staging", "--all", "--because", "x", "--yes"),
    "env record": ("env", "record", "staging"),
}
READING: dict[str, tuple[str, ...]] = {
    "isolation": ("isolation", "staging"),
    "status": ("status", "staging"),
    "deploy --plan": ("deploy", "staging", "--plan"),
    "rollback --plan": ("rollback", "staging", "--to", "nothing", "--plan"),
    "backup": ("backup", "staging"),
    "rejects": ("rejects", "staging"),
}


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    for name in settings.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "receipt.json").write_text(RECEIPT)
    return types_in(app, tmp_path, monkeypatch, capsys)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | None], None]:
    """Writes `.env.<name>`; without a URL, the rest of one."""

    def file(name: str, url: str | None) -> None:
        line = f"DATABASE_URL={url}\n" if url is not None else ""
        (tmp_path / f".env.{name}").write_text(f"{line}METERLEDGER_RECEIPT_KEY={KEY}\n")

    return file


@pytest.fixture
def backup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any folder is taken for a backup: what is restored does not matter here."""
    monkeypatch.setattr("toolkit.cli.backup._source", lambda *_: None)


@pytest.mark.usefixtures("backup")
@pytest.mark.parametrize("typed", CHANGING)
def test_a_shells_database_url_stops_what_changes_something(
    typed: str,
    types: Types,
    write: Callable[[str, str | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("staging", HERE)
    write("free", None)
    monkeypatch.setenv("DATABASE_URL", THERE)
    code, out, err = types(*CHANGING[typed])

    assert code == EXIT_USAGE, err
    assert "DATABASE_URL of the process's environment is postgres@127.0.0.1:2/postgres" in err
    assert ".env.staging says postgres@127.0.0.1:1/postgres" in err
    assert "next: unset DATABASE_URL" in err
    assert "hush" not in out + err


@pytest.mark.usefixtures("backup")
@pytest.mark.parametrize("typed", [name for name in CHANGING if name != "promote from it"])
def test_two_files_of_one_database_stop_what_changes_something(
    typed: str, types: Types, write: Callable[[str, str | None], None]
) -> None:
    write("staging", HERE)
    write("production", HERE.replace("hush-here", "hush-again"))
    code, out, err = types(*CHANGING[typed])

    assert code == EXIT_USAGE, err
    assert "DATABASE_URL of staging and of .env.production is one database" in err
    assert "hush" not in out + err


@pytest.mark.parametrize("typed", READING)
def test_what_only_reads_is_told_and_goes_on(
    typed: str,
    types: Types,
    write: Callable[[str, str | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("staging", HERE)
    write("production", THERE)
    monkeypatch.setenv("DATABASE_URL", THERE)
    code, out, err = types(*READING[typed])

    assert code == EXIT_OPERATIONAL, err
    assert "nothing answers as PostgreSQL at postgres@127.0.0.1:2" in err
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert [".env.staging says" in line for line in warnings] == [True, False]
    assert ".env.production is one database" in warnings[1]
    assert "hush" not in out + err


@pytest.mark.parametrize(
    ("file", "process", "more"),
    [
        pytest.param(None, HERE, (), id="CI without a file"),
        pytest.param(HERE, HERE, (), id="CI that repeats the file"),
        pytest.param("", HERE, (), id="a file that leaves the URL open"),
        pytest.param(HERE, None, (), id="the file alone"),
        pytest.param(HERE.replace("hush", "old"), HERE, (), id="another password"),
        pytest.param(THERE, THERE, ("--database-url", HERE), id="a URL that was typed"),
        pytest.param(THERE, "postgresql://h/x", ("--database-url", HERE), id="typed over both"),
    ],
)
def test_a_url_that_is_meant_is_gone_to(
    file: str | None,
    process: str | None,
    more: tuple[str, ...],
    types: Types,
    write: Callable[[str, str | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if file is not None:
        write("staging", file)
    write("production", "postgresql://postgres@127.0.0.1:3/postgres")
    if process is not None:
        monkeypatch.setenv("DATABASE_URL", process)
    code, _, err = types("backfill", "staging", "--yes", *more)

    assert code == EXIT_OPERATIONAL, err
    assert "nothing answers as PostgreSQL at postgres@127.0.0.1:1" in err
    assert "warning" not in err


def test_a_typed_url_of_another_environment_stops(
    types: Types, write: Callable[[str, str | None], None]
) -> None:
    write("staging", HERE)
    write("production", THERE)
    code, _, err = types("backfill", "staging", "--yes", "--database-url", THERE)

    assert code == EXIT_USAGE
    assert "or say production if you mean that one" in err


def test_a_file_that_cannot_be_read_as_a_url_is_not_shown(
    types: Types, write: Callable[[str, str | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("staging", "postgresql://postgres:hu@sh@127.0.0.1:1/postgres")
    monkeypatch.setenv("DATABASE_URL", HERE)
    code, out, err = types("backfill", "staging", "--yes")

    assert code == EXIT_USAGE
    assert ".env.staging says something that cannot be read" in err
    assert "hu" not in (out + err).replace("hush", "")


def test_one_project_is_one_place_whichever_way() -> None:
    direct = "postgresql://postgres:x@db.abc.supabase.co:5432/postgres?sslmode=require"
    pooler = "postgresql://postgres.{}:y@aws-0-eu-central-1.pooler.supabase.com:{}/postgres"

    assert place_of(direct) == place_of(pooler.format("abc", 5432))
    assert place_of(pooler.format("abc", 5432)) == place_of(pooler.format("abc", 6543))
    assert place_of(direct) != place_of(pooler.format("xyz", 5432))
    assert place_of(HERE) != place_of(THERE)
    assert place_of("") is None
    assert place_of("postgresql://a:b@c@d/x") is None
