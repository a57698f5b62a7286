"""Every platform's door to the same handler: the real servers, and who is let in."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest

from functions.entry import REPLAY_SECONDS, Door, sign
from functions.health import main
from functions.refresh_readings import main as refresh
from functions.runtime import Config
from tests.functions.conftest import Place
from tests.support.processes import CHECKOUT, wait_until
from toolkit.local.process import free_port
from toolkit.settings import child_environment

pytestmark = pytest.mark.slow

SECRET = "a-shared-secret-of-some-length"
OPEN = Config(via="rpc", secret=SECRET)


def signed(
    path: str, body: bytes = b"", *, at: float | None = None, secret: str = SECRET
) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    signature = sign(secret, stamp, "POST", path, body)
    return {"x-meterledger-timestamp": stamp, "x-meterledger-signature": signature}


def variables(place: Place) -> dict[str, str]:
    return {
        "SUPABASE_URL": place.config.api_url,
        "SUPABASE_SERVICE_ROLE_KEY": place.config.service_key,
        "METERLEDGER_ALERT_URL": place.config.alert_url,
        "METERLEDGER_HANDLER_SECRET": SECRET,
    }


@pytest.fixture
def environ(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name, value in variables(place).items():
        monkeypatch.setenv(name, value)
    return place


@pytest.mark.parametrize(
    ("headers", "opens"),
    [
        ({"authorization": f"Bearer {SECRET}"}, True),
        ({"authorization": SECRET}, True),
        ({"authorization": "Bearer wrong"}, False),
        ({"authorization": "Bearer "}, False),
        ({}, False),
        (signed("/y"), False),
        (signed("/x", b"other body"), False),
        (signed("/x", secret="another"), False),
        ({"x-meterledger-timestamp": "soon", "x-meterledger-signature": "0"}, False),
    ],
)
def test_who_is_let_in(headers: Mapping[str, str], opens: bool) -> None:
    assert Door().opens(OPEN, "POST", "/x", headers, b"") is opens
    assert not Door().opens(Config(via="rpc"), "POST", "/x", headers, b"")


@pytest.mark.parametrize(("skew", "opens"), [(0, True), (-240, True), (240, True), (-310, False)])
def test_a_clock_may_be_so_far_off(skew: float, opens: bool) -> None:
    headers = signed("/x", at=time.time() + skew)

    assert Door().opens(OPEN, "POST", "/x", headers, b"") is opens
    late = signed("/x", at=time.time() + REPLAY_SECONDS + 60)
    assert not Door().opens(OPEN, "POST", "/x", late, b"")


def test_a_signature_opens_once() -> None:
    door, headers = Door(), signed("/x")

    assert door.opens(OPEN, "POST", "/x", headers, b"")
    assert not door.opens(OPEN, "POST", "/x", headers, b"")


def test_the_bare_secret_can_be_ruled_out() -> None:
    config = Config(via="rpc", secret=SECRET, signed_only=True)

    assert not Door().opens(config, "POST", "/x", {"authorization": SECRET}, b"")
    assert Door().opens(config, "POST", "/x", signed("/x"), b"")


def test_wsgi_on_a_real_server(environ: Place) -> None:
    class Silent(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401 - as the base says
            """Nothing."""

    with make_server("127.0.0.1", 0, refresh.wsgi, handler_class=Silent) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/refresh"
        refused = httpx.post(url, json={})
        answer = httpx.post(
            url, headers={"Authorization": f"Bearer {SECRET}", "X-Request-Id": "mine"}, json={}
        )
        body = b'{"a": 1}'
        by_signature = httpx.post(url, headers=signed("/refresh", body), content=body)
        server.shutdown()
        thread.join()

    assert (refused.status_code, refused.json()) == (401, {"outcome": "refused"})
    assert (answer.status_code, answer.json()["outcome"]) == (200, "refreshed")
    assert answer.json()["request_id"] == "mine"
    assert by_signature.json()["outcome"] == "not needed"


def test_asgi(environ: Place) -> None:
    async def ask(headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        transport = httpx.ASGITransport(app=main.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            answer = await client.post("/health", headers=headers)
        return answer.status_code, answer.json()

    assert asyncio.run(ask({}))[0] == 401
    status, health = asyncio.run(ask({"Authorization": f"Bearer {SECRET}"}))
    assert (status, health["healthy"]) == (200, True)


def test_an_endpoint_that_is_not_configured_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    environ = {"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(b"")}
    body = refresh.wsgi(environ, lambda status, _: started.append(status))

    assert started == ["500 Internal Server Error"]
    assert b"SUPABASE_URL" in b"".join(body)


@dataclass
class Context:
    """What Lambda hands over."""

    aws_request_id: str = "11111111-2222-3333-4444-555555555555"
    milliseconds: int = 30_000

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def test_lambda_answers_or_raises(environ: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = refresh.aws({}, Context())
    assert (answer["outcome"], answer["request_id"]) == ("refreshed", Context.aws_request_id)
    with pytest.raises(RuntimeError, match="no time is left"):
        refresh.aws({}, Context(milliseconds=1000))
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "wrong")
    assert main.aws({}, Context())["status"] == 503


@pytest.fixture
def framework(place: Place, tmp_path: Path) -> Iterator[str]:
    """Google's own server for functions, as its cloud starts it."""
    port = free_port()
    program = Path(sys.executable).parent / "functions-framework"
    source = CHECKOUT / "functions" / "refresh_readings" / "main.py"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                "--target",
                "gcf",
                "--source",
                source,
                "--port",
                str(port),
                "--host",
                "127.0.0.1",
            ],
            env=child_environment({**variables(place), "PYTHONPATH": str(CHECKOUT)}),
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}/"

    def answers() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            httpx.get(url, timeout=5)
        except httpx.HTTPError:
            return False
        return True

    try:
        wait_until(answers)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def test_the_functions_framework_runs_it(framework: str) -> None:
    assert httpx.post(framework, json={}).status_code == 401
    headers = {"Authorization": f"Bearer {SECRET}"}
    answer = httpx.post(framework, json={}, headers=headers, timeout=30)

    assert (answer.status_code, answer.json()["outcome"]) == (200, "refreshed")
    assert json.loads(httpx.post(framework, headers=headers).text)["outcome"] == "not needed"
