"""No secret reaches an output, a file or another program's arguments, whatever goes wrong.

Every variable of an environment holds a planted secret. Each command is typed at databases that
refuse in different ways, and everything that it leaves is searched. A new command belongs into
COMMANDS, with ENV where the environment's name stands.
"""

from __future__ import annotations

import base64
import importlib
import socket
import socketserver
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import jwt
import pytest
import typer
from typer.models import TyperInfo

from tests.support.database import Database
from tests.support.servers import Databases, Template, default_major
from toolkit import cli, settings
from toolkit.cli import env
from toolkit.connection import parse
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_OPERATIONAL, EXIT_USAGE

ENV = "production"
NOBODY = "00000000-0000-0000-0000-000000000001"
COMMANDS: dict[str, tuple[str, ...]] = {
    "validate without a name": ("validate",),
    "validate": ("validate", ENV),
    "isolation": ("isolation", ENV, "--no-advisors"),
    "isolation --advisors": ("isolation", ENV, "--advisors"),
    "isolation --api": ("isolation", ENV, "--no-advisors", "--api"),
    "isolation --html": ("isolation", ENV, "--no-advisors", "--html", "proof.html"),
    "env list": ("env", "list"),
    "env show": ("env", "show", ENV),
    "env check": ("env", "check", ENV),
    "preflight": ("preflight", ENV),
    "deploy": ("deploy", ENV, "--plan"),
    "backfill": ("backfill", ENV),
    "status": ("status", ENV),
    "doctor": ("doctor", ENV),
    "run refresh_readings": ("run", "refresh_readings", ENV),
    "run verify_readings": ("run", "verify_readings", ENV),
    "run prune": ("run", "prune", ENV),
    "run health": ("run", "health", ENV),
    "rollout": ("rollout", ENV, "--confirm", ENV, "--without-staging"),
    "receipt": ("receipt", ENV),
    "cutover": ("cutover", ENV, "--confirm", ENV),
    "cutover --plan": ("cutover", ENV, "--plan"),
    "cutback": ("cutback", ENV, "--plan"),
    "contract": ("contract", ENV, "--plan"),
    "rollback": ("rollback", ENV, "--to", "data", "--plan"),
    "backup make": ("backup", "make", ENV, "--no-verify"),
    "backup list": ("backup", "list", ENV),
    "backup restore": ("backup", "restore", ENV, "--into", ENV),
    "backup prune": ("backup", "prune", ENV, "--dry-run"),
    "rejects list": ("rejects", "list", ENV),
    "rejects show": ("rejects", "show", ENV, NOBODY),
    "rejects retry": ("rejects", "retry", ENV, NOBODY, "--dry-run"),
    "duplicates list": ("duplicates", "list", ENV),
    "duplicates show": ("duplicates", "show", ENV, NOBODY, NOBODY),
}
# These need no database to do what they do.
OFFLINE = ("env list", "env show", "env init --force", "backup list", "backup prune")
# These report nothing, and so have no --json.
PLAIN: dict[str, tuple[str, ...]] = {
    "rejects export": ("rejects", "export", ENV, "rejects.json"),
    "rejects correct": ("rejects", "correct", ENV, NOBODY, "--set", "kwh_value=1", "--dry-run"),
    "rejects waive": ("rejects", "waive", ENV, NOBODY, "--because", "x", "--dry-run"),
    "duplicates export": ("duplicates", "export", ENV, "matches.json"),
    "duplicates keep": ("duplicates", "keep", ENV, NOBODY, NOBODY, "--because", "x", "--dry-run"),
    "duplicates merge": ("duplicates", "merge", ENV, NOBODY, NOBODY, "--dry-run"),
    "env record": ("env", "record", ENV),
    "env init, there already": ("env", "init", ENV),
    "env init --force": ("env", "init", ENV, "--force"),
}
TYPED = {
    **COMMANDS,
    **{f"{name} --json": (*words, "--json") for name, words in COMMANDS.items()},
    **PLAIN,
}
# The same once more as JSON: in the slow lane.
EACH = [
    pytest.param(name, marks=pytest.mark.slow) if name.endswith("--json") else name
    for name in TYPED
]

PASSWORD = "planted@pass/word'of$a#database"
WORD = "planted-word"
_CODES = {EXIT_OK, EXIT_FINDINGS, EXIT_USAGE, EXIT_OPERATIONAL}


