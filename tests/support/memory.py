"""Temporary files in memory, where the machine has a folder for that and room in it.

A test database is a thousand small files that live for a second: most of what its making costs
is the disk's bookkeeping. What a killed process leaves, memory keeps as a disk does; only a
power cut is another matter, and no test has one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's own
WANTED_BYTES = 4 * 2**30
_NAMES = ("TMPDIR", "TEMP", "TMP")  # in the order in which tempfile looks at them

# PostgreSQL keeps up to max_wal_size of log, which would be the larger part of what is in memory.
SETTINGS = {"max_wal_size": "256MB"}


def use(environ: MutableMapping[str, str], folder: Path = SHARED_MEMORY) -> None:
    """Let temporary files be made there, ours and those of the programs that we start.

    Whoever has named a folder for them keeps it.
    """
    if not any(environ.get(name) for name in _NAMES) and has_room(folder):
        environ["TMPDIR"] = str(folder)
        tempfile.tempdir = None  # else it is where it was when somebody asked first


def has_room(folder: Path, wanted: int = WANTED_BYTES) -> bool:
    """Whether everybody may write there, programs run from there, and so many bytes are free."""
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return False
    about = os.statvfs(folder)
    return not about.f_flag & os.ST_NOEXEC and about.f_bavail * about.f_frsize >= wanted
