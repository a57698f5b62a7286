"""The push through the Supabase CLI: beside the app's own migrations, without secrets, killable."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import sql

from tests.support.database import Database
from tests.support.processes import alive
from tests.support.rollout import history
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.connection import parse
from toolkit.errors import MeterledgerError, OperationalError
from toolkit.rollout import phases, push
from toolkit.rollout.push import find_cli

BASELINE = phases()[0].version


@pytest.fixture
def app(make_database: MakeDatabase) -> Database:
    """A deployed app."""
    return make_database(StartingPoint.DUAL_WRITE)


def refused(url: str) -> MeterledgerError:
    with pytest.raises(MeterledgerError) as error:
        push(url)
    assert error.value.next_step
    return error.value


def words_of(error: MeterledgerError) -> str:
    return "\n".join((error.message, error.next_step, *error.details, repr(error)))


def password_of(database: Database) -> str:
    return parse(database.url)["password"]


@dataclass(frozen=True)
class Stub:
    """A program that stands in for supabase: it notes how it was called."""

    folder: Path

    def calls(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def was_called(self) -> bool:
        return (self.folder / "calls").exists()


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Not the real CLI: a stub that records its arguments and its environment."""
    answers(
        tmp_path / "stub-supabase",
        monkeypatch,
        "import json, os, sys",
        f"with open({str(tmp_path / 'calls')!r}, 'a') as file:",
        "    call = dict(os.environ, argv=' '.join(sys.argv[1:]))",
        "    file.write(json.dumps(call) + chr(10))",
        "print('{}')",
    )
    return Stub(tmp_path)


def answers(path: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    path.write_text("\n".join(["#!/usr/bin/env python3", *lines, ""]))
    path.chmod(0o755)
    monkeypatch.setenv("METERLEDGER_SUPABASE_CLI", str(path))


def test_the_apps_own_migrations_older_and_newer_are_left_alone(app: Database) -> None:
    own = ["1", "20230101000000", "20261101000099", "29991231235959"]
    with app.connect() as connection:
        connection.execute(
            "create schema supabase_migrations; create table supabase_migrations.schema_migrations"
            " (version text primary key, statements text[], name text)"
        )
        connection.execute(
            "insert into supabase_migrations.schema_migrations (version, name, statements)"
            " select v, 'of_the_app', array['select 1/0'] from unnest(%s::text[]) as v",
            (own,),
        )
    told: list[str] = []

    report = push(app.url, through=BASELINE, on_phase=told.append)

    assert report.applied == tuple(told) == (f"{BASELINE}_baseline",)
    assert report.seconds > 0
    assert history(app) == sorted([*own, BASELINE])
    assert push(app.url, through=BASELINE).applied == ()
    names = (
        "select distinct name from supabase_migrations.schema_migrations where version = any (%s)"
    )
    assert app.rows(names, (own,)) == [("of_the_app",)]


def test_a_version_that_no_file_can_have_is_one_clear_error(app: Database) -> None:
    push(app.url, through=BASELINE)
    app.rows("insert into supabase_migrations.schema_migrations (version) values ('../../odd')")

    error = refused(app.url)

    assert isinstance(error, OperationalError)
    assert "supabase db push failed" in error.message


def test_a_failing_phase_says_which_why_and_what_next(app: Database) -> None:
    app.rows("alter table public.electricity_readings drop column kwh_value cascade")

    error = refused(app.url)

    assert error.message.startswith(f"phase {BASELINE}_baseline failed: ")
    assert "kwh_value" in error.message
    assert "\n" not in error.message
    assert error.next_step.endswith(("changed.", "again."))
    assert password_of(app) not in words_of(error)
    assert app.value("select to_regclass('ledger.settings') is null")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("password", "hidden-word"), "password"),
        (("port", "1"), "nothing answers"),
        (("host", "nowhere.invalid"), "not known"),
        (("database", "gone"), "does not exist"),
    ],
)
def test_no_connection_is_one_clear_error_and_the_cli_is_not_started(
    app: Database, stub: Stub, change: tuple[str, str], words: str
) -> None:
    parts = {"host": "127.0.0.1", "password": "hidden-word", "database": app.name}
    parts |= {"port": parse(app.url)["port"]} | dict([change])
    if change[0] == "database":
        parts["password"] = password_of(app)
    address = f"{parts['host']}:{parts['port']}/{parts['database']}"

    error = refused(f"postgresql://postgres:{parts['password']}@{address}?sslmode=disable")

    assert words in error.message
    assert parts["password"] not in words_of(error)
    assert not stub.was_called()


def test_the_password_goes_by_the_environment_of_the_stub(app: Database, stub: Stub) -> None:
    push(app.url, time_zone="Asia/Jakarta", defer_backfill=True)
    [call] = stub.calls()

    assert call["PGPASSWORD"] == password_of(app)
    assert password_of(app) not in call["argv"]
    assert f"/{app.name}?sslmode=disable" in call["argv"]
    assert call["PGOPTIONS"] == "-c ledger.time_zone=Asia/Jakarta -c ledger.defer_backfill=on"
    assert call["SUPABASE_TELEMETRY_DISABLED"] == "1"


