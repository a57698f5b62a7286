"""meterledger local, typed as an operator types it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.support.processes import command
from toolkit.connection import connect
from toolkit.errors import EXIT_OK, EXIT_OPERATIONAL, EXIT_USAGE
from toolkit.local.server import Server


class Operator:
    """Types commands in a project's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def types(self, *words: str) -> str:
        code, shown = command("local", *words, cwd=self.folder)
        assert code == EXIT_OK, shown
        return shown.strip()

    def is_refused(self, *words: str) -> tuple[int, str]:
        code, shown = command("local", *words, cwd=self.folder)
        assert code != EXIT_OK
        assert "Traceback" not in shown
        return code, shown


@pytest.fixture
def operator(home: Path) -> Operator:
    """In a project whose local server is the fixture's, so that it is removed in the end."""
    (home.parent / ".meterledger").mkdir()
    (home.parent / ".meterledger" / "local").symlink_to(home)
    home.mkdir()
    return Operator(home.parent)


def test_from_nothing_to_a_prompt_and_back(operator: Operator) -> None:
    assert operator.types("status").startswith("not made yet")
    assert "PostgreSQL 17" in operator.types("start")
    assert operator.types("start").startswith("it was running already")
    assert operator.types("status").startswith("running: PostgreSQL 17 on 127.0.0.1:")

    with connect(operator.types("url")) as connection:
        assert connection.execute("select current_user::text").fetchone() == ("postgres",)
    with connect(operator.types("url", "--admin", "--database", "template1")) as connection:
        assert connection.execute("select current_user::text, current_database()").fetchone() == (
            "supabase_admin",
            "template1",
        )
    assert operator.types("psql", "-tAc", "select 6 * 7") == "42"
    assert operator.types("psql", "--admin", "--", "-tAc", "select current_user") == (
        "supabase_admin"
    )

    assert operator.types("stop") == "stopped"
    assert operator.types("stop") == "it was not running"
    assert operator.types("status").startswith("stopped: PostgreSQL 17")


def test_status_as_json(operator: Operator) -> None:
    before = json.loads(operator.types("status", "--json"))
    operator.types("start")
    after = json.loads(operator.types("status", "--json"))

    assert (before["running"], before["created"], before["port"]) == (False, False, None)
    assert (after["running"], after["created"], after["major"]) == (True, True, 17)
    assert isinstance(after["port"], int)
    assert isinstance(after["pid"], int)


def test_reset_asks_and_then_gives_an_empty_server(operator: Operator) -> None:
    operator.types("start")
    operator.types("psql", "-c", "create table public.old (id integer)")

    code, shown = operator.is_refused("reset")
    assert code == EXIT_USAGE
    assert "--yes" in shown
    assert "would delete" in operator.types("reset", "--dry-run")
    assert operator.types("psql", "-tAc", "select count(*) from public.old") == "0"

    operator.types("reset", "--yes")
    assert operator.types("psql", "-tAc", "select to_regclass('public.old') is null") == "t"


def test_reset_repairs_a_damaged_state(operator: Operator, home: Path) -> None:
    operator.types("start")
    (home / "state.json").write_text("{")

    code, shown = operator.is_refused("start")
    assert code == EXIT_OPERATIONAL
    assert "next: run meterledger local reset" in shown

    operator.types("reset", "--yes")
    assert operator.types("status").startswith("running")


def test_reset_repairs_a_data_folder_that_is_none(operator: Operator, home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "something").write_text("")

    assert "meterledger local reset" in operator.is_refused("start")[1]
    assert operator.types("status").startswith("stopped")
    operator.types("reset", "--yes")
    assert operator.types("status").startswith("running")


@pytest.mark.parametrize("words", [["url"], ["psql"], ["url", "--admin"]])
def test_a_server_that_does_not_run_has_no_url(operator: Operator, words: list[str]) -> None:
    code, shown = operator.is_refused(*words)

    assert code == EXIT_OPERATIONAL
    assert shown.splitlines() == [
        "error: the local server does not run",
        "next: run meterledger local start",
    ]


def test_a_taken_port_is_one_clear_error(operator: Operator) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])

        code, shown = operator.is_refused("start", "--port", port)

    assert code == EXIT_OPERATIONAL
    assert f"error: port {port}" in shown
    assert "next: " in shown


@pytest.mark.parametrize("words", [["bogus"], ["start", "--port", "0"], ["start", "--port", "x"]])
def test_a_wrong_word_is_a_usage_error(operator: Operator, words: list[str]) -> None:
    assert operator.is_refused(*words)[0] == EXIT_USAGE


def test_a_project_of_another_folder_is_another_server(operator: Operator, home: Path) -> None:
    operator.types("start")
    other = home.parent / "other"
    other.mkdir()

    assert Operator(other).types("status").startswith("not made yet")
    assert Server(home).running()
