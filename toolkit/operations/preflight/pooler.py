"""The item about the way to the server: does a session keep its server process?"""

from __future__ import annotations

import select
import time

from toolkit.connection import TRANSACTION_POOLER_PORT, connect, parse
from toolkit.errors import OperationalError
from toolkit.operations.preflight.context import Connection, Context
from toolkit.operations.preflight.report import CheckItem, Finding, Verdict, judged

_ROUNDS = 3
_PATIENCE_SECONDS = 10.0
_PID = b"select pg_backend_pid()"
_STEP = "use the direct connection or the session pooler (on Supabase: port 5432) in DATABASE_URL"


class _NoSessionError(Exception):
    """A pooler lets a client wait for a process."""


def pooler(context: Context) -> CheckItem:
    """A session that keeps its server process from one transaction to the next.

    A pooler in transaction mode hands each transaction whatever process is free, so that the
    deploy's lock, its settings and the CLI's own session would be spread over several. Told by
    what it does: two clients who take turns are given the same process, or one is given two.
    """
    try:
        shared, direct = _behaviour(context.url)
    except OperationalError as error:
        finding = Finding(Verdict.FAIL, "sessions", error.message, error.next_step)
        return _item([finding], "unknown")
    except _NoSessionError:
        finding = Finding(
            Verdict.FAIL,
            "sessions",
            f"the pooler gave no further session within {_PATIENCE_SECONDS:g} seconds",
            "use the direct connection, make the pool larger, or let other clients end",
        )
        return _item([finding], "unknown")
    if shared:
        finding = Finding(
            Verdict.FAIL,
            "pooler",
            "a pooler in transaction mode: settings and locks of a session do not survive from one "
            "transaction to the next, so a deploy could not hold its lock",
            _STEP,
        )
        return _item([finding], "transaction")
    mode = "direct" if direct else "session"
    if parse(context.url).get("port") != TRANSACTION_POOLER_PORT:
        return _item([], mode)
    finding = Finding(
        Verdict.WARN,
        "port",
        "port 6543 is where Supabase's pooler in transaction mode listens, though this one behaved "
        "like a session",
        _STEP,
    )
    return _item([finding], mode)


def _item(findings: list[Finding], mode: str) -> CheckItem:
    return judged(
        "pooler",
        "a connection keeps its session",
        findings,
        quiet="a direct connection" if mode == "direct" else "a pooler in session mode",
        figures={"mode": mode},
    )


def _behaviour(url: str) -> tuple[bool, bool]:
    """Whether processes are shared, and whether there is no pooler at all.

    Without one, the process that greets a client is the one that answers; a pooler makes its
    greeting up.
    """
    with connect(url, autocommit=True, prepare=False) as first:
        own = _process(first)
        direct = own == first.info.backend_pid
        for _ in range(_ROUNDS):
            with connect(url, autocommit=True, prepare=False) as other:
                # Its transaction stays open, so that the process that it was given is taken.
                if _process(other, keep=True) == own or _process(first) != own:
                    return True, direct
    return False, direct


def _process(client: Connection, *, keep: bool = False) -> int:
    """The process that serves a client now; a full pool is not waited for longer than a while.

    Args:
        client: in autocommit mode.
        keep: open a transaction, which keeps it.
    """
    wire, until = client.pgconn, time.monotonic() + _PATIENCE_SECONDS
    wire.send_query(b"begin read only; " + _PID if keep else _PID)
    answer = None
    while True:
        while wire.is_busy():
            left = until - time.monotonic()
            if left <= 0 or not select.select([wire.socket], [], [], left)[0]:
                client.close()
                raise _NoSessionError
            wire.consume_input()
        result = wire.get_result()
        if result is None:
            break
        if result.ntuples:
            answer = result.get_value(0, 0)
    if answer is None:
        raise _NoSessionError
    return int(answer)
