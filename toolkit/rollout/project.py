"""The folder that the Supabase CLI works in: a copy, since it writes beside what it reads."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import FindingsError
from toolkit.resources import supabase_folder
from toolkit.rollout.checksums import digest
from toolkit.rollout.phases import Phase

PREFIX = "meterledger-push-"


@contextmanager
def project(
    wanted: Iterable[Phase], others: Iterable[str], expected: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """A project folder with the wanted phases, for the time of a with block.

    The CLI wants a file for every version that the history names, so the app's own
    migrations are there as empty files, which it does not apply again.

    Args:
        wanted: the phases to copy.
        others: further versions of the database's history, digits only.
        expected: version → checksum that each copy must have; None: whatever is there.

    Raises:
        FindingsError: a copy has another one. It is looked at and not its original, which
            could change between a look and the copying.
    """
    base = Path(tempfile.gettempdir())
    _sweep(base)
    folder, lock = _claim(base)
    try:
        migrations = folder / "supabase" / "migrations"
        migrations.mkdir(parents=True)
        shutil.copy(supabase_folder() / "config.toml", folder / "supabase")
        for phase in wanted:
            copy = Path(shutil.copy(phase.migration, migrations))
            if expected is not None and digest(copy.read_bytes()) != expected.get(phase.version):
                raise _changed(phase)
        for version in others:
            (migrations / f"{version}_applied_before.sql").touch()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _changed(phase: Phase) -> FindingsError:
    return FindingsError(
        f"{phase.migration.name} is not the file that was looked at when this began: it was not "
        "applied",
        next_step="see who changes migrations/ and put the file back, or begin again with it as "
        "it is now",
    )


def _claim(base: Path) -> tuple[Path, int]:
    """A new folder, locked before it has the name that a sweeper looks for."""
    unnamed = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=base))
    lock = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return unnamed.rename(base / unnamed.name.removeprefix(".")), lock


def _sweep(base: Path) -> None:
    """Remove the folders of pushes that were killed."""
    for folder in base.glob(f"{PREFIX}*"):
        lock = _locked(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """A lock on a folder of ours; None where its owner lives, or it is somebody else's."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