@pytest.fixture
def odd_role(app: Database) -> Iterator[tuple[str, str]]:
    """A login whose name and password need percent-encoding: the name and the URL."""
    name, password = f"odd@{app.name}", "p@ss:w/rd #%1 é'\\"
    with app.admin(autocommit=True) as connection:
        connection.execute(
            sql.SQL("create role {} login password {}").format(sql.Identifier(name), password)
        )
        yield (
            password,
            app.url.replace(
                f"postgres:{password_of(app)}@",
                f"odd%40{app.name}:p%40ss%3Aw%2Frd%20%23%251%20%C3%A9%27%5C@",
            ),
        )
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_a_password_of_odd_characters_arrives_at_the_stub(
    stub: Stub, odd_role: tuple[str, str]
) -> None:
    password, url = odd_role
    push(url)
    [call] = stub.calls()

    assert call["PGPASSWORD"] == password
    assert "p@ss" not in call["argv"]
    assert "postgresql://odd%40" in call["argv"]


def test_a_password_of_the_environment_reaches_the_stub_and_the_rest_does_not(
    app: Database, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", password_of(app))
    monkeypatch.setenv("PGAPPNAME", "mine")
    push(app.url.replace(f":{password_of(app)}@", "@"))
    [call] = stub.calls()

    assert call["PGPASSWORD"] == password_of(app)
    assert "PGAPPNAME" not in call


def descendants() -> dict[int, str]:
    """Processes that we started, directly or not, with their arguments."""
    parents, words = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            words[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        parents[int(folder.name)] = int(stat[1])

    def ours(pid: int | None) -> bool:
        while pid:
            pid = parents.get(pid)
            if pid == os.getpid():
                return True
        return False

    return {pid: text for pid, text in words.items() if ours(pid)}


def test_the_real_clis_processes_do_not_show_the_password(app: Database) -> None:
    seen: list[str] = []

    def look(_: str) -> None:
        seen.extend(text for text in descendants().values() if "push" in text)

    push(app.url, through=BASELINE, on_phase=look)

    assert any(app.name in text for text in seen)
    assert not [text for text in seen if password_of(app) in text]


def test_an_interruption_ends_the_cli_and_the_next_push_completes(app: Database) -> None:
    started: list[int] = []

    def interrupt(_: str) -> None:
        started.extend(pid for pid, text in descendants().items() if app.name in text)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(app.url, through=BASELINE, on_phase=interrupt)

    assert started
    assert not [pid for pid in started if alive(pid)]
    push(app.url, through=BASELINE)
    assert history(app) == [BASELINE]


def test_what_a_killed_push_left_behind_is_swept_up(
    app: Database, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "meterledger-push-left" / "supabase"
    left.mkdir(parents=True)
    (tmp_path / "meterledger-push-link").symlink_to(tmp_path / "else")
    (tmp_path / "else").mkdir()

    push(app.url)

    assert sorted(path.name for path in tmp_path.glob("*meterledger-push-*")) == [
        "meterledger-push-link"
    ]
    assert (tmp_path / "else").is_dir()


def test_two_pushes_at_once_do_not_sweep_each_other(
    app: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folders: list[set[Path]] = []

    def push_meanwhile(_: str) -> None:
        before = set(tmp_path.iterdir())
        with pytest.raises(OperationalError):
            push(app.url.replace(app.name, "gone"))
        folders.append(before & set(tmp_path.iterdir()))

    push(app.url, through=BASELINE, on_phase=push_meanwhile)

    assert len(folders[0]) == 1
    assert not list(tmp_path.iterdir())


def test_without_node_the_real_cli_cannot_be_run(
    app: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = find_cli()
    monkeypatch.setenv("METERLEDGER_SUPABASE_CLI", str(cli))
    monkeypatch.setenv("PATH", str(tmp_path))

    error = refused(app.url)

    assert error.message.startswith("the Supabase CLI cannot be run: ")
    assert "node" in error.next_step


def test_a_program_of_another_platform(
    app: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(tmp_path / "stub", monkeypatch)
    (tmp_path / "stub").write_bytes(b"\x00\x01\x02")

    assert refused(app.url).message == "the Supabase CLI cannot be run: Exec format error"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["sys.exit(1)"], "supabase db push failed: it gave no reason"),
        (["sys.exit('no such command: db')"], "supabase db push failed: no such command: db"),
        (
            ['print(\'{"error": {"message": "token sbp_0123456789abcdef"}}\')', "sys.exit(1)"],
            "supabase db push failed: token ***",
        ),
        (
            ["print('postgresql://me:hidden-word@h/x refused', file=sys.stderr)", "sys.exit(1)"],
            "supabase db push failed: postgresql://me:***@h/x refused",
        ),
    ],
)
def test_what_a_failing_stub_says_is_the_reason_without_secrets(
    app: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    message: str,
) -> None:
    answers(tmp_path / "stub", monkeypatch, "import sys", *lines)

    error = refused(app.url)

    assert error.message == message
    assert "hidden-word" not in words_of(error)
