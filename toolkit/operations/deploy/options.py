"""What a deploy is told, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from toolkit.errors import UsageError
from toolkit.settings import LOCAL

RETRIES = 5
LOCK_TIMEOUT_SECONDS = 5.0  # what the phase files say themselves
WAIT_SECONDS = 30.0
PAUSE_SECONDS = 1.0
SETTLE_SECONDS = 10.0


class Observer(Protocol):
    """Who is told what happens; the command line shows it, tests collect it."""

    def step(self, name: str) -> None:
        """A step begins."""

    def note(self, text: str) -> None:
        """Something worth a line."""


@dataclass(frozen=True)
class DeployOptions:
    """How to deploy.

    Attributes:
        environment: the name that the database must not contradict, and gets if it has none.
        time_zone: the app's zone, confirmed by the operator; None: as the database has it.
        defer_backfill: the data is left to `meterledger backfill`.
        one_transaction: the data moves with the deploy, however many rows there are.
        through: the last version to apply; None: all.
        vouched: version → checksum of the files that a receipt vouches for, no more and no
            less; None: none is demanded.
        lock_timeout: seconds that a statement may wait for a lock before it gives way; the
            files' own limit of 5 s holds too. Concurrent builds block nobody and are not limited.
        retries: how often a file is tried.
        pause: seconds after the first try that gave way; each further pause is twice as long.
        wait: seconds to wait for an earlier push that still works in the server.
        settle: seconds that the CLI of a killed deploy is given to show itself in the server.
    """

    environment: str = LOCAL
    time_zone: str | None = None
    defer_backfill: bool = False
    one_transaction: bool = False
    through: str | None = None
    vouched: Mapping[str, str] | None = None
    lock_timeout: float = LOCK_TIMEOUT_SECONDS
    retries: int = RETRIES
    pause: float = PAUSE_SECONDS
    wait: float = WAIT_SECONDS
    settle: float = SETTLE_SECONDS

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            UsageError: a limit is not positive.
        """
        if self.retries < 1 or self.lock_timeout <= 0 or min(self.pause, self.wait) < 0:
            raise UsageError(
                "--retries counts from 1, and --lock-timeout is more than 0 seconds",
                next_step="leave them out for 5 tries of 5 seconds",
            )
        if self.defer_backfill and self.one_transaction:
            raise UsageError(
                "--defer-backfill and --in-one-transaction say the opposite",
                next_step="leave one of them out",
            )


@dataclass(frozen=True)
class AppliedFile:
    """One file that was pushed, verified and recorded.

    Attributes:
        version: of the file.
        name: of the file.
        checksum: SHA-256 in hexadecimal.
        attempts: how often it was tried.
        seconds: of the push that succeeded.
        verify_seconds: of its verification.
    """

    version: str
    name: str
    checksum: str
    attempts: int
    seconds: float
    verify_seconds: float


@dataclass(frozen=True)
class DeployReport:
    """What a deploy did.

    Attributes:
        environment: its name.
        database: user@host:port/database.
        applied: the files that it pushed.
        adopted: versions that it found applied, verified and recorded.
        continued: versions that a killed deploy had begun.
        left: versions that are still pending, behind `through`.
        seconds: of the whole deploy.
    """

    environment: str
    database: str
    applied: tuple[AppliedFile, ...]
    adopted: tuple[str, ...]
    continued: tuple[str, ...]
    left: tuple[str, ...]
    seconds: float
