"""Opens a dump of any of pg_dump's formats as one stream of SQL lines."""

from __future__ import annotations

import gzip
import re
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

from toolkit import settings
from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.local.binaries import Binaries
from toolkit.rehearse.toc import truncated

_BUFFER_BYTES = 1024 * 1024
_HEAD_BYTES = 4096
_GZIP = b"\x1f\x8b"
_OTHER_PACKERS = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
}
_MAKE_ONE = "make one with: pg_dump --format=custom --file=app.dump DATABASE_URL"
# The archive version in a custom dump's header, and the oldest PostgreSQL that reads it.
_ARCHIVE_MAJORS = {14: 12, 15: 16, 16: 17}


class DumpFormat(StrEnum):
    """pg_dump's formats."""

    PLAIN = "plain"
    CUSTOM = "custom"
    DIRECTORY = "directory"
    TAR = "tar"


class DumpSource:
    """An opened dump.

    Attributes:
        format: which of pg_dump's formats it is.
        gzipped: whether it was compressed as a whole.
    """

    def __init__(self, form: DumpFormat, stream: IO[bytes], *, gzipped: bool) -> None:
        self.format = form
        self.gzipped = gzipped
        self._stream = stream

    def readline(self) -> bytes:
        """The next line of SQL; empty at the end.

        Raises:
            OperationalError: the compressed data is damaged or ends early.
        """
        try:
            return self._stream.readline()
        except (EOFError, zlib.error, OSError) as error:
            raise _unreadable(error) from error

    def finish(self) -> None:
        """Nothing more to check: a plain file ends where it ends."""


class _RestoredSource(DumpSource):
    """The output of a running pg_restore."""

    def __init__(
        self,
        form: DumpFormat,
        process: subprocess.Popen[bytes],
        errors: IO[bytes],
        *,
        gzipped: bool,
    ) -> None:
        super().__init__(form, cast(IO[bytes], process.stdout), gzipped=gzipped)
        self._process = process
        self._errors = errors
        self.feeder: threading.Thread | None = None
        self.feed_error: Exception | None = None

    def finish(self) -> None:
        """Raise what pg_restore, or the unpacking before it, has to say.

        Raises:
            OperationalError: truncated, damaged, or of a newer version.
        """
        code = self._process.wait()
        if self.feeder is not None:
            self.feeder.join()
        if self.feed_error is not None:
            raise _unreadable(self.feed_error) from self.feed_error
        if code != 0:
            self._errors.seek(0)
            raise _refused(self._errors.read().decode("utf-8", errors="replace"))


@contextmanager
def open_dump(dump: Path, binaries: Binaries) -> Iterator[DumpSource]:
    """Open a dump; closing it ends a pg_restore that still runs.

    Args:
        dump: a file, or the folder of a directory-format dump.
        binaries: pg_restore comes from here; plain dumps don't need it.

    Raises:
        UsageError: no such file, or not a dump that pg_dump made.
        OperationalError: it cannot be read.
    """
    form, gzipped = recognise(dump)
    if form is not DumpFormat.PLAIN:
        with _restored(dump, form, binaries, gzipped=gzipped) as source:
            yield source
        return
    with _opened(dump, gzipped=gzipped) as stream:
        yield DumpSource(form, stream, gzipped=gzipped)


def _opened(dump: Path, *, gzipped: bool) -> IO[bytes]:
    try:
        if gzipped:
            return cast(IO[bytes], gzip.open(dump))
        return dump.open("rb", buffering=_BUFFER_BYTES)
    except OSError as error:
        raise _unreadable(error) from error


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
        raise _unreadable(error) from error
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


@contextmanager
def _restored(
    dump: Path, form: DumpFormat, binaries: Binaries, *, gzipped: bool
) -> Iterator[DumpSource]:
    """pg_restore writing its SQL into a pipe. It connects to nothing."""
    command = [str(binaries.tool("pg_restore")), "--file=-"]
    if not gzipped:
        command.append(str(dump.absolute()))
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if gzipped else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=_BUFFER_BYTES,
                env=settings.child_environment({"LC_ALL": "C"}),
            )
        except OSError as error:
            raise OperationalError(
                f"pg_restore cannot be run: {error.strerror}",
                next_step="check the PostgreSQL programs, or give a plain SQL dump",
            ) from error
        source = _RestoredSource(form, process, errors, gzipped=gzipped)
        if gzipped:
            _feed(dump, process, source)
        try:
            yield source
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            if source.feeder is not None:
                source.feeder.join()


def _feed(dump: Path, process: subprocess.Popen[bytes], source: _RestoredSource) -> None:
    """Unpack the dump into pg_restore's standard input, beside the reading of its output."""

    def feed() -> None:
        try:
            with cast(IO[bytes], process.stdin) as pipe, gzip.open(dump) as unpacked:
                while block := unpacked.read(_BUFFER_BYTES):
                    pipe.write(block)
        except BrokenPipeError:
            pass  # pg_restore has ended, and says why
        except (EOFError, zlib.error, OSError) as error:
            source.feed_error = error

    source.feeder = threading.Thread(target=feed, name="unpack-dump", daemon=True)
    source.feeder.start()


def _unreadable(error: Exception) -> MeterledgerError:
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


def _refused(words: str) -> OperationalError:
    """What pg_restore said, as one error."""
    lines = [line for line in words.splitlines() if line.strip()]
    last = lines[-1].removeprefix("pg_restore: ").removeprefix("error: ") if lines else "no reason"
    archive = re.search(r"unsupported version \(1\.(\d+)\) in file header", words)
    if archive is not None:
        major = _ARCHIVE_MAJORS.get(int(archive.group(1)))
        needed = f"PostgreSQL {major} or newer" if major else "a newer PostgreSQL than any we know"
        return OperationalError(
            f"the dump was made by a newer pg_dump: reading it needs {needed}",
            next_step="name the folder of its programs in METERLEDGER_PG_BINDIR, or make a plain "
            "dump: pg_dump --format=plain --file=app.sql DATABASE_URL",
            details=tuple(lines),
        )
    if re.search(r"end of file|could not open input file|could not read", words):
        error = truncated(f"pg_restore: {last}")
        error.details = tuple(lines)
        return error
    return OperationalError(
        f"pg_restore cannot read the dump: {last}",
        next_step="make the dump again with pg_dump's own gzip compression, or as plain SQL",
        details=tuple(lines),
    )
