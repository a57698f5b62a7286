"""A real supabase-js client in a Node process of its own, driven line by line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.support.postgrest import Rest
from tests.support.processes import CHECKOUT, environment

_DRIVER = CHECKOUT / "tests" / "support" / "js" / "client.mjs"


@dataclass(frozen=True)
class JsClient:
    """A client that is signed in; one thread may use it."""

    process: subprocess.Popen[str] = field(repr=False)

    def call(self, *chain: tuple[object, ...]) -> dict[str, Any]:
        """Call methods one after another, each a tuple of its name and its arguments.

        Returns:
            What supabase-js answers: data, error, count, status and statusText.
        """
        return self._ask({"chain": chain})

    def run(self, code: str) -> list[Any]:
        """Run JavaScript with `supabase`, `user` and `print` in scope; what it printed."""
        printed: list[Any] = self._ask({"code": code})["printed"]
        return printed

    def _ask(self, question: dict[str, object]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question, default=str) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the client's process ended"
        told: dict[str, Any] = json.loads(line)
        assert "thrown" not in told, told["thrown"]
        return told


@contextmanager
def js_client(rest: Rest, user: UUID) -> Iterator[JsClient]:
    """A client of a user; its process ends with the block."""
    known = {
        "REST_URL": rest.url,
        "ANON_KEY": rest.keys.anon,
        "USER_TOKEN": rest.keys.user(user),
        "USER_ID": str(user),
    }
    process = subprocess.Popen(
        ["node", _DRIVER],
        env=environment(known),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield JsClient(process)
        finally:
            process.kill()
