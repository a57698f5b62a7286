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
from pathlib import Path
from typing import IO, cast

from toolkit import settings
from toolkit.errors import OperationalError
from toolkit.local.binaries import Binaries
from toolkit.rehearse.formats import (
    TAR_END_BYTES,
    DumpFormat,
    has_tar_end,
    recognise,
    tar_truncated,
    unreadable,
)
from toolkit.rehearse.toc import truncated

_BUFFER_BYTES = 1024 * 1024
# The archive version in a custom dump's header, and the oldest PostgreSQL that reads it.
_ARCHIVE_MAJORS = {14: 12, 15: 16, 16: 17}


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
            raise unreadable(error) from error

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
            raise unreadable(self.feed_error) from self.feed_error
        if code != 0:
            self._errors.seek(0)
            raise _refused(self._errors.read().decode("utf-8", errors="replace"), code)


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
    if form is DumpFormat.TAR and not gzipped and not has_tar_end(dump):
        raise tar_truncated()
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
        raise unreadable(error) from error


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
        last = b""
        try:
            with cast(IO[bytes], process.stdin) as pipe, gzip.open(dump) as unpacked:
                while block := unpacked.read(_BUFFER_BYTES):
                    last = (last + block)[-TAR_END_BYTES:]
                    pipe.write(block)
                if source.format is DumpFormat.TAR and any(last):
                    raise tar_truncated()
        except BrokenPipeError:
            pass  # pg_restore has ended, and says why
        except (EOFError, zlib.error, OSError, OperationalError) as error:
            source.feed_error = error
            process.kill()

    source.feeder = threading.Thread(target=feed, name="unpack-dump", daemon=True)
    source.feeder.start()


def _refused(words: str, code: int) -> OperationalError:
    """What pg_restore said, as one error."""
    lines = [line for line in words.splitlines() if line.strip()] or [f"it ended with code {code}"]
    last = lines[-1].removeprefix("pg_restore: ").removeprefix("error: ")
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
    if "not supported" in words or "this build" in words:
        next_step = "make the dump again with --compress=gzip, or as plain SQL"
    else:
        next_step = "it looks damaged: copy the file again, or make the dump again"
    return OperationalError(
        f"pg_restore cannot read the dump: {last}", next_step=next_step, details=tuple(lines)
    )
