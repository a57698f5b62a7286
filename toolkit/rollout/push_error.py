"""What the Supabase CLI says of a file that failed, taken apart."""

from __future__ import annotations

import re

from toolkit.errors import OperationalError

_STATE = re.compile(r"\(SQLSTATE (?P<state>[0-9A-Z]{5})\)")
_STATEMENT = re.compile(r"^At statement: (?P<number>\d+)$\n?(?P<text>.*)", re.M | re.S)
_ADVICE = re.compile(r"^Next: (?P<step>.+)$", re.M)
_SEVERITY = re.compile(r"^(?:ERROR|FATAL|PANIC):\s*(?:meterledger: )?")


class PushError(OperationalError):
    """`supabase db push` failed.

    Attributes:
        file: name of the file that failed, without .sql; None before the first one.
        sqlstate: the server's code; None where the server said nothing (a lost connection).
        statement: which one of the file it was, from 1; None where the CLI names none. One more
            than the file has stands for the CLI's own row in its history.
        statement_text: the statement, as far as the CLI shows it.
        reason: the server's first line, without severity and code.
        step: what the file itself says to do next, if it does.
    """

    def __init__(self, text: str, *, file: str | None, details: tuple[str, ...]) -> None:
        state, at = _STATE.search(text), _STATEMENT.search(text)
        advice = _ADVICE.search(text)
        first = _SEVERITY.sub("", text.splitlines()[0])
        super().__init__(
            (f"phase {file} failed: " if file else "supabase db push failed: ") + first,
            # The CLI shows a server's DETAIL and not its HINT, so our own errors say there
            # what to do.
            next_step=advice["step"] if advice else "mend the cause and run the same command again",
            details=details,
        )
        self.file = file
        self.sqlstate = state["state"] if state else None
        self.statement = int(at["number"]) + 1 if at else None
        self.statement_text = at["text"].strip() if at else ""
        self.reason = _STATE.sub("", first).strip()
        self.step = advice["step"] if advice else None
