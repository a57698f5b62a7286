"""Requests through Supabase's Python client, and what came back, without anybody's keys."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
from postgrest import APIError, SyncPostgrestClient, SyncRequestBuilder
from postgrest.base_request_builder import APIResponse
from supabase.lib.client_options import SyncClientOptions

from supabase import create_client
from toolkit.connection import HIDDEN
from toolkit.errors import OperationalError
from toolkit.isolation.api.target import ApiTarget

TIMEOUT_SECONDS = 30.0
# Headers that make a request what it is; all others are the client's own business.
_TOLD = ("accept", "accept-profile", "content-profile", "content-type", "prefer", "range")
_MARK = "\x00{}\x00"


class Request(Protocol):
    """What the client's builders end in."""

    def execute(self) -> APIResponse:
        """Send it."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP.
        code: PostgREST's or PostgreSQL's code of the error; empty where there was none.
        said: the error's own words, for comparing; they may quote data, so they are not shown.
        rows: what was returned.
        count: how many rows the server says it found or touched; None where it does not say.
        curl: the request as a command, with placeholders for tokens, keys and users.
    """

    status: int
    code: str = ""
    said: str = field(default="", repr=False)
    rows: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    count: int | None = None
    curl: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    @property
    def touched(self) -> int:
        """How many rows came back or were written, whichever is more."""
        return max(len(self.rows), self.count or 0) if self.ok else 0

    @property
    def told(self) -> str:
        """Status and code, for messages."""
        return (
            str(self.status)
            if self.code in ("", str(self.status))
            else f"{self.status} {self.code}"
        )

    def names(self, name: str) -> bool:
        """Whether the error's words name an object, as a whole word."""
        return re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", self.said) is not None


class Wire:
    """One connection pool to the API, which remembers the last request and its status."""

    def __init__(self, target: ApiTarget, transport: httpx.BaseTransport | None = None) -> None:
        self.target = target
        self._heard: list[httpx.Response] = []
        self._names: dict[str, str] = {}
        self.session = httpx.Client(
            timeout=TIMEOUT_SECONDS,
            transport=transport,
            event_hooks={"response": [self._heard.append]},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.session.close()

    def name(self, value: str, placeholder: str) -> None:
        """In what is shown of requests, a placeholder stands for this value."""
        self._names[value] = placeholder

    def anon(self) -> Caller:
        """Nobody signed in."""
        return self._caller("anon", self.target.anon_key, None, "ANON_KEY")

    def service(self, key: str) -> Caller:
        """The app's own servers."""
        return self._caller("service_role", key, None, "SERVICE_KEY")

    def bearer(self, name: str, token: str, placeholder: str = "TOKEN") -> Caller:
        """Whoever holds a token, or something like one."""
        return self._caller(name, self.target.anon_key, token, placeholder)

    def send(self, request: Request, placeholder: str) -> Answer:
        """Send one request.

        Raises:
            OperationalError: nothing answered.
        """
        self._heard.clear()
        try:
            response = request.execute()
        except APIError as error:
            said = " ".join(str(part) for part in (error.message, error.hint) if part)
            heard = self._heard[-1]
            curl = self._curl(heard.request, placeholder)
            return Answer(heard.status_code, str(error.code or ""), said, curl=curl)
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            raise self.unreachable(failure) from None
        heard = self._heard[-1]
        curl = self._curl(heard.request, placeholder)
        return Answer(heard.status_code, rows=_rows(response.data), count=response.count, curl=curl)

    def unreachable(self, failure: Exception) -> OperationalError:
        """The error for a request that nothing answered."""
        return OperationalError(
            f"nothing answers at {self.target.base} ({type(failure).__name__})",
            next_step="check the URL, this machine's network, and that the project is not paused",
        )

    def client_options(self) -> SyncClientOptions:
        """No timers, no stored sessions, no silent second attempts."""
        return SyncClientOptions(
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,
            httpx_client=self.session,
        )

    def _caller(self, name: str, key: str, token: str | None, placeholder: str) -> Caller:
        client = create_client(self.target.base, key, self.client_options())
        rest = client.postgrest
        if token is not None:
            rest.auth(token)
        return Caller(name, placeholder, self, rest)

    def _curl(self, request: httpx.Request, placeholder: str) -> str:
        """The request as a command. Only headers that are named above are ever looked at."""
        key = placeholder if placeholder == "SERVICE_KEY" else "ANON_KEY"
        words = ["curl", "--globoff", "--request", request.method]
        url = f"{_MARK.format('URL')}{request.url.raw_path.decode()}"
        words += [self._shown(url)]
        words += ["--header", _quoted(f"apikey: {_MARK.format(key)}", ("URL", key))]
        bearer = f"Authorization: Bearer {_MARK.format(placeholder)}"
        words += ["--header", _quoted(bearer, (placeholder,))]
        for name in _TOLD:
            value = request.headers.get(name, "")
            if value and value not in ("*/*", "public"):
                words += ["--header", self._shown(f"{name}: {value}")]
        if body := request.content.decode("utf-8", "replace"):
            words += ["--data", self._shown(body)]
        return " ".join(words)

    def _shown(self, text: str) -> str:
        for secret in (self.target.service_key, self.target.jwt_secret, self.target.anon_key):
            if secret:
                text = text.replace(secret, HIDDEN)
        for value, placeholder in self._names.items():
            text = text.replace(value, _MARK.format(placeholder))
        return _quoted(text, ("URL", *self._names.values()))


@dataclass(frozen=True)
class Caller:
    """Somebody who asks through the API.

    Attributes:
        name: the identity, as the declaration calls it, or what the token is.
        placeholder: what stands for the token in what is shown.
    """

    name: str
    placeholder: str
    wire: Wire = field(repr=False)
    rest: SyncPostgrestClient = field(repr=False)

    def table(self, name: str) -> SyncRequestBuilder:
        """A relation of public, or of the schema before the dot."""
        schema, _, relation = name.rpartition(".")
        return (self.rest.schema(schema) if schema else self.rest).from_(relation)

    def send(self, request: Request) -> Answer:
        """Send one request."""
        return self.wire.send(request, self.placeholder)

    def call(self, function: str, arguments: Mapping[str, Any], *, get: bool = False) -> Answer:
        """Call a function; with `get`, in a transaction that can only read."""
        schema, _, name = function.rpartition(".")
        rest = self.rest.schema(schema) if schema else self.rest
        return self.send(rest.rpc(name, dict(arguments), get=get))


def _rows(data: object) -> tuple[Mapping[str, Any], ...]:
    """Rows as mappings; what a function returns instead of rows becomes one."""
    items = data if isinstance(data, list) else [] if data in (None, "") else [data]
    return tuple(item if isinstance(item, dict) else {"": item} for item in items)


def _quoted(text: str, placeholders: tuple[str, ...]) -> str:
    quoted = shlex.quote(text)
    for name in placeholders:
        quoted = quoted.replace(_MARK.format(name), f"'\"${name}\"'")
    return quoted
