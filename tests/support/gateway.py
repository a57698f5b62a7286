"""The paths that Supabase's clients expect, before a PostgREST."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

REST, AUTH = "/rest/v1", "/auth/v1"
HOST = "127.0.0.1"
_HOP_BY_HOP = {"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


class AuthServer(Protocol):
    """What answers below /auth/v1; offline there is nothing but a fake."""

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, Any]]: ...


@contextmanager
def gateway(port: int, auth: AuthServer | None) -> Iterator[str]:
    """The URL of the proxy, for the time of a with block."""

    class Handler(_Handler):
        rest_port, auth_server = port, auth

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Hands /rest/v1 on to PostgREST, 502 while it is away, /auth/v1 to the given auth server."""

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
            self.upstream = HTTPConnection(HOST, self.rest_port, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        try:
            self.upstream.request(self.command, self.path.removeprefix(REST), body or None, headers)
            answer = self.upstream.getresponse()
            content = answer.read()
        except (OSError, HTTPException):
            self._hang_up()
            self._reply(502, {"Content-Type": "text/plain"}, b"An invalid response was received")
            return
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