@dataclass(frozen=True)
class Place:
    """Databases to aim at.

    Attributes:
        database: a real one.
        echo: the port of a server that asks for the password in the clear, and quotes it back.
        babble: the port of a server that talks of something else.
    """

    database: Database
    echo: int
    babble: int

    def url(self, trouble: str) -> str:
        """A DATABASE_URL that is wrong in one way, with the planted password where it can be."""
        parts = parse(self.database.url)
        user, name = f"{parts['user']}:{quote(PASSWORD, safe='')}", parts["dbname"]
        here, rest = f"127.0.0.1:{parts['port']}", f"{name}?sslmode=disable"
        planted = f"postgresql://{user}@"
        return {
            "right": self.database.url,
            "wrong password": f"{planted}{here}/{rest}",
            "wrong database": f"{self.database.url.partition('?')[0]}_gone?sslmode=disable",
            "no such host": f"{planted}nowhere.invalid:5432/{rest}",
            "stopped server": f"{planted}127.0.0.1:1/{rest}",
            "echoing server": f"{planted}127.0.0.1:{self.echo}/{rest}",
            "no postgres": f"{planted}127.0.0.1:{self.babble}/{rest}",
            "tls refused": f"{planted}{here}/{name}?sslmode=require",
            "not encoded": f"postgresql://{parts['user']}:{PASSWORD}@{here}/{rest}",
            "a blank inside": f"postgresql://{parts['user']}:{WORD} {WORD}@{here}/{rest}",
            "key and value": f"host=127.0.0.1 port=1 user=u password={WORD} dbname=x nonsense",
            "no url at all": WORD,
        }[trouble]


TROUBLES = (
    *("right", "wrong password", "wrong database", "no such host", "stopped server"),
    *("echoing server", "no postgres", "tls refused"),
    *("not encoded", "a blank inside", "key and value", "no url at all"),
)
# The others are in the slow lane.
QUICK = ("right", "wrong password", "echoing server", "not encoded")


class _Echo(socketserver.BaseRequestHandler):
    """Speaks just enough of PostgreSQL's protocol to be told the password."""

    def handle(self) -> None:
        (size,) = struct.unpack("!I", self.request.recv(4))
        self.request.recv(size - 4)
        self.request.sendall(b"R" + struct.pack("!II", 8, 3))
        told = self.request.recv(4096)[5:].rstrip(b"\0")
        text = b"SFATAL\0VFATAL\0CXX000\0Mno entry for " + told + b"\0\0"
        self.request.sendall(b"E" + struct.pack("!I", len(text) + 4) + text)


