"""How a backup comes to lie in its folder: it has its name only when it is whole.

While it is made, and while its proof runs, its folder holds a file that its maker has locked; the
lock goes with the maker, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from toolkit.local.account import remove_tree
from toolkit.operations.backup.failures import not_written

PARTIAL_PREFIX = ".partial-"
OWNER_FILE = "owner.lock"
LOCK_FILE = ".lock"


@dataclass
class Unfinished:
    """A backup that is being made or proven: only its maker, while it lives, holds it locked."""

    path: Path
    _owner: int = field(repr=False)

    def close(self) -> None:
        """Let go of the lock, and remove the folder where it was not renamed."""
        remove_tree(self.path)
        os.close(self._owner)

    def finish(self, name: str, *, proving: bool = False) -> Path:
        """Give it its name: from here on it is a backup.

        Args:
            name: of the folder; another one gets a number behind it.
            proving: its proof follows, and it stays locked until settle().

        Raises:
            OSError: the disk refuses.
        """
        if not proving:
            (self.path / OWNER_FILE).unlink()
        _sync(self.path)
        root = self.path.parent
        with _locked(root):
            target, number = root / name, 1
            while target.exists():
                number += 1
                target = root / f"{name}-{number}"
            self.path.rename(target)
        _sync(root)
        return target

    def settle(self, target: Path) -> None:
        """Its proof has come to an end, good or bad, which its manifest tells.

        A disk that refuses changes nothing: the manifest is believed first.
        """
        with suppress(OSError):
            (target / OWNER_FILE).unlink()
            _sync(target)


@contextmanager
def unfinished(root: Path) -> Iterator[Unfinished]:
    """A private folder to make a backup in; gone at the end of the block unless finished.

    Raises:
        OperationalError: the folder cannot be made.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(root):
            path = root / f"{PARTIAL_PREFIX}{timestamp()}-{secrets.token_hex(4)}"
            path.mkdir(mode=0o700)
            owner = os.open(path / OWNER_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(owner, fcntl.LOCK_EX)
    except OSError as error:
        raise not_written(error) from error
    made = Unfinished(path, owner)
    try:
        yield made
    finally:
        made.close()


def timestamp(now: datetime | None = None) -> str:
    """A moment as a folder's name, in UTC."""
    return (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def leftovers(root: Path) -> tuple[str, ...]:
    """Half-written backups whose makers are dead; nothing is changed."""
    return tuple(path.name for path in _partial(root) if not _alive(path))


def sweep(root: Path) -> tuple[str, ...]:
    """Remove half-written backups whose makers are dead; their names."""
    if not leftovers(root):
        return ()
    removed = []
    with _locked(root):
        for path in _partial(root):
            if not _alive(path):
                remove_tree(path)
                removed.append(path.name)
    return tuple(removed)


def _partial(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.glob(f"{PARTIAL_PREFIX}*") if path.is_dir())


def being_proven(path: Path) -> bool | None:
    """Whether a backup's proof runs; False: it was cut off; None: it came to an end or never began.

    Who is asked is the lock and not a process id, which another process may have by now.
    """
    return _alive(path) if (path / OWNER_FILE).exists() else None


def _alive(path: Path) -> bool:
    """Whether somebody still works on it: the lock goes with its holder, however that ends."""
    try:
        descriptor = os.open(path / OWNER_FILE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # Shared: two who ask at once must not take each other for the maker.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One at a time makes, names or sweeps; each takes a moment only."""
    try:
        descriptor = os.open(root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise not_written(error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk too, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
