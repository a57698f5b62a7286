"""Servers that are thrown away, also when the command that made them was killed."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import OperationalError
from toolkit.local.account import Account, remove_tree
from toolkit.local.binaries import Binaries
from toolkit.local.cluster import THROW_AWAY_SETTINGS
from toolkit.local.server import Server

PREFIX = "meterledger-tmp-"
OWNER_FILE = "owner.lock"


@contextmanager
def temporary_server(
    *,
    binaries: Binaries | None = None,
    settings: Mapping[str, str] | None = None,
    base: Path | None = None,
) -> Iterator[Server]:
    """A started server for the time of a with block, not durable, then deleted.

    Its owner holds a lock for as long as it lives. What an owner that was killed left
    behind is found by that, stopped and deleted by the next caller.

    Args:
        binaries: PostgreSQL's programs; found if left out.
        settings: on top of THROW_AWAY_SETTINGS.
        base: the folder to make it in; the system's temporary one if left out.
    """
    parent = base if base is not None else Path(tempfile.gettempdir())
    sweep(parent)
    home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    if Account.current().switches:
        home.chmod(0o711)
    owner = _claim(home)
    server = Server(home, binaries=binaries, settings={**THROW_AWAY_SETTINGS, **(settings or {})})
    try:
        server.start()
        yield server
    finally:
        try:
            server.destroy()
            remove_tree(home)
        finally:
            os.close(owner)


def sweep(base: Path) -> int:
    """Delete the temporary servers of a folder whose owners are dead; how many there were."""
    count = 0
    for home in base.glob(f"{PREFIX}*"):
        descriptor = _abandoned(home)
        if descriptor is None:
            continue
        try:
            Server(home).destroy()
            remove_tree(home)
            count += 1
        except OperationalError:
            continue  # somebody else's mess must not stop this command
        finally:
            os.close(descriptor)
    return count


def _claim(home: Path) -> int:
    """Lock before the name appears, so that a sweeper never sees it unlocked."""
    unnamed = home / f".{OWNER_FILE}"
    descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    unnamed.rename(home / OWNER_FILE)
    return descriptor


def _abandoned(home: Path) -> int | None:
    """A lock on a temporary server whose owner is gone; None where it lives or is not ours."""
    try:
        if home.lstat().st_uid != os.geteuid() or home.is_symlink():
            return None
        descriptor = os.open(home / OWNER_FILE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