class _Babble(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(4096)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.request.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """Of the server that echoes and of the one that babbles."""
    servers = [
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) for handler in (_Echo, _Babble)
    ]
    threads = [Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    yield servers[0].server_address[1], servers[1].server_address[1]
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def place(databases: Callable[[int], Databases], ports: tuple[int, int]) -> Iterator[Place]:
    """One migrated database for all: a command that is typed here changes nothing of it."""
    owner = databases(default_major())
    database = owner.make(Template(migrated=True))
    yield Place(database, *ports)
    owner.drop(database)


Types = Callable[..., tuple[int, str]]


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Types:
    """Types a command in a folder of its own: its code, and all that it said or wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METERLEDGER_HOME", "home")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (*settings.VARIABLES, "METERLEDGER_DATABASE_URL", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
    # Instead of the Supabase CLI, a program that writes down what everybody may read of it.
    shim = tmp_path / "supabase"
    shim.write_text('#!/bin/sh\necho "$0 $*" >> arguments\nexit 1\n')
    shim.chmod(0o755)
    monkeypatch.setenv("METERLEDGER_SUPABASE_CLI", str(shim))
    monkeypatch.setattr(importlib.import_module("toolkit.cli"), "app", _with_env())
    # A handler tries again as often as ever, and says so, but nobody waits for it.
    handlers = importlib.import_module("toolkit.cli.run")
    at_once = partial(handlers.HandlerRun, sleep=lambda _: None)
    monkeypatch.setattr(handlers, "HandlerRun", at_once)

    def type_in(*words: str) -> tuple[int, str]:
        code = cli.run(list(words))
        shown = capfd.readouterr()
        files = [
            f"{path}\n{path.read_bytes().decode(errors='replace')}"
            for path in tmp_path.rglob("*")
            if path.is_file() and not path.name.startswith(".env.")
        ]
        return code, "\n".join([shown.out, shown.err, *files])

    return type_in


def _with_env() -> typer.Typer:
    """The whole command, with `env` in it."""
    app = typer.Typer()
    app.registered_commands = list(cli.app.registered_commands)
    groups = {group.name: group for group in cli.app.registered_groups}
    groups.setdefault("env", TyperInfo(env.app, name="env"))
    app.registered_groups = list(groups.values())
    return app


def _plant(folder: Path, url: str, *, forms: str) -> tuple[str, ...]:
    """Write `.env.production` with a secret in every variable; what must not be seen again."""
    if forms == "jwt":
        keys = {
            "SUPABASE_ANON_KEY": jwt.encode({"role": "anon", "x": WORD}, "x" * 32),
            "SUPABASE_SERVICE_ROLE_KEY": jwt.encode({"role": "service_role"}, "y" * 32),
        }
    else:  # of no known form, so that no pattern can recognise them
        keys = {
            "SUPABASE_ANON_KEY": "planted-anon-key",
            "SUPABASE_SERVICE_ROLE_KEY": "planted-service-key",
        }
    values = {
        "DATABASE_URL": url,
        "SUPABASE_URL": "http://127.0.0.1:1",
        **keys,
        "SUPABASE_JWT_SECRET": "planted-jwt-secret-of-a-good-length",
        "METERLEDGER_RECEIPT_KEY": "planted-receipt-key",
    }
    quoted = {
        name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in values.items()
    }
    file = folder / f".env.{ENV}"
    file.write_text("".join(f"{name}='{value}'\n" for name, value in quoted.items()))
    assert settings.environment(ENV, {}, folder=folder).database_url == url
    return (*keys.values(), values["SUPABASE_JWT_SECRET"], values["METERLEDGER_RECEIPT_KEY"])


def _forms_of(secret: str) -> set[str]:
    """A secret as it is, and as it might be written."""
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        base64.b64encode(secret.encode()).decode(),
    }


@pytest.mark.parametrize(
    "trouble",
    [t if t in QUICK else pytest.param(t, marks=pytest.mark.slow) for t in TROUBLES],
)
@pytest.mark.parametrize("typed", EACH)
def test_no_secret_is_told(
    place: Place,
    types: Types,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    trouble: str,
) -> None:
    forms = "jwt" if len(typed) % 2 else "plain"
    planted = _plant(tmp_path, place.url(trouble), forms=forms)
    monkeypatch.setenv("METERLEDGER_DATABASE_URL", place.url(trouble))  # where no name is given
    code, told = types(*TYPED[typed])

    assert code in _CODES
    if trouble != "right" and not typed.startswith(OFFLINE):
        assert code != EXIT_OK, "it was not as wrong as it must be"
    for secret in (*planted, PASSWORD, WORD, parse(place.database.url)["password"]):
        for form in _forms_of(secret):
            assert form not in told
    # Where the password could not be told from the rest, no piece of it is shown either.
    for piece in ("word'of", "pass/word", "a#database"):
        assert piece not in told
    assert "Traceback" not in told


@pytest.mark.parametrize("typed", EACH)
def test_no_secret_of_the_process_is_told(
    place: Place, types: Types, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """The same without a file, and with the password in PGPASSWORD."""
    parts = parse(place.database.url)
    secrets = {
        "SUPABASE_ANON_KEY": "planted-anon-key",
        "SUPABASE_SERVICE_ROLE_KEY": "planted-service-key",
        "SUPABASE_JWT_SECRET": "planted-jwt-secret-of-a-good-length",
        "METERLEDGER_RECEIPT_KEY": "planted-receipt-key",
        "PGPASSWORD": parts["password"],
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(
        "DATABASE_URL",
        f"postgresql://{parts['user']}@127.0.0.1:{parts['port']}/{parts['dbname']}?sslmode=disable",
    )
    code, told = types(*TYPED[typed])

    assert code in _CODES
    for secret in secrets.values():
        for form in _forms_of(secret):
            assert form not in told


def test_a_program_that_is_started_is_told_no_password(
    place: Place, types: Types, tmp_path: Path
) -> None:
    _plant(tmp_path, place.url("right"), forms="jwt")
    types("isolation", ENV, "--advisors")

    arguments = (tmp_path / "arguments").read_text()
    assert "postgresql://postgres@127.0.0.1" in arguments
    assert parse(place.database.url)["password"] not in arguments


def test_the_search_finds_what_is_told(
    place: Place, types: Types, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the one redaction point gone, the test above would be red."""
    _plant(tmp_path, place.url("right"), forms="jwt")
    monkeypatch.setattr(importlib.import_module("toolkit.cli.env_view"), "HIDDEN", PASSWORD)
    (tmp_path / "written").write_text(WORD)
    _, told = types("env", "show", ENV)

    assert PASSWORD in told
    assert WORD in told


def test_every_command_that_names_an_environment_is_typed_above() -> None:
    """A command that takes ENV or NAME is in COMMANDS or PLAIN."""
    # `run` takes a handler before the environment.
    typed = {
        "run" if words[0] == "run" else " ".join(words[: words.index(ENV)])
        for words in TYPED.values()
        if ENV in words
    }
    found = set()
    root = typer.main.get_command(_with_env())
    for name, command in getattr(root, "commands", {}).items():
        for prefix, one in [(name, command), *_below(name, command)]:
            if any(p.name in ("environment", "name") for p in one.params):
                found.add(prefix)

    assert found == typed


def _below(prefix: str, group: object) -> list[tuple[str, typer.core.TyperCommand]]:
    return [(f"{prefix} {name}", one) for name, one in getattr(group, "commands", {}).items()]
