"""What protects environments, their files, and what can be told of one without asking anybody."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import jwt
import pytest
import typer

from toolkit import settings
from toolkit.cli import confirm as asking
from toolkit.cli import env
from toolkit.cli.confirm import require_confirmation
from toolkit.environments import file, protection
from toolkit.environments.check import check_environment
from toolkit.environments.database_checks import tls_item
from toolkit.environments.items import Grade, Item
from toolkit.environments.project_checks import (
    api_items,
    file_items,
    project_items,
    receipt_items,
)
from toolkit.errors import UsageError
from toolkit.settings import Environment

SECRET = "a-secret-of-more-than-thirty-two-bytes"
STAGING = Environment("staging")
PRODUCTION = Environment("production", protection="confirm")
Types = Callable[..., tuple[int, str, str]]


def key(role: str, *, secret: str = SECRET, **claims: object) -> str:
    return jwt.encode({"role": role, **claims}, secret, algorithm="HS256")


def test_an_open_environment_needs_no_name() -> None:
    protection.confirm(STAGING, "deploy", None)
    protection.confirm(STAGING, "deploy", "staging")


def test_a_protected_one_needs_its_own() -> None:
    protection.confirm(PRODUCTION, "deploy", "production")
    with pytest.raises(UsageError, match="deploy: production is protected") as refused:
        protection.confirm(PRODUCTION, "deploy", None)
    assert "--confirm production" in refused.value.next_step


@pytest.mark.parametrize("typed", ["", "staging", "Production", "production "])
def test_another_name_stops_both(typed: str) -> None:
    for environment in (PRODUCTION, replace(STAGING, name="dev")):
        with pytest.raises(UsageError, match="another name was typed"):
            protection.confirm(environment, "deploy", typed)


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_somebody_is_there", lambda: False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Somebody who answers."""

    def answers(answer: str) -> None:
        monkeypatch.setattr(asking, "_somebody_is_there", lambda: True)
        monkeypatch.setattr(typer, "prompt", lambda *_, **__: answer)
        monkeypatch.setattr(typer, "confirm", lambda *_, **__: answer == "y")

    return answers


def test_yes_is_enough_for_an_open_one_only() -> None:
    require_confirmation(STAGING, "deploy", None, yes=True)
    with pytest.raises(UsageError, match="protected") as refused:
        require_confirmation(PRODUCTION, "deploy", None, yes=True)
    assert "--confirm production" in refused.value.next_step
    require_confirmation(PRODUCTION, "deploy", "production", yes=False)
    require_confirmation(STAGING, "deploy", "staging", yes=False)


def test_without_a_terminal_the_option_to_add_is_named() -> None:
    with pytest.raises(UsageError, match="nobody to ask") as refused:
        require_confirmation(STAGING, "deploy", None, yes=False)
    assert "--yes" in refused.value.next_step
    with pytest.raises(UsageError) as refused:
        require_confirmation(PRODUCTION, "deploy", None, yes=False)
    assert "--confirm production" in refused.value.next_step


def test_on_a_terminal_an_open_one_asks_for_a_yes(terminal: Callable[[str], None]) -> None:
    terminal("y")
    require_confirmation(STAGING, "deploy", None, yes=False)
    terminal("n")
    with pytest.raises(typer.Exit):
        require_confirmation(STAGING, "deploy", None, yes=False)


def test_on_a_terminal_a_protected_one_asks_for_its_name(terminal: Callable[[str], None]) -> None:
    terminal(" production ")
    for yes in (False, True):
        require_confirmation(PRODUCTION, "deploy", None, yes=yes)
    for answer in ("y", "", "staging"):
        terminal(answer)
        with pytest.raises(UsageError, match="another name"):
            require_confirmation(PRODUCTION, "deploy", None, yes=False)


def test_a_wrong_option_is_not_asked_about(terminal: Callable[[str], None]) -> None:
    terminal("production")
    with pytest.raises(UsageError, match="another name"):
        require_confirmation(PRODUCTION, "deploy", "staging", yes=True)


@pytest.mark.parametrize(
    "value",
    ["plain", "it's", 'a"b', "a\\b", "a\\'b", "\\", "# no comment", " = ", "$x", "a#b", "ü🔑"],
)
def test_a_value_reads_back_as_it_was_given(value: str, tmp_path: Path) -> None:
    path = tmp_path / ".env.staging"
    file.write(path, file.render("staging", {"SUPABASE_JWT_SECRET": value, "DATABASE_URL": "x"}))

    read = settings.parsed(path.read_text("utf-8"))
    assert read == {"SUPABASE_JWT_SECRET": value, "DATABASE_URL": "x"}


