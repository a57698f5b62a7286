"""The doors to a handler: AWS Lambda, Google Cloud, WSGI, ASGI, and a plain call."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from functions.runtime import MARGIN_SECONDS, TRIES, Config, HandlerError, Result, Run, request_id

REPLAY_SECONDS = 300
MOST_BYTES = 65536
_JSON = "application/json"
Work = Callable[[Run], Result]
Message = MutableMapping[str, Any]
Aws = Callable[[object, Any], Result]
Gcf = Callable[[Any], tuple[str, int, dict[str, str]]]
Wsgi = Callable[[Message, Callable[..., object]], Iterable[bytes]]
Asgi = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


@dataclass
class Door:
    """Who may come in: by the shared secret, or with a signature that is young and new."""

    used: dict[str, float] = field(default_factory=dict)

    def opens(
        self, config: Config, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> bool:
        """Whether the request's headers, names in lower case, prove that its sender may call."""
        if not config.secret:
            return False
        given = headers.get("authorization", "").removeprefix("Bearer ").strip()
        by_secret = hmac.compare_digest(given.encode(), config.secret.encode())
        stamp = headers.get("x-meterledger-timestamp", "")
        signature = headers.get("x-meterledger-signature", "")
        right = hmac.compare_digest(
            signature.encode(), sign(config.secret, stamp, method, path, body).encode()
        )
        if right and self._fresh(stamp, signature):
            return True
        return by_secret and not config.signed_only

    def _fresh(self, stamp: str, signature: str) -> bool:
        now = time.time()
        try:
            age = abs(now - int(stamp))
        except ValueError:
            return False
        self.used = {s: at for s, at in self.used.items() if now - at < 2 * REPLAY_SECONDS}
        if age > REPLAY_SECONDS or signature in self.used:
            return False
        self.used[signature] = now
        return True


def sign(secret: str, stamp: str, method: str, path: str, body: bytes) -> str:
    """The signature of a request: HMAC-SHA256, in hex, over time, method, path and body."""
    said = b"\n".join((stamp.encode(), method.encode(), path.encode(), body))
    return hmac.new(secret.encode(), said, "sha256").hexdigest()


