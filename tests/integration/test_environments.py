"""Environments against real servers: the recorded name, and what a check finds."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import typer

from tests.support.database import Database
from tests.support.pgbouncer import transaction_pooler
from tests.support.rollout import apply
from tests.support.servers import MakeDatabase
from tests.support.session_pooler import session_pooler
from tests.support.terminal import INTERRUPTION, converse
from toolkit import settings
from toolkit.bootstrap import StartingPoint
from toolkit.cli import env, target
from toolkit.connection import parse
from toolkit.environments import way
from toolkit.environments.check import check_environment
from toolkit.environments.items import Grade, Item
from toolkit.environments.project_checks import api_items
from toolkit.environments.record import record, recorded, require
from toolkit.environments.way import Way, way_of
from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.settings import Environment

Types = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ours(make_database: MakeDatabase) -> Database:
    """A database with the phases, in which nothing is recorded."""
    database = make_database(StartingPoint.EMPTY)
    apply(database, time_zone="Asia/Jakarta")
    return database


def staging(database: Database, **changes: str) -> Environment:
    return replace(Environment("staging", database.url), **changes)  # type: ignore[arg-type]


def items_of(environment: Environment) -> dict[str, Item]:
    return {i.name: i for i in check_environment(environment, ask_api=False).items}


def test_a_database_says_which_environment_it_is(ours: Database) -> None:
    with ours.connect(autocommit=True) as connection:
        assert recorded(connection) is None
        require(connection, "staging")
        record(connection, "staging")
        record(connection, "staging")
        assert recorded(connection) == "staging"
        require(connection, "staging")


def test_another_name_stops_and_changes_nothing(ours: Database) -> None:
    with ours.connect(autocommit=True) as connection:
        record(connection, "production")
        for attempt in (require, record):
            with pytest.raises(UsageError, match="'production', not 'staging'") as refused:
                attempt(connection, "staging")
            assert "env record staging --replace production" in refused.value.next_step
        assert recorded(connection) == "production"
        record(connection, "staging", force=True)
        assert recorded(connection) == "staging"


def test_local_is_neither_recorded_nor_required(ours: Database) -> None:
    with ours.connect(autocommit=True) as connection:
        record(connection, "local")
        assert recorded(connection) is None
        record(connection, "production")
        require(connection, "local")
        record(connection, "local", force=True)
        assert recorded(connection) == "production"


def test_a_name_is_recorded_where_the_row_is_gone(ours: Database) -> None:
    ours.rows("delete from ledger.settings")
    with ours.connect() as connection:
        record(connection, "staging")
    assert ours.value("select environment from ledger.settings") == "staging"


def test_a_record_belongs_to_the_callers_transaction(ours: Database) -> None:
    with ours.connect() as connection:
        record(connection, "staging")
        connection.rollback()
        assert recorded(connection) is None


def test_without_the_phases_nothing_is_recorded_or_required(make_database: MakeDatabase) -> None:
    with make_database(StartingPoint.DUAL_WRITE).connect(autocommit=True) as connection:
        require(connection, "staging")
        with pytest.raises(OperationalError, match="no place yet"):
            record(connection, "staging")


def test_a_command_aimed_at_another_environment_stops(ours: Database) -> None:
    with ours.connect(autocommit=True) as connection:
        record(connection, "production")
        with pytest.raises(UsageError):
            target.require_recorded(connection, staging(ours))
    with pytest.raises(UsageError):
        target.stop_if_elsewhere(target.Target(ours.url, staging(ours)))
    target.stop_if_elsewhere(target.Target(ours.url, Environment("production")))
    target.stop_if_elsewhere(target.Target(ours.url, Environment("local")))


def test_a_good_environment_passes(ours: Database) -> None:
    with ours.connect() as connection:
        record(connection, "staging")
    items = items_of(staging(ours, time_zone="Asia/Jakarta"))

    for name in ("database url", "connection", "role", "tls", "recorded name", "time zone"):
        assert items[name].grade is Grade.PASS, items[name]
        assert items[name].next_step == ""
    assert items["pooler"].found == "a direct connection"
    assert items["connection"].found.startswith(f"PostgreSQL {ours.major}.")
    assert items["role"].found.startswith("postgres,")


def test_on_both_versions(make_database: MakeDatabase, major: int) -> None:
    report = check_environment(staging(make_database(major=major)), ask_api=False)

    assert report.usable
    names = {item.name: item.found for item in report.items}
    assert names["connection"].startswith(f"PostgreSQL {major}.")
    assert names["recorded name"] == "the database does not say which environment it is"


def test_the_name_of_another_environment_fails(ours: Database) -> None:
    with ours.connect() as connection:
        record(connection, "production")
    item = items_of(staging(ours))["recorded name"]

    assert (item.grade, item.found) == (Grade.FAIL, "the database says that it is 'production'")
    assert item.next_step


@pytest.mark.parametrize(
    ("zone", "grade", "words"),
    [
        ("Asia/Jakarta", Grade.PASS, "Asia/Jakarta"),
        ("Asia/Makassar", Grade.FAIL, "Asia/Jakarta is confirmed"),
        ("Mars/Olympus", Grade.FAIL, "knows no time zone"),
        ("asia/jakarta", Grade.FAIL, "knows no time zone"),
        (None, Grade.PASS, "confirmed in the database"),
    ],
)
def test_the_time_zone(ours: Database, zone: str | None, grade: Grade, words: str) -> None:
    item = items_of(replace(staging(ours), time_zone=zone))["time zone"]

    assert item.grade is grade
    assert words in item.found


def test_a_missing_time_zone_is_warned_of(make_database: MakeDatabase) -> None:
    item = items_of(staging(make_database()))["time zone"]

    assert item.grade is Grade.WARN
    assert "METERLEDGER_TIME_ZONE" in item.next_step


def test_a_role_that_row_level_security_binds_fails(ours: Database) -> None:
    items = items_of(Environment("staging", ours.authenticator_url))

    assert items["role"].grade is Grade.FAIL
    assert "authenticator" in items["role"].found
    assert items["recorded name"].grade is Grade.FAIL
    assert "permission denied" in items["recorded name"].found


@pytest.mark.parametrize(
    ("url", "name", "words"),
    [
        (None, "database url", "missing"),
        ("nonsense", "database url", "cannot be parsed"),
        ("postgresql://me:hush@127.0.0.1:1/x", "connection", "nothing answers"),
        ("postgresql://me:hush@nowhere.invalid/x", "connection", "not known"),
    ],
)
def test_a_database_that_cannot_be_reached(url: str | None, name: str, words: str) -> None:
    item = items_of(Environment("staging", url))[name]

    assert item.grade is Grade.FAIL
    assert words in item.found
    assert item.next_step
    assert "hush" not in item.found + item.next_step


def test_a_wrong_password_fails(ours: Database) -> None:
    secret = parse(ours.url)["password"]
    item = items_of(Environment("staging", ours.url.replace(secret, "hush")))["connection"]

    assert item.grade is Grade.FAIL
    assert "password" in item.found
    assert "hush" not in item.found + item.next_step


def test_a_transaction_pooler_is_told_by_what_it_does(ours: Database) -> None:
    with transaction_pooler(ours) as url:
        assert way_of(url) is Way.TRANSACTION
        item = items_of(Environment("staging", url))["pooler"]

    assert item.grade is Grade.FAIL
    assert "session pooler" in item.next_step


@pytest.mark.parametrize("size", [1, 5])
def test_a_session_pooler_passes(
    ours: Database, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way, "_PATIENCE_SECONDS", 0.3)  # of a second client, where one is all
    with session_pooler(ours, size) as url:
        assert way_of(url) is Way.SESSION
        assert items_of(Environment("staging", url))["pooler"].grade is Grade.PASS


def test_the_transaction_port_is_believed() -> None:
    assert way_of("postgresql://u:p@127.0.0.1:6543/x") is Way.TRANSACTION


class _Api(BaseHTTPRequestHandler):
    status = 401
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(f"{self.path}\n{self.headers}")
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[tuple[str, type[_Api]]]:
    """An API's URL, and the handler behind it."""
    handler = type("Api", (_Api,), {"seen": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("status", "grade"), [(200, "pass"), (401, "pass"), (503, "fail")])
def test_an_api_is_asked_once_and_shown_no_key(
    api: tuple[str, type[_Api]], status: int, grade: str
) -> None:
    url, handler = api
    handler.status = status
    keys = {"anon_key": "sb_publishable_hush", "service_key": "sb_secret_hush"}
    environment = replace(Environment("staging"), api_url=url, **keys)  # type: ignore[arg-type]
    items = {i.name: i for i in api_items(environment, ask=True)}

    assert items["api"].grade == grade
    assert len(handler.seen) == 1
    assert "hush" not in handler.seen[0]


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    """Types `meterledger env …` in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name in (*settings.VARIABLES, "METERLEDGER_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    cli = importlib.import_module("toolkit.cli")
    app = typer.Typer()
    app.add_typer(env.app, name="env")
    monkeypatch.setattr(cli, "app", app)

    def type_in(*words: str) -> tuple[int, str, str]:
        code = cli.run(["env", *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return type_in


def _file(tmp_path: Path, name: str, url: str) -> None:
    path = tmp_path / f".env.{name}"
    path.write_text(f"DATABASE_URL='{url}'\n")
    path.chmod(0o600)


def test_check_list_and_record_as_typed(ours: Database, types: Types, tmp_path: Path) -> None:
    _file(tmp_path, "staging", ours.url)

    assert types("record", "staging")[:2] == (0, "recorded: staging\n")
    assert types("record", "staging")[:2] == (0, "it said staging already\n")
    code, out, _ = types("check", "staging")
    assert code == 0
    assert "pass  recorded name" in out
    assert "it can be used" in out
    (listed,) = json.loads(types("list", "--json")[1])["environments"]
    assert (listed["recorded"], listed["trouble"]) == ("staging", None)


def test_two_files_of_one_database_fail(ours: Database, types: Types, tmp_path: Path) -> None:
    for name in ("staging", "production"):
        _file(tmp_path, name, ours.url)
    code, out, _ = types("check", "staging", "--json")
    report = json.loads(out)

    assert (code, report["usable"]) == (1, False)
    (item,) = (i for i in report["items"] if i["grade"] == "fail")
    assert item["found"] == "production names the same database"


def test_a_copy_is_renamed_by_who_knows_its_name(
    ours: Database, types: Types, tmp_path: Path
) -> None:
    with ours.connect() as connection:
        record(connection, "production")
    _file(tmp_path, "staging", ours.url)

    assert "staging: its database says that it is 'production'" in types("list")[1]
    for words in ((), ("--replace", "prod"), ("--replace", "staging")):
        code, out, told = types("record", "staging", *words)
        assert (code, out) == (2, "")
        assert "production" in told or "prod" in told or "next: " in told
        assert ours.value("select environment from ledger.settings") == "production"
    assert types("record", "staging", "--replace", "production")[0] == 0
    assert ours.value("select environment from ledger.settings") == "staging"


PROGRAM = """
import sys, typer
from toolkit import cli
from toolkit.cli import env
cli.app = typer.Typer()
cli.app.add_typer(env.app, name="env")
sys.exit(cli.run(sys.argv[1:]))
"""


def test_on_a_terminal_init_asks_and_echoes_no_secret(tmp_path: Path) -> None:
    answers = {"DATABASE_URL": "postgresql://me:hush@h:1/x", "SUPABASE_URL": "https://abc.test"}
    answers |= {"SUPABASE_JWT_SECRET": "hush-hush", "METERLEDGER_TIME_ZONE": "Asia/Jakarta"}
    talk = [(name, answers.get(name, "")) for name in settings.VARIABLES]
    code, shown = converse(PROGRAM, ["env", "init", "staging"], talk, tmp_path)

    assert code == 0, shown
    assert "hush" not in shown
    assert "https://abc.test" in shown  # no secret, and so typed with echo
    path = tmp_path / ".env.staging"
    assert settings.parsed(path.read_text()) == answers
    assert path.stat().st_mode & 0o777 == 0o600


def test_on_a_terminal_nothing_is_written_after_an_interruption(tmp_path: Path) -> None:
    talk = [("DATABASE_URL", "postgresql://me:hush@h:1/x"), ("SUPABASE_URL", INTERRUPTION)]
    code, shown = converse(PROGRAM, ["env", "init", "staging"], talk, tmp_path)

    assert code == 130
    assert "interrupted" in shown
    assert list(tmp_path.iterdir()) == []


CONFIRM = """
import sys
from toolkit import cli
from toolkit.cli.confirm import require_confirmation
from toolkit.settings import Environment
import typer
cli.app = typer.Typer()
@cli.app.command()
def change(yes: bool = False):
    require_confirmation(Environment("live", protection="confirm"), "deploy", None, yes)
    print("changed")
sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("words", "answer", "code"), [([], "live", 0), ([], "y", 2), (["--yes"], "", 2)]
)
def test_on_a_terminal_a_protected_environment_wants_its_name(
    tmp_path: Path, words: list[str], answer: str, code: int
) -> None:
    found, shown = converse(CONFIRM, words, [("Type its name", answer)], tmp_path)

    assert found == code, shown
    assert ("changed" in shown) is (code == 0)


def test_find_gives_the_local_server_its_backups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METERLEDGER_HOME", "home")

    found = target.find(None, "postgresql://u@h/x", None).environment
    assert found.backup_folder == tmp_path / "home" / "backups" / "local"
    with pytest.raises(MeterledgerError):
        target.find("mars", None, None)
