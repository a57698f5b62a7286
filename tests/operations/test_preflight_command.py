"""meterledger preflight, typed by an operator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

import toolkit.cli
from tests.support.database import Database
from tests.support.household import ZONE, plant
from tests.support.pgbouncer import transaction_pooler
from tests.support.rollout import apply
from tests.support.servers import Databases, MakeDatabase, Template, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.cli import run
from toolkit.cli.preflight import preflight
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE
from toolkit.operations.preflight.run import CHECKS
from toolkit.operations.preflight.scripts import checksums
from toolkit.operations.promote.receipt import Receipt, sign, write

Types = Callable[..., tuple[int, str, str]]
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def shared(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """A dual-write database before the rollout, to be looked at."""
    owner = databases(default_major())
    database = owner.make(Template(StartingPoint.DUAL_WRITE))
    plant(database, StartingPoint.DUAL_WRITE)
    yield database
    owner.drop(database)


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    """Types `meterledger preflight …` in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METERLEDGER_HOME", str(tmp_path / "home"))
    for name in ("METERLEDGER_DATABASE_URL", "DATABASE_URL", "METERLEDGER_RECEIPT_KEY"):
        monkeypatch.delenv(name, raising=False)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("preflight")(preflight)
    app.command("other")(lambda: None)
    monkeypatch.setattr(toolkit.cli, "app", app)

    def type_in(*words: str) -> tuple[int, str, str]:
        code = run(["preflight", *words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    return type_in


def environment(name: str, url: str, **variables: str) -> None:
    lines = [f"DATABASE_URL={url}", *(f"{key}={value}" for key, value in variables.items())]
    Path(f".env.{name}").write_text("\n".join(lines))


def test_a_table_and_what_is_left_to_do(shared: Database, types: Types) -> None:
    environment("staging", shared.url, METERLEDGER_TIME_ZONE=ZONE)
    code, out, err = types("staging")

    assert code == EXIT_OK
    assert out.startswith("preflight of staging: postgres@127.0.0.1:")
    assert "then: --acknowledge upsert" in out
    assert "next: meterledger backup staging" in out
    assert out.splitlines()[-1].startswith("ready: ")
    assert err.splitlines()[0] == "preflight …"
    assert "  pass server version" in err.splitlines()


def test_as_json_without_secrets(shared: Database, types: Types) -> None:
    environment("staging", shared.url)
    secret = shared.url.split(":")[2].split("@")[0]
    code, out, err = types("staging", "--json", "--time-zone", ZONE, "--acknowledge", "upsert")
    answer = json.loads(out)

    assert code == EXIT_OK
    assert set(answer) == {"environment", "database", "ready", "seconds", "counts", "items"}
    assert [item["name"] for item in answer["items"]] == list(CHECKS)
    for item in answer["items"]:
        assert set(item) == {"name", "title", "verdict", "detail", "next_step", "figures"}
    verdicts = {item["name"]: item["verdict"] for item in answer["items"]}
    assert verdicts["client_upserts"] == "pass"
    assert sum(answer["counts"].values()) == len(CHECKS)
    assert secret not in out + err


def test_what_fails_is_exit_code_1(shared: Database, types: Types) -> None:
    environment("staging", shared.url)
    code, out, _ = types("staging")

    assert code == EXIT_FINDINGS
    assert "fail time zone of the app's days" in out
    assert "--time-zone Asia/Jakarta" in out
    assert out.splitlines()[-1].startswith("not ready: ")


def test_a_protected_environment_wants_backup_and_receipt(
    shared: Database, types: Types, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment("production", shared.url, METERLEDGER_RECEIPT_KEY=KEY, METERLEDGER_BACKUPS="kept")
    words = ("production", "--json", "--time-zone", ZONE)
    code, out, _ = types(*words)
    failed = {i["name"] for i in json.loads(out)["items"] if i["verdict"] == "fail"}
    assert (code, failed) == (EXIT_FINDINGS, {"backup", "receipt"})

    from datetime import UTC, datetime  # noqa: PLC0415

    now = datetime.now(UTC).isoformat()
    (tmp_path / "kept" / "1").mkdir(parents=True)
    (tmp_path / "kept" / "1" / "manifest.json").write_text(
        json.dumps({"made_at": now, "environment": "production", "verified": True})
    )
    receipt = Receipt(
        "staging", "db", checksums(), "", {"valid": True}, {"isolated": True}, {}, "", now
    )
    write(tmp_path / "good.json", receipt, sign(receipt, KEY))
    write(tmp_path / "forged.json", receipt, sign(receipt, KEY[::-1]))

    assert types(*words, "--receipt", "good.json")[0] == EXIT_OK
    code, out, _ = types(*words, "--receipt", "forged.json")
    assert code == EXIT_FINDINGS
    assert "not signed with this" in out


def test_a_database_that_says_it_is_another_one(make_database: MakeDatabase, types: Types) -> None:
    database = make_database(StartingPoint.EMPTY)
    apply(database)
    with database.connect() as connection:
        connection.execute("update ledger.settings set environment = 'production'")
    environment("staging", database.url)
    code, out, err = types("staging")
    assert (code, out) == (EXIT_USAGE, "")
    assert "'production'" in err


def test_through_a_pooler_in_transaction_mode(shared: Database, types: Types) -> None:
    with transaction_pooler(shared) as url:
        environment("staging", url, METERLEDGER_TIME_ZONE=ZONE)
        code, out, _ = types("staging", "--json")
    failed = {i["name"] for i in json.loads(out)["items"] if i["verdict"] == "fail"}
    assert (code, failed) == (EXIT_FINDINGS, {"pooler"})


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["mars"], EXIT_USAGE, "there is no environment 'mars'"),
        (["local", "--acknowledge", "nonsense"], 2, "nothing is acknowledged by 'nonsense'"),
        (["local", "--time-zone", "Mars/Base"], EXIT_USAGE, "there is no time zone 'Mars/Base'"),
        (["--patience", "0"], EXIT_USAGE, "--patience"),
        (["--database-url", "postgresql://me:hidden-word@127.0.0.1:1/x"], 3, "nothing answers"),
    ],
)
def test_bad_input_is_one_message(
    shared: Database, types: Types, words: list[str], code: int, message: str
) -> None:
    if words[0] == "local":
        words = [*words, "--database-url", shared.url]
    found, out, err = types(*words)
    assert (found, out) == (code, "")
    assert message in err
    assert "hidden-word" not in err
