"""What the handlers share: configuration, calls with retries, the deadline, logs, alerts."""

from __future__ import annotations

import json
import os
import random
import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import httpx

Result = dict[str, Any]
Via = Literal["rpc", "database"]

SECONDS = 55.0  # where the platform does not tell how long a run may last
MARGIN_SECONDS = 2.0  # what is kept of it for logging and alerts
TRIES = 4
HIDDEN = "***"
# Serialization, deadlock, a refresh that collided with another, a server that restarts.
TRANSIENT = re.compile(r"40001|40P01|23505|08\d{3}|57P0[1-3]|PGRST00[0-3]|50[234]")
# What a server says at its door that opens later; any other FATAL is a wrong name or password.
_NOT_YET = re.compile(r"starting up|shutting down|recovery|too many|connection slots|terminating")
_JSON_WEB_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)


class HandlerError(Exception):
    """What stops a run; the text says what to do and holds no secret.

    Attributes:
        code: an SQLSTATE, PostgREST's code or an HTTP status; empty for a lost connection.
        transient: trying again may help.
    """

    def __init__(self, text: str, *, code: str = "", transient: bool = False) -> None:
        super().__init__(text)
        self.code, self.transient = code, transient


@dataclass(frozen=True)
class Config:
    """What a handler is told.

    Attributes:
        via: rpc, Supabase's REST API, by default; database, a connection of its own.
        api_url: SUPABASE_URL.
        service_key: SUPABASE_SERVICE_ROLE_KEY.
        database_url: DATABASE_URL, of the owner or service_role.
        secret: METERLEDGER_HANDLER_SECRET, which callers of an HTTP endpoint know.
        signed_only: METERLEDGER_AUTH=signature: the bare secret opens nothing.
        alert_url: METERLEDGER_ALERT_URL, a webhook that takes {"text": …}.
        stale_seconds: METERLEDGER_PERIOD_SECONDS times METERLEDGER_DEAD_PERIODS: after so long
            without a success the dead man's alert goes out.
        seconds: METERLEDGER_TIMEOUT_SECONDS, how long a run may last.
    """

    via: Via
    api_url: str = ""
    service_key: str = field(default="", repr=False)
    database_url: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    signed_only: bool = False
    alert_url: str = field(default="", repr=False)
    stale_seconds: int = 4 * 3600
    seconds: float = SECONDS

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read the environment.

        Raises:
            HandlerError: a variable is missing or is no number.
        """
        env = os.environ if environ is None else environ
        api_url, key = env.get("SUPABASE_URL", ""), env.get("SUPABASE_SERVICE_ROLE_KEY", "")
        via = env.get("METERLEDGER_VIA") or ("rpc" if api_url and key else "database")
        if via not in ("rpc", "database"):
            raise HandlerError("METERLEDGER_VIA is neither rpc nor database")
        if via == "rpc" and not (api_url and key):
            raise HandlerError("set SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY, or DATABASE_URL")
        if via == "database" and not env.get("DATABASE_URL"):
            raise HandlerError("set SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY, or DATABASE_URL")
        period, periods = _number(env, "METERLEDGER_PERIOD_SECONDS", 3600), 4.0
        return cls(
            via="rpc" if via == "rpc" else "database",
            api_url=api_url,
            service_key=key,
            database_url=env.get("DATABASE_URL", ""),
            secret=env.get("METERLEDGER_HANDLER_SECRET", ""),
            signed_only=env.get("METERLEDGER_AUTH") == "signature",
            alert_url=env.get("METERLEDGER_ALERT_URL", ""),
            stale_seconds=int(period * _number(env, "METERLEDGER_DEAD_PERIODS", periods)),
            seconds=_number(env, "METERLEDGER_TIMEOUT_SECONDS", SECONDS),
        )

    def redact(self, text: str) -> str:
        """The text without any secret of this configuration."""
        password = urlsplit(self.database_url).password or ""
        secrets = (self.service_key, self.secret, self.alert_url, self.database_url)
        for secret in (*secrets, password, unquote(password)):
            text = text.replace(secret, HIDDEN) if secret else text
        return _JSON_WEB_TOKEN.sub(HIDDEN, text)


@dataclass
class Run:
    """One run of a handler.

    Attributes:
        handler: its name.
        config: how to reach the database.
        trigger: who started it: lambda, google, http, asgi, cli …; goes into the refresh log.
        request_id: in every line of the log.
        deadline: on time.monotonic()'s clock.
        sleep: waits so many seconds before another try.
        write: takes a line of the log.
    """

    handler: str
    config: Config
    trigger: str = "manual"
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    deadline: float = field(default_factory=lambda: time.monotonic() + SECONDS)
    sleep: Callable[[float], None] = time.sleep
    write: Callable[[str], object] = lambda line: sys.stderr.write(f"{line}\n")

    def left(self) -> float:
        """Seconds that work may still take."""
        return self.deadline - MARGIN_SECONDS - time.monotonic()

    def call(self, function: str, *, tries: int = TRIES, **arguments: object) -> Result:
        """One of the database's functions; tried again, with back-off, where that may help.

        Raises:
            HandlerError: it failed for good, or the time is up.
        """
        for number in range(1, tries + 1):
            if self.left() <= 0:
                raise HandlerError(f"no time is left for {function}", code="deadline")
            try:
                result = _CALLS[self.config.via](self.config, function, arguments, self.left())
                state = str(result.get("sqlstate", ""))
                if result.get("outcome") == "failed":
                    reason = f"{function}: {result.get('reason')}"
                    raise HandlerError(reason, code=state, transient=_is_transient(state))
                return result
            except HandlerError as error:
                pause = 0.5 * 2 ** (number - 1) * random.uniform(0.5, 1)  # noqa: S311
                if not error.transient or number == tries or self.left() <= pause:
                    raise
                self.log(
                    "WARNING", "tried again", error=str(error), code=error.code, attempt=number
                )
                self.sleep(pause)
        raise AssertionError("unreachable")

    def budget_ms(self, most: float = 2**31 - 1) -> int:
        """Milliseconds that a call may take on the server."""
        return max(1, int(min(self.left() * 1000, most)))

    def log(self, severity: str, message: str, **details: object) -> None:
        """One line of JSON, without secrets."""
        line = {
            "severity": severity,
            "message": message,
            "handler": self.handler,
            "request_id": self.request_id,
            **details,
        }
        self.write(self.config.redact(json.dumps(line, default=str, ensure_ascii=False)))

    def alert(self, text: str, **details: object) -> bool:
        """Raise the alarm: in the log always, and at the webhook; whether that one took it."""
        self.log("CRITICAL", text, **details)
        if not self.config.alert_url:
            return False
        body = self.config.redact(
            json.dumps(
                {
                    "text": f"meterledger {self.handler}: {text}",
                    "handler": self.handler,
                    "request_id": self.request_id,
                    **details,
                },
                default=str,
            )
        )
        headers = {"Content-Type": "application/json"}
        for number in range(1, TRIES + 1):
            try:
                httpx.post(
                    self.config.alert_url, content=body, headers=headers, timeout=5
                ).raise_for_status()
                return True
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                self.log("ERROR", "the webhook did not take the alert", error=type(error).__name__)
                self.sleep(0.2 * number)
        return False


def request_id(word: object) -> str:
    """What a platform calls the request, if that is fit for a log; otherwise a new id."""
    return word if isinstance(word, str) and _ID.fullmatch(word) else str(uuid.uuid4())


def _is_transient(code: str) -> bool:
    return TRANSIENT.fullmatch(code) is not None


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(env.get(name) or default)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise HandlerError(f"{name} is no positive number")
    return value


def _by_rpc(config: Config, function: str, arguments: Result, seconds: float) -> Result:
    from postgrest import APIError  # noqa: PLC0415 - a handler with a database needs neither
    from supabase.lib.client_options import SyncClientOptions  # noqa: PLC0415

    from supabase import create_client  # noqa: PLC0415

    timeout = httpx.Timeout(seconds, connect=min(seconds, 10))
    try:
        with httpx.Client(timeout=timeout) as http:
            options = SyncClientOptions(
                httpx_client=http, auto_refresh_token=False, persist_session=False
            )
            client = create_client(config.api_url, config.service_key, options)
            result: Result = client.rpc(function, arguments).execute().data  # type: ignore[assignment]
            return result
    except APIError as error:
        code = str(error.code or "")
        raise HandlerError(
            f"{function}: {error.message}", code=code, transient=_is_transient(code)
        ) from None
    except httpx.TimeoutException as error:
        raise HandlerError(f"{function}: no answer in time ({type(error).__name__})") from None
    except httpx.HTTPError as error:
        raise HandlerError(
            f"{function}: the API is not reached ({type(error).__name__})", transient=True
        ) from None


def _by_database(config: Config, function: str, arguments: Result, seconds: float) -> Result:
    import psycopg  # noqa: PLC0415 - a handler that calls the API needs no driver
    from psycopg import sql  # noqa: PLC0415

    named = (
        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in arguments.items()
    )
    query = sql.SQL("select public.{}({})").format(
        sql.Identifier(function), sql.SQL(", ").join(named)
    )
    until = time.monotonic() + seconds
    try:
        with psycopg.connect(
            config.database_url,
            prepare_threshold=None,
            connect_timeout=max(2, int(min(seconds, 10))),
            application_name=f"meterledger {function}",
        ) as connection:
            limit = f"{max(1, int((until - time.monotonic()) * 1000))}ms"
            connection.execute("select set_config('statement_timeout', %s, true)", (limit,))
            row = connection.execute(query).fetchone()
            result: Result = row[0] if row else {}
            return result
    except psycopg.Error as error:
        code, said = error.sqlstate or "", str(error)
        refused = "" if code else "".join(said.split("FATAL: ")[1:]).strip()
        shut = bool(refused) and not _NOT_YET.search(refused)
        lost = not code and not shut and isinstance(error, psycopg.OperationalError)
        text = error.diag.message_primary or refused or code or "the database is not reached"
        raise HandlerError(
            f"{function}: {text}",
            code=code or ("28000" if shut else ""),
            transient=lost or _is_transient(code),
        ) from None


_CALLS = {"rpc": _by_rpc, "database": _by_database}