@pytest.mark.parametrize("value", ["a\nB=c", "a\rb", "${HOME}", "x${NOT_SET:-y}", "a\0b"])
def test_a_value_that_would_read_back_otherwise_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="SUPABASE_JWT_SECRET cannot stand") as refused:
        file.render("staging", {"SUPABASE_JWT_SECRET": value})
    assert value not in str(refused.value)


def test_the_template_says_something_of_every_variable() -> None:
    assert tuple(file.TEMPLATE) == settings.VARIABLES
    text = file.render("live", {})

    assert settings.parsed(text) == {}
    for variable in settings.VARIABLES:
        assert f"# {variable}=" in text
    assert "# METERLEDGER_PROTECTION=confirm" in text


def test_a_file_is_for_its_owner_only_and_never_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / ".env.staging"
    file.write(path, "A=1\n")
    assert path.stat().st_mode & 0o777 == 0o600

    path.chmod(0o644)
    with pytest.raises(UsageError, match=r"\.env\.staging is there already"):
        file.write(path, "A=2\n")
    assert path.read_text() == "A=1\n"
    file.write(path, "A=2\n", force=True)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("A=2\n", 0o600)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_link_in_the_files_place_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    (tmp_path / ".env.staging").symlink_to(other)
    with pytest.raises(UsageError):
        file.write(tmp_path / ".env.staging", "A=1\n")
    file.write(tmp_path / ".env.staging", "A=1\n", force=True)
    assert not other.exists()


def grades(items: Iterator[Item]) -> dict[str, Grade]:
    return {item.name: item.grade for item in items}


@pytest.mark.parametrize(
    ("mode", "grade"), [(0o600, "pass"), (0o400, "pass"), (0o640, "warn"), (0o604, "warn")]
)
def test_a_file_that_others_may_read_is_warned_of(mode: int, grade: str, tmp_path: Path) -> None:
    path = tmp_path / ".env.staging"
    path.write_text("")
    path.chmod(mode)
    (item,) = file_items(replace(STAGING, file=path))

    assert item.grade == grade
    assert item.next_step == ("" if grade == "pass" else "chmod 600 .env.staging")


def test_what_the_process_overrides_is_warned_of() -> None:
    assert grades(file_items(replace(STAGING, overridden=("DATABASE_URL",)))) == {
        "file": Grade.PASS,
        "process": Grade.WARN,
    }


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"anon_key": key("service_role")}, "anon key", "another role"),
        ({"service_key": key("anon")}, "service key", "another role"),
        ({"anon_key": "sb_secret_x"}, "anon key", "another role"),
        ({"service_key": "sb_publishable_x"}, "service key", "another role"),
        ({"anon_key": "eyJbroken"}, "anon key", "no whole JWT"),
        ({"anon_key": key("anon", exp=int(time.time()) - 9)}, "anon key", "expired"),
        ({"anon_key": key("anon", secret="another-" + SECRET)}, "anon key", "did not sign"),
        ({"api_url": "https://x.supabase.co/rest/v1"}, "api", "has a path"),
        ({"api_url": "x.supabase.co"}, "api", "not of the form"),
        ({"api_url": "https://u:hush@x.supabase.co"}, "api", "not of the form"),
    ],
)
def test_a_wrong_key_or_url_fails_alone(changes: dict[str, str], name: str, words: str) -> None:
    good = replace(
        STAGING,
        api_url="https://abc.supabase.co",
        anon_key=key("anon", exp=int(time.time()) + 9999),
        service_key=key("service_role"),
        jwt_secret=SECRET,
    )
    assert set(grades(api_items(good, ask=False)).values()) == {Grade.PASS}

    items = list(api_items(replace(good, **changes), ask=False))  # type: ignore[arg-type]
    (bad,) = (item for item in items if item.grade is not Grade.PASS)
    assert (bad.name, bad.grade) == (name, Grade.FAIL)
    assert words in bad.found
    assert "hush" not in bad.found
    assert bad.next_step


def test_an_api_that_does_not_answer_fails() -> None:
    items = {i.name: i for i in api_items(replace(STAGING, api_url="http://127.0.0.1:1"), ask=True)}

    assert items["api"].grade is Grade.FAIL
    assert items["api"].found == "127.0.0.1:1 does not answer (ConnectError)"


@pytest.mark.parametrize(
    "told",
    [
        {"project_ref": "abc", "api_url": "https://xyz.supabase.co"},
        {"project_ref": "abc", "database_url": "postgresql://u:p@db.xyz.supabase.co/postgres"},
        {
            "database_url": "postgresql://postgres.xyz:p@aws-0-a.pooler.supabase.com:5432/postgres",
            "api_url": "https://abc.supabase.co",
        },
        {"project_ref": "abc", "service_key": key("service_role", ref="xyz")},
    ],
)
def test_two_projects_mixed_fail(told: dict[str, str]) -> None:
    (item,) = project_items(replace(STAGING, **told))  # type: ignore[arg-type]
    assert item.grade is Grade.FAIL
    assert "xyz" in item.found
    same = {name: value.replace("xyz", "abc") for name, value in told.items()}
    same["service_key"] = key("service_role", ref="abc")
    (item,) = project_items(replace(STAGING, **same))  # type: ignore[arg-type]
    assert item.grade is Grade.PASS


