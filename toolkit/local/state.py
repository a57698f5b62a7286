"""What a server's folder remembers between commands: one private file, written atomically."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from toolkit.errors import OperationalError

STATE_FILE = "state.json"
LOCK_FILE = "lock"
LOCK_TIMEOUT_SECONDS = 180.0
_LOCK_POLL_SECONDS = 0.05


def _password() -> str:
    """A password that needs no percent-encoding in a URL."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class State:
    """One server's memory.

    Attributes:
        port: the loopback port it last listened on; None before its first start.
        ready: the bootstrap has run to its end.
        admin_password: of the superuser supabase_admin.
        password: of the other roles that can log in, postgres and authenticator.
    """

    port: int | None = None
    ready: bool = False
    admin_password: str = field(default_factory=_password, repr=False)
    password: str = field(default_factory=_password, repr=False)


def read_state(home: Path) -> State | None:
    """The state of a server's folder; None where there is none.

    Raises:
        OperationalError: the file is damaged, or belongs to another user.
    """
    file = home / STATE_FILE
    try:
        return State(**json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise OperationalError(
            f"{file} belongs to another user",
            next_step="run the command as the user who started the server first",
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise OperationalError(
            f"{file} is damaged, and the server's passwords with it",
            next_step="run meterledger local reset to start afresh (the local data is lost)",
        ) from error


def write_state(home: Path, state: State) -> None:
    """Replace the state in one step: a killed command leaves the old or the new one.

    The caller holds the folder's lock.

    Raises:
        OperationalError: the disk is full or the folder is not writable.
    """
    text = json.dumps(asdict(state), indent=2) + "\n"
    temporary: Path | None = None
    try:
        for left in home.glob(f"{STATE_FILE}.*"):  # by a command that was killed right here
            left.unlink(missing_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f"{STATE_FILE}.", dir=home)  # mode 0600
        temporary = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(home / STATE_FILE)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise OperationalError(
            f"{home / STATE_FILE} cannot be written: {error.strerror}",
            next_step="check the disk's free space and the folder's owner, then try again",
        ) from error


@contextmanager
def locked(home: Path, *, timeout: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold a server's folder alone. The lock goes with its process, even after kill -9.

    Args:
        home: the folder, which is there.
        timeout: seconds to wait for another command.

    Raises:
        OperationalError: another command held it all that time.
    """
    try:
        descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OperationalError(
            f"{home / LOCK_FILE} cannot be opened: {error.strerror}",
            next_step="run the command as the user who started the server first",
        ) from error
    try:
        _wait_for_lock(descriptor, home, timeout)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, home: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OperationalError(
                    f"another command has been busy with {home} for {timeout:.0f} seconds",
                    next_step="wait for it, or end it, then try again",
                ) from None
            time.sleep(_LOCK_POLL_SECONDS)
