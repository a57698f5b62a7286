"""What every command has in common: help, usage errors, exit codes, one message an error."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import typer

from toolkit.cli import app, console, run
from toolkit.cli.console import printable
from toolkit.cli.zones import known_zone
from toolkit.errors import FindingsError, OperationalError, UsageError

COMMANDS: dict[str, tuple[str, ...]] = {
    "": ("demo", "rehearse", "validate", "local"),
    "demo": ("--rows", "--seed", "--time-zone", "--keep", "--json", "Exit code 1"),
    "rehearse": ("dump", "--time-zone", "--keep", "--json", "Exit code 1"),
    "validate": ("--database-url", "--show", "--json", "Exit code 0", "1: a check failed"),
    "isolation": (
        *("--database-url", "--access", "--api", "--html", "--json", "rolled back"),
        *("Exit code 0", "1: something was"),
    ),
    "mutation": ("--from", "--sample", "--seed", "--json", "Exit code 1"),
    "env": ("list", "show", "check", "init", "record"),
    "env list": ("--ask", "--offline", "--json"),
    "env show": ("--json",),
    "env check": ("--api", "--no-api", "--json", "Exit code 0"),
    "env init": ("--force", "--time-zone", "process list"),
    "env record": ("--replace",),
    "preflight": ("--acknowledge", "--receipt", "--time-zone", "--json"),
    "backup": ("make", "list", "restore", "prune"),
    "backup make": ("--no-verify", "--json"),
    "backup list": ("--check", "--json"),
    "backup restore": ("--into", "--yes"),
    "backup prune": ("--dry-run",),
    "deploy": (
        "--plan",
        "--defer-backfill",
        "--in-one-transaction",
        "--through",
        "--lock-timeout",
        "--retries",
        "--json",
    ),
    "backfill": ("--batch-rows", "--max-seconds", "--pause-file", "--share", "--max-lag"),
    "cutover": ("--plan", "--acknowledge", "--lock-timeout", "--confirm", "--json", "Exit code 1"),
    "cutback": ("--plan", "--set-aside", "--batch-users", "--confirm", "--json", "Exit code 1"),
    "contract": ("--plan", "--grace-days", "--confirm", "--json", "Exit code 1"),
    "rollback": ("--to", "--plan", "--allow-loss", "--share", "--confirm", "--json"),
    "rollout": ("--from", "--plan", "--confirm", "--json", "Exit code 1"),
    "receipt": ("--json",),
    "promote": ("--receipt", "--max-age", "--plan", "--confirm", "--json"),
    "run": ("refresh_readings", "verify_readings", "prune", "health", "--json", "Exit code 0"),
    "status": ("--json", "--prometheus", "--html", "--watch", "--exact"),
    "doctor": ("--fix", "--json"),
    "rejects": ("list", "show", "export", "correct", "waive", "retry"),
    "duplicates": ("list", "show", "export", "keep", "merge"),
    "rejects list": ("--json",),
    "rejects show": ("--json",),
    "rejects export": ("FILE",),
    "rejects correct": ("--set", "--dry-run"),
    "rejects waive": ("--because", "--dry-run"),
    "rejects retry": ("--all", "--dry-run"),
    "duplicates list": ("--json",),
    "duplicates show": ("--json",),
    "duplicates export": ("FILE",),
    "duplicates keep": ("--because", "--dry-run"),
    "duplicates merge": ("--dry-run",),
    "local app": ("--rows", "--seed"),
    "local": ("start", "stop", "status", "url", "psql", "reset"),
    "local start": ("--port",),
    "local stop": ("its data stays",),
    "local status": ("--json",),
    "local url": ("--database", "--admin", "password"),
    "local psql": ("--database", "--admin"),
    "local reset": ("--yes", "--dry-run"),
}


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run([*command.split(), "--help"])
    shown = capsys.readouterr()

    assert code == 0
    assert shown.err == ""
    for word in COMMANDS[command]:
        assert word in shown.out


def test_no_command_is_left_out_above() -> None:
    def names(group: Any, prefix: str = "") -> set[str]:  # noqa: ANN401 - click's or typer's own
        found = {prefix.strip()}
        for name, command in getattr(group, "commands", {}).items():
            found |= names(command, f"{prefix} {name}")
        return found

    assert names(typer.main.get_command(app)) == set(COMMANDS)


# What follows psql is psql's.
@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"local psql"}))
def test_an_unknown_option_is_a_usage_error(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run([*command.split(), "--bogus"])
    shown = capsys.readouterr()

    assert code == 2
    assert shown.out == ""
    assert "--bogus" in shown.err


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    shown = capsys.readouterr()
    assert "Usage: " in shown.out
    assert "rehearse" in shown.out


Raising = Callable[[BaseException], int]


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Raising:
    """Runs a command that raises."""

    def run_it(error: BaseException) -> int:
        def raise_it(*_: object, **__: object) -> None:
            raise error

        # By its name: the package's attribute `demo` is the command.
        monkeypatch.setattr(importlib.import_module("toolkit.cli.demo"), "run_demo", raise_it)
        return run(["demo", "--time-zone", "UTC"])

    return run_it


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FindingsError("found", next_step="look"), 1),
        (UsageError("typed", next_step="look"), 2),
        (OperationalError("stopped", next_step="look"), 3),
        (OperationalError("stopped", next_step="look", exit_code=7), 7),
    ],
)
def test_an_error_is_one_message_with_the_next_step_and_its_code(
    raising: Raising,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
) -> None:
    assert raising(error) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [f"error: {error}", "next: look"]


def test_no_secret_and_no_control_character_is_shown(
    raising: Raising, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql://me:hidden-word@h/x"
    error = OperationalError(url, next_step=f"try {url}", details=(f"\x1b[2J {url}\r",))

    raising(error)
    shown = capsys.readouterr().err

    assert "hidden-word" not in shown
    assert shown.count("me:***@h/x") == 3
    assert "\x1b" not in shown
    assert "\r" not in shown


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_an_interruption_says_so(
    raising: Raising, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert raising(error) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (psycopg.OperationalError("server closed the connection"), "server closed the connection"),
        (psycopg.errors.DiskFull("could not extend file"), "could not extend file"),
        (OSError(28, "No space left on device", "/x/y"), "No space left on device: /x/y"),
    ],
)
def test_a_server_that_goes_away_and_a_full_disk_are_one_message(
    raising: Raising, capsys: pytest.CaptureFixture[str], error: Exception, words: str
) -> None:
    assert raising(error) == 3
    error_line, next_line = capsys.readouterr().err.splitlines()
    assert words in error_line
    assert next_line.startswith("next: ")


def test_a_bug_is_not_hidden(raising: Raising) -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())


def test_text_for_terminals_is_one_line_that_steers_nothing() -> None:
    assert printable("a\x1b[31mb\r\n\tc\x9b2J\u202egnp.exe\x7f") == "a [31mb   c 2J gnp.exe "
    assert (
        printable("Rumah \U0001f468\u200d\U0001f469 ümlaut")
        == "Rumah \U0001f468\u200d\U0001f469 ümlaut"
    )


@pytest.mark.parametrize("name", ["Asia/Jakarta", "UTC", "America/Argentina/Buenos_Aires"])
def test_a_known_zone_is_itself(name: str) -> None:
    assert known_zone(name) == name


def test_no_zone_is_utc() -> None:
    assert known_zone(None) == "UTC"


@pytest.mark.parametrize("name", ["", "Mars", "../UTC", "/etc/localtime", "Asia/Jakarta\0"])
def test_an_unknown_zone_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="there is no time zone"):
        known_zone(name)


def test_progress_for_logs_counts_whatever_the_step_is_made_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_PLAIN_EVERY_SECONDS", 0.0)
    observer = console.PlainObserver()
    observer.step("judge mutants")
    observer.progress(3, 1200)
    observer.progress(4, 0)

    assert capsys.readouterr().err.splitlines() == [
        "judge mutants …",
        "judge mutants: 3 of 1,200",
        "judge mutants: 4 so far",
    ]


def test_no_command_waits_for_what_only_some_need() -> None:
    code = "import sys, toolkit.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "toolkit.cli.isolation" in loaded
    assert not loaded & {"supabase", "pydantic", "jwt", "cryptography", "hypothesis"}
