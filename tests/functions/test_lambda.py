"""The handlers on AWS's own runtime interface emulator, with its own client for Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.functions.conftest import Place
from tests.support.database import Connection
from tests.support.processes import CHECKOUT, wait_until
from toolkit.local.process import free_port
from toolkit.settings import child_environment
from tools.fetch_lambda_emulator import emulator

pytestmark = pytest.mark.slow

INVOKE = "/2015-03-31/functions/function/invocations"


@contextmanager
def lambda_of(place: Place, handler: str, folder: Path, *, timeout: int = 60) -> Iterator[str]:
    """One function in the emulator; the URL that invokes it."""
    if not emulator().is_file():
        pytest.skip("no Lambda emulator in build/lambda: make test-lambda fetches it")
    port, api = free_port(), free_port()
    variables = {
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
        "SUPABASE_URL": place.config.api_url,
        "SUPABASE_SERVICE_ROLE_KEY": place.config.service_key,
        "METERLEDGER_ALERT_URL": place.config.alert_url,
        "PYTHONPATH": str(CHECKOUT),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(emulator(), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{api}"),
                *(sys.executable, "-m", "awslambdaric", f"functions.{handler}.main.aws"),
            ],
            env=child_environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"

    def listens() -> bool:
        assert process.poll() is None, (folder / "log").read_text("utf-8", "replace")
        try:
            httpx.get(url, timeout=5)
        except httpx.HTTPError:
            return False
        return True

    try:
        wait_until(listens)
        yield url + INVOKE
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(10)


def invoke(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(url, json={}, timeout=90).json()
    return answer


def test_refresh_again_and_a_wrong_key(place: Place, tmp_path: Path) -> None:
    with lambda_of(place, "refresh_readings", tmp_path) as url:
        assert invoke(url)["outcome"] == "refreshed"
        assert invoke(url)["outcome"] == "not needed"
    place.config = place.config.__class__(
        via="rpc", api_url=place.config.api_url, service_key="planted.wrong.key"
    )
    with lambda_of(place, "refresh_readings", tmp_path) as url:
        failed = invoke(url)

    assert failed["errorType"] == "RuntimeError"
    assert "planted.wrong.key" not in str(failed) + (tmp_path / "log").read_text()


def test_a_corrupted_row_is_found_and_alarmed(
    place: Place, owner: Connection, tmp_path: Path
) -> None:
    owner.execute("update ledger.readings set kwh_value = kwh_value + 1 where kwh_value = 10")
    with lambda_of(place, "verify_readings", tmp_path) as url:
        found = invoke(url)

    assert (found["outcome"], found["differences"], found["unrepaired"]) == ("differences", 3, 0)
    assert len(place.webhook.alerts) == 1


def test_the_platforms_deadline_is_heeded(place: Place, tmp_path: Path) -> None:
    with lambda_of(place, "prune", tmp_path, timeout=1) as url:
        failed = invoke(url)

    assert "no time is left" in failed["errorMessage"]
