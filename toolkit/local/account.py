"""Which system account runs PostgreSQL, which refuses to run as root."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from toolkit import settings
from toolkit.errors import OperationalError

UNPRIVILEGED_ID = 65534  # 'nobody' on every common system
_REMOVE_TIMEOUT_SECONDS = 15.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Account:
    """The account that PostgreSQL's programs run as.

    Attributes:
        uid: the id to switch to; None: no switch, we are an ordinary user.
    """

    uid: int | None

    @classmethod
    def current(cls) -> Account:
        """Ourselves, or, when we are root, the unprivileged account."""
        return cls(uid=UNPRIVILEGED_ID if os.geteuid() == 0 else None)

    @property
    def switches(self) -> bool:
        """True when we are root and PostgreSQL is not."""
        return self.uid is not None

    def run(self, *command: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as the account; stdout and stderr come back together.

        Raises:
            OperationalError: the program cannot be started, or took longer than
                `timeout` seconds.
        """
        arguments = [str(word) for word in command]
        try:
            return subprocess.run(
                arguments,
                user=self.uid,
                group=self.uid,
                extra_groups=[] if self.switches else None,
                cwd="/",
                env=settings.child_environment({"LC_ALL": "C", "PGCONNECT_TIMEOUT": "5"}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise OperationalError(
                f"{arguments[0]} did not end within {timeout:.0f} seconds",
                next_step="look at the machine's load and disk, then try again",
            ) from error
        except (OSError, subprocess.SubprocessError) as error:
            raise OperationalError(
                f"{arguments[0]} cannot be run: {error}",
                next_step="check that the file is there, runnable, and made for this platform",
            ) from error

    def can_enter(self, folder: Path) -> bool:
        """Whether the account can reach a folder and go into it.

        Asked of the system, as the account: mode bits alone miss access lists and mounts.
        """
        if not self.switches:
            return os.access(folder, os.X_OK)
        return self.run("/bin/sh", "-c", 'cd "$1" 2>/dev/null', "sh", folder).returncode == 0

    def own(self, path: Path) -> None:
        """Give a file or folder that we made to the account; does nothing if that is us."""
        if self.uid is not None:
            os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def make_folder(self, folder: Path) -> None:
        """Make a folder of ours and its missing parents, open to the account but no wider.

        The account may pass through, not list. Folders that were there are left alone.
        """
        if folder.is_dir():
            return
        self.make_folder(folder.parent)
        try:
            folder.mkdir(exist_ok=True)
            folder.chmod(0o711 if self.switches else 0o700)
        except OSError as error:
            raise OperationalError(
                f"{folder} cannot be made: {error.strerror}",
                next_step="check the folder above it, or name another in METERLEDGER_HOME",
            ) from error


def remove_tree(folder: Path) -> None:
    """Delete a folder with all that is in it; one that is not there is fine.

    Tried again for a while when something appears in it meanwhile: the children of a
    killed command (initdb, a backend) write until they notice that they are alone.
    """
    if folder.is_symlink():
        folder.unlink()
        return
    deadline = time.monotonic() + _REMOVE_TIMEOUT_SECONDS
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.ENOTEMPTY and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                continue
            raise OperationalError(
                f"{folder} cannot be removed: {error.strerror}",
                next_step="check who owns it, remove it by hand, then try again",
            ) from error
