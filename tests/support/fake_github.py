"""A FAKE of the few answers of GitHub's API that the workflows ask for, not the real one."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = "owner/app"
TOKEN = "planted-github-token"
RUN, ARTIFACT, PULL_REQUEST = 11, 22, 33

Artifact = Mapping[str, bytes]


@dataclass
class FakeGitHub:
    """What it knows.

    Attributes:
        url: of its API.
        receipts: commit → the artifact of the green staging run of that commit.
        merged: whether a pull request brought the commit.
        comments: number of the request and text, as they came.
    """

    url: str
    receipts: dict[str, Artifact] = field(default_factory=dict)
    merged: bool = True
    comments: list[tuple[int, str]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """One request below the repository; the status and the content."""
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        where = parts.path.removeprefix(f"/repos/{REPOSITORY}/")
        if method == "POST" and where == f"issues/{PULL_REQUEST}/comments":
            self.comments.append((PULL_REQUEST, json.loads(body)["body"]))
            return 201, b"{}"
        if where.startswith("commits/") and where.endswith("/pulls"):
            at = "2026-01-01T00:00:00Z" if self.merged else None
            return _json([{"number": PULL_REQUEST, "merged_at": at}])
        if where == "actions/workflows/deploy-staging.yml/runs":
            assert query["status"] == "success"
            there = query["head_sha"] in self.receipts
            return _json({"workflow_runs": [{"id": RUN}] if there else []})
        if where == f"actions/runs/{RUN}/artifacts":
            return _json({"artifacts": [{"id": ARTIFACT, "name": query["name"], "expired": False}]})
        if where == f"actions/artifacts/{ARTIFACT}/zip":
            return 200, _zipped(next(iter(self.receipts.values())))
        return 404, b"{}"


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """Answer on this machine for the time of the block."""
    fake = FakeGitHub("")

    class Handler(_Handler):
        github = fake

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    github: FakeGitHub

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, content = 401, b"{}"
        else:
            status, content = self.github.answer(self.command, self.path, body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _json(value: Any) -> tuple[int, bytes]:  # noqa: ANN401 - any JSON
    return 200, json.dumps(value).encode()


def _zipped(artifact: Artifact) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for name, content in artifact.items():
            files.writestr(name, content)
    return archive.getvalue()