def test_a_project_that_nothing_tells_of_is_not_judged() -> None:
    assert not list(project_items(replace(STAGING, database_url="postgresql://u@10.0.0.1/x")))


def test_a_receipt_key_must_be_there_and_long() -> None:
    for found, grade in ((None, "warn"), ("short", "warn"), ("x" * 32, "pass")):
        (item,) = receipt_items(replace(STAGING, receipt_key=found))
        assert item.grade == grade


def test_one_database_under_two_names_fails() -> None:
    here = replace(STAGING, database_url="postgresql://a:x@127.0.0.1:1/x")
    twin = Environment("production", "postgresql://b:y@127.0.0.1:1/x?sslmode=disable")
    other = Environment("dev", "postgresql://a:x@127.0.0.1:1/y")

    def judged(*others: Environment) -> list[Item]:
        return [i for i in check_environment(here, others=others).items if "one data" in i.name]

    assert judged(here, other) == []
    (item,) = judged(other, twin)
    assert (item.grade, item.found) == (Grade.FAIL, "production names the same database")


def test_tenants_of_one_pooler_are_not_one_database() -> None:
    url = "postgresql://postgres.{}:p@127.0.0.1:1/postgres"
    here, other = (replace(STAGING, name=n, database_url=url.format(n)) for n in ("abc", "xyz"))

    names = [item.name for item in check_environment(here, others=[other]).items]
    assert "one database, one name" not in names


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    """Types `meterledger env …` in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name in (*settings.VARIABLES, "METERLEDGER_DATABASE_URL", "METERLEDGER_HOME"):
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


def test_init_writes_what_options_and_the_process_say(
    types: Types, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush@h:1/x")
    monkeypatch.setenv("SUPABASE_ANON_KEY", key("anon"))
    code, out, told = types(
        *("init", "staging", "--time-zone", "Asia/Jakarta", "--retention-days", "7"),
        *("--api-url", "https://abc.supabase.co", "--protection", "confirm"),
    )

    assert (code, out) == (0, "written: .env.staging\n")
    assert "DATABASE_URL, SUPABASE_ANON_KEY" in told
    assert "database: me@h:1/x" in told
    assert "hush" not in told + out
    monkeypatch.delenv("DATABASE_URL")
    found = settings.environment("staging", {}, folder=tmp_path)
    assert found.database_url == "postgresql://me:hush@h:1/x"
    assert (found.time_zone, found.retention_days) == ("Asia/Jakarta", 7)
    assert (found.api_url, found.protection) == ("https://abc.supabase.co", "confirm")
    assert (tmp_path / ".env.staging").stat().st_mode & 0o777 == 0o600


def test_init_never_overwrites_unasked(types: Types, tmp_path: Path) -> None:
    (tmp_path / ".env.staging").write_bytes(b"\xff")
    code, out, told = types("init", "staging")
    assert (code, out) == (2, "")
    assert "--force" in told
    assert (tmp_path / ".env.staging").read_bytes() == b"\xff"

    assert types("init", "staging", "--force")[0] == 0
    assert "# DATABASE_URL=" in (tmp_path / ".env.staging").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("staging", "--protection", "maybe"), "METERLEDGER_PROTECTION"),
        (("staging", "--time-zone", "Mars"), "no time zone"),
        (("staging", "--api-url", "nonsense"), "https://HOST"),
        (("staging", "--retention-days", "0"), "--retention-days"),
        (("a/b",), "no name of an environment"),
        (("local",), "no environment of its own"),
        (("example",), "no environment of its own"),
    ],
)
def test_init_writes_nothing_that_cannot_be_right(
    types: Types, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    code, out, told = types("init", *words)

    assert (code, out) == (2, "")
    assert message in told
    assert list(tmp_path.iterdir()) == []


def test_init_refuses_a_key_of_another_role_without_showing_it(
    types: Types, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_ANON_KEY", key("service_role"))
    code, _, told = types("init", "staging")

    assert code == 2
    assert "key of another role" in told
    assert "eyJ" not in told


def test_init_asks_for_secrets_without_echo(
    types: Types, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, bool] = {}

    def prompt(text: str, *, hide_input: bool, err: bool, **_: object) -> str:
        name = text.partition(" ")[0]
        asked[name] = hide_input
        assert err
        return "postgresql://me:hush@h/x" if name == "DATABASE_URL" else ""

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "prompt", prompt)
    code, out, told = types("init", "staging", "--project-ref", "abc")

    assert code == 0
    assert "hush" not in out + told
    assert set(asked) == set(settings.VARIABLES) - {"SUPABASE_PROJECT_REF"}
    assert {name for name, hidden in asked.items() if hidden} == file.SECRETS
    assert settings.parsed((tmp_path / ".env.staging").read_text()) == {
        "DATABASE_URL": "postgresql://me:hush@h/x",
        "SUPABASE_PROJECT_REF": "abc",
    }


def test_the_help_of_init_says_why_secrets_are_no_options(types: Types) -> None:
    code, out, _ = types("init", "--help")

    assert code == 0
    assert "process list" in " ".join(out.split())
    for secret in ("--database-url", "--anon-key", "--service", "--jwt", "--receipt"):
        assert secret not in out


def test_show_hides_secrets_and_shows_the_rest(types: Types, tmp_path: Path) -> None:
    (tmp_path / ".env.live").write_text(
        "DATABASE_URL=postgresql://me:hush@h:1/x\nSUPABASE_JWT_SECRET=hush\n"
    )
    code, out, _ = types("show", "live")
    values = json.loads(types("show", "live", "--json")[1])["values"]

    assert code == 0
    assert "DATABASE_URL=postgresql://me:***@h:1/x" in out.splitlines()
    assert "hush" not in out + str(values)
    assert values["SUPABASE_JWT_SECRET"] == "***"
    assert values["METERLEDGER_PROTECTION"] == "confirm"
    assert values["SUPABASE_ANON_KEY"] is None


@pytest.mark.parametrize("url", ["postgresql://me:hu sh@h/x", "postgresql://me:hu@sh@h/x", "hush"])
def test_a_url_that_cannot_be_read_is_not_shown_at_all(
    types: Types, tmp_path: Path, url: str
) -> None:
    (tmp_path / ".env.dev").write_text(f"DATABASE_URL='{url}'\n")

    assert "DATABASE_URL=***" in types("show", "dev")[1].splitlines()
    out = types("list", "--offline")[1]
    assert "dev: DATABASE_URL cannot be parsed" in out
    assert "sh@" not in out


def test_list_offline_and_one_that_cannot_be_read(types: Types, tmp_path: Path) -> None:
    (tmp_path / ".env.staging").write_text("DATABASE_URL=postgresql://me:hush@h:1/x\n")
    (tmp_path / ".env.broken").write_text("METERLEDGER_BACKUP_RETENTION_DAYS=never\n")
    code, out, _ = types("list", "--offline", "--json")

    assert code == 0
    assert json.loads(out) == {
        "environments": [
            {
                "name": "broken",
                "database": None,
                "protection": None,
                "recorded": None,
                "trouble": "METERLEDGER_BACKUP_RETENTION_DAYS is no positive whole number of days",
            },
            {
                "name": "staging",
                "database": "me@h:1/x",
                "protection": "open",
                "recorded": None,
                "trouble": None,
            },
        ]
    }
    assert "me@h:1/x" in types("list", "--offline")[1]


def test_no_environment_at_all_says_how_to_make_one(types: Types) -> None:
    code, _, told = types("list")

    assert code == 0
    assert "meterledger env init NAME" in told


@pytest.mark.parametrize("command", ["show", "check", "record"])
def test_local_has_no_file(types: Types, command: str) -> None:
    code, out, told = types(command, "local")

    assert (code, out) == (2, "")
    assert "meterledger local status" in told


@pytest.mark.parametrize(
    ("in_use", "host", "mode", "grade"),
    [
        (False, "127.0.0.1", "disable", "pass"),
        (False, "::1", "disable", "pass"),
        (False, "localhost", "prefer", "pass"),
        (False, "/run/postgresql", "prefer", "pass"),
        (False, "10.1.2.3", "prefer", "fail"),
        (False, "db.abc.supabase.co", "disable", "fail"),
        (True, "db.abc.supabase.co", "prefer", "warn"),
        (True, "db.abc.supabase.co", "require", "pass"),
        (True, "db.abc.supabase.co", "verify-full", "pass"),
    ],
)
def test_tls_is_wanted_beyond_this_machine(in_use: bool, host: str, mode: str, grade: str) -> None:
    connection = mock.Mock()
    connection.pgconn.ssl_in_use = in_use
    connection.info.host, connection.info.hostaddr = host, ""
    there = replace(STAGING, database_url=f"postgresql://u:p@h/x?sslmode={mode}")
    item = tls_item(connection, there)

    assert (item.name, item.grade) == ("tls", grade)
    assert bool(item.next_step) is (grade != "pass")
