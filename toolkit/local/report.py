"""What a server's commands tell: what start() did, and a look at a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Started:
    """What start() did.

    Attributes:
        already_running: it was, and nothing was done.
        port: on 127.0.0.1.
        notes: lines for the operator (a fallback was used, another port was chosen).
    """

    already_running: bool
    port: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """A look at a server.

    Attributes:
        running: it takes connections.
        created: it has a data folder.
        major: of the data folder, for example 17.
        pid, port: None while it is not running.
        data, log: where they are, or would be.
    """

    running: bool
    created: bool
    major: int | None
    pid: int | None
    port: int | None
    data: Path
    log: Path
