"""Plain requests to the REST API, and answers that two databases can be compared by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlsplit

from tests.support.gateway import REST
from tests.support.postgrest import Rest

_SHOWN = ("Content-Range", "Content-Type", "Location")  # not which preference was honoured


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        method: of HTTP.
        path: below /rest/v1/, with its query; what needs quoting is quoted.
        body: sent as JSON, unless None.
        prefer: the header of that name.
        who: whose token goes along: a key of the test's tokens.
        headers: others.
    """

    method: str
    path: str
    body: object = None
    prefer: str = ""
    who: str = "alice"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP's.
        headers: those that clients read, by name.
        body: the text; numbers stay as they were written.
    """

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def content(self) -> Any:  # noqa: ANN401 - whatever the JSON holds
        return json.loads(self.body) if self.body else None


def ask(rest: Rest, wanted: Ask, token: str = "") -> Answer:
    """Send a request as the owner of a token, or with the anon key alone."""
    body = None if wanted.body is None else json.dumps(wanted.body)
    headers = {
        "apikey": rest.keys.anon,
        "Authorization": f"Bearer {token or rest.keys.anon}",
        **({"Content-Type": "application/json"} if body is not None else {}),
        **({"Prefer": wanted.prefer} if wanted.prefer else {}),
        **wanted.headers,
    }
    where = urlsplit(rest.url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=60)
    try:
        path = f"{REST}/{quote(wanted.path, safe='/?&=,.()*:!-_>')}"
        connection.request(wanted.method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        shown = {name: value for name in _SHOWN if (value := answer.getheader(name)) is not None}
        return Answer(answer.status, shown, text)
    finally:
        connection.close()
