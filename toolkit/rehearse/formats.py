"""Recognises what a file is by its first bytes, and a tar's end by its last ones."""

from __future__ import annotations

import gzip
import os
import zlib
from enum import StrEnum
from pathlib import Path

from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.rehearse.toc import truncated

_HEAD_BYTES = 4096
TAR_END_BYTES = 1024
_GZIP = b"\x1f\x8b"
_OTHER_PACKERS = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
}
_MAKE_ONE = "make one with: pg_dump --format=custom --file=app.dump DATABASE_URL"


class DumpFormat(StrEnum):
    """pg_dump's formats."""

    PLAIN = "plain"
    CUSTOM = "custom"
    DIRECTORY = "directory"
    TAR = "tar"


def recognise(dump: Path) -> tuple[DumpFormat, bool]:
    """The format by content, not by name, and whether it is gzipped.

    Raises:
        UsageError: no such file, or not a dump.
        OperationalError: it cannot be read.
    """
    if dump.is_dir():
        if (dump / "toc.dat").is_file():
            return DumpFormat.DIRECTORY, False
        raise UsageError(
            f"{dump} is a folder without toc.dat, so not a directory-format dump",
            next_step=_MAKE_ONE,
        )
    try:
        with dump.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        gzipped = head.startswith(_GZIP)
        if gzipped:
            with gzip.open(dump) as unpacked:
                head = unpacked.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no file {dump}", next_step="check the path of the dump"
        ) from error
    except (EOFError, zlib.error, OSError) as error:
        raise unreadable(error) from error
    return _format(dump, head), gzipped


def _format(dump: Path, head: bytes) -> DumpFormat:
    if head.startswith(b"PGDMP"):
        return DumpFormat.CUSTOM
    if head[257:262] == b"ustar" and head.startswith(b"toc.dat"):
        return DumpFormat.TAR
    if b"-- PostgreSQL database" in head:
        return DumpFormat.PLAIN
    raise UsageError(f"{dump} is not a dump made by pg_dump", next_step=_advice(head))


def _advice(head: bytes) -> str:
    """What to do about a file that is no dump, as far as its first bytes tell."""
    for magic, name in _OTHER_PACKERS.items():
        if head.startswith(magic):
            return f"it is packed with {name}: unpack it first (only gzip is read directly)"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return (
            "it is UTF-16, as PowerShell's > writes it: dump again with pg_dump --file=app.sql, "
            "which writes the file itself"
        )
    if head[257:262] == b"ustar":
        return "it is a tar of a folder: unpack it, and name the folder that holds toc.dat"
    if b"SET " in head or b"CREATE " in head or b"INSERT " in head:
        return "it is SQL without pg_dump's comments, as `supabase db dump` writes it; " + _MAKE_ONE
    return _MAKE_ONE


def has_tar_end(dump: Path) -> bool:
    """Whether a tar ends as it must, in two empty blocks. pg_restore loops if it does not."""
    with dump.open("rb") as file:
        file.seek(-TAR_END_BYTES, os.SEEK_END)
        return not any(file.read())


def tar_truncated() -> OperationalError:
    """The error for a tar without its end."""
    return truncated("the tar lacks its end mark")


def unreadable(error: Exception) -> MeterledgerError:
    """The error for a file that cannot be read to its end; one of ours stays as it is."""
    if isinstance(error, MeterledgerError):
        return error
    if isinstance(error, EOFError):
        return truncated("the compressed data stops before its end")
    if isinstance(error, zlib.error | gzip.BadGzipFile):
        return OperationalError(
            "the dump is damaged: its compressed data cannot be unpacked",
            next_step="copy the file again, or make the dump again",
        )
    reason = getattr(error, "strerror", None) or str(error)
    return OperationalError(
        f"the dump cannot be read: {reason}",
        next_step="check the file's permissions and the disk",
    )