class Entry:
    """One handler, runnable on every platform.

    Attributes:
        name: of the handler.
        work: does it.
        watched: whether it looks after the other ones, and raises the dead man's alert.
    """

    def __init__(self, name: str, work: Work, *, watched: bool = True) -> None:
        self.name, self.work, self.watched = name, work, watched
        self._door = Door()
        self._succeeded_at: float | None = None

    def run(self, run: Run) -> tuple[int, Result]:
        """Do the work; an HTTP status and what to answer. Nothing is raised or left unsaid."""
        started = time.monotonic()
        try:
            result = self.work(run)
            status = int(result.pop("status", 200))
            if self.watched and not self._alive(run):
                status = HTTPStatus.INTERNAL_SERVER_ERROR
            self._succeeded_at = time.monotonic()
        except HandlerError as error:
            status, result = 500, {"outcome": "failed", "reason": str(error), "code": error.code}
            self._failed(run)
        except Exception as error:  # whatever it is, it must be told
            status, result = 500, {"outcome": "failed", "reason": f"a defect: {error!r}"}
            self._failed(run)
        result = json.loads(run.config.redact(json.dumps(result, default=str)))
        seconds = round(time.monotonic() - started, 3)
        severity = "INFO" if status < HTTPStatus.BAD_REQUEST else "ERROR"
        result["run_seconds"] = seconds
        run.log(severity, "done", trigger=run.trigger, **result)
        return status, result | {"handler": self.name, "request_id": run.request_id}

    def _alive(self, run: Run, tries: int = TRIES) -> bool:
        """Whether all scheduled work has succeeded lately, or the alert that it has not is out."""
        stale = run.config.stale_seconds
        health = run.call("ledger_health", tries=tries, p_stale_seconds=stale)
        late = [problem for problem in health["problems"] if problem.endswith("lately")]
        return not late or run.alert("; ".join(late), kind="dead man")

    def _failed(self, run: Run) -> None:
        """The dead man's alert, if nothing has succeeded for long or nobody can tell."""
        try:
            self._alive(run, tries=1)
        except HandlerError as error:
            known = self._succeeded_at
            if known is None or time.monotonic() - known > run.config.stale_seconds:
                run.alert(f"it does not work, since when is unknown: {error}", kind="dead man")

    def aws(self, event: object, context: Any) -> Result:  # noqa: ANN401 - the platform's own
        """AWS Lambda: a failure is raised, so that the platform counts it and tries again.

        Raises:
            RuntimeError: the run failed.
        """
        config = Config.load()
        left = context.get_remaining_time_in_millis() / 1000
        status, result = self.run(
            Run(
                self.name,
                config,
                trigger="lambda",
                request_id=request_id(context.aws_request_id),
                deadline=time.monotonic() + left,
            )
        )
        if isinstance(event, dict) and "requestContext" in event:  # a function URL
            return {
                "statusCode": status,
                "headers": {"Content-Type": _JSON},
                "body": json.dumps(result),
            }
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and self.name != "health":
            raise RuntimeError(json.dumps(result))
        return result | {"status": status}

    def doors(self) -> tuple[Aws, Gcf, Wsgi, Asgi]:
        """What a handler's module exports, for each platform to call."""

        def gcf(request: Any) -> tuple[str, int, dict[str, str]]:  # noqa: ANN401 - flask's
            return self.gcf(request)  # Google's framework takes no bound method

        return self.aws, gcf, self.wsgi, self.asgi

    def gcf(self, request: Any) -> tuple[str, int, dict[str, str]]:  # noqa: ANN401 - flask's
        """Google Cloud functions: IAM guards the door, and the secret as well if there is one."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, body = self._answer(
            *(request.method, request.path, headers, request.get_data(), "google"), guarded=False
        )
        return body.decode(), status, {"Content-Type": _JSON}

    def wsgi(self, environ: Message, start_response: Callable[..., object]) -> Iterable[bytes]:
        """A plain WSGI endpoint; without METERLEDGER_HANDLER_SECRET it lets nobody in."""
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        length = min(int(environ.get("CONTENT_LENGTH") or 0), MOST_BYTES)
        body = environ["wsgi.input"].read(length) if length else b""
        path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
        status, content = self._answer(environ["REQUEST_METHOD"], path, headers, body, "wsgi")
        length_header = ("Content-Length", str(len(content)))
        phrase = HTTPStatus(status).phrase
        start_response(f"{status} {phrase}", [("Content-Type", _JSON), length_header])
        return [content]

    async def asgi(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """A plain ASGI endpoint, guarded as the WSGI one; the work goes on in a thread."""
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more and len(body) <= MOST_BYTES:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        status, content = await asyncio.to_thread(
            self._answer, scope["method"], scope["path"], headers, body, "asgi"
        )
        start = {"type": "http.response.start", "status": status}
        await send(start | {"headers": [(b"content-type", _JSON.encode())]})
        await send({"type": "http.response.body", "body": content})

    def _answer(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        trigger: str,
        *,
        guarded: bool = True,
    ) -> tuple[int, bytes]:
        """Let the caller in or not, and run; guarded: without a secret nobody comes in."""
        try:
            config = Config.load()
        except HandlerError as error:
            return 500, json.dumps({"outcome": "failed", "reason": str(error)}).encode()
        if (guarded or config.secret) and not self._door.opens(config, method, path, headers, body):
            return 401, json.dumps({"outcome": "refused"}).encode()
        run = Run(
            self.name,
            config,
            trigger=trigger,
            request_id=request_id(
                headers.get("x-request-id") or headers.get("function-execution-id")
            ),
            deadline=time.monotonic() + max(config.seconds, MARGIN_SECONDS),
        )
        status, result = self.run(run)
        return status, json.dumps(result).encode()
