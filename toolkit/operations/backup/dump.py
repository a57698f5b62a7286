"""Runs pg_dump in an exported snapshot and writes what it says, hashing on the way."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from toolkit import settings
from toolkit.connection import parse
from toolkit.errors import OperationalError
from toolkit.local.binaries import Binaries
from toolkit.operations.backup.facts import SCHEMAS
from toolkit.operations.backup.failures import (
    APPLICATION_NAME,
    LOCK_WAIT_MS,
    dump_failed,
    not_written,
)
from toolkit.operations.backup.manifest import StoredFile
from toolkit.rehearse.source import open_dump
from toolkit.rehearse.toc import CopyData, DumpReader
from toolkit.rollout.push import without_password

_BLOCK_BYTES = 1024 * 1024
# The snapshot, the lock wait, and what the rollout touches; publications and subscriptions
# belong to the database and not to a schema.
_OPTIONS = (
    "--format=custom",
    "--no-password",
    "--no-publications",
    "--no-subscriptions",
    f"--lock-wait-timeout={LOCK_WAIT_MS}",
    *(f"--schema={schema}" for schema in SCHEMAS),
)
# What libpq is told by the URL and must not be told twice, or another way.
_OURS = ("application_name", "fallback_application_name", "options")


class HashingFile:
    """A private file that knows its size and sum when it is closed."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._sum = hashlib.sha256()
        self._size = 0

    def write(self, block: bytes) -> None:
        """Add to it."""
        self._file.write(block)
        self._sum.update(block)
        self._size += len(block)

    def finish(self) -> StoredFile:
        """Make sure that it is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return StoredFile(self._size, self._sum.hexdigest())

    def close(self) -> None:
        """Close it; what cannot be written any more has been reported already."""
        try:
            self._file.close()
        except OSError:
            return


class Dumping:
    """A pg_dump at work; its output is taken by a thread, so that the caller can count meanwhile.

    It writes into our pipe and not into a file: when we are killed, it ends at its next block.
    """

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes], path: Path) -> None:
        self._process = process
        self._errors = errors
        self._file = HashingFile(path)
        self._stored: StoredFile | None = None
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._take, name="take-dump", daemon=True)
        self._thread.start()

    def finish(self) -> StoredFile:
        """Wait for its end.

        Raises:
            MeterledgerError: pg_dump failed, or the disk did.
        """
        self._thread.join()
        code = self._process.wait()
        if self._failure is not None:
            raise not_written(self._failure) from self._failure
        if code != 0 or self._stored is None:
            self._errors.seek(0)
            raise dump_failed(self._errors.read().decode("utf-8", errors="replace"), code)
        return self._stored

    def end(self) -> None:
        """End it, however far it is."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self._file.close()

    def _take(self) -> None:
        output = cast(IO[bytes], self._process.stdout)
        try:
            with output:
                while block := output.read(_BLOCK_BYTES):
                    self._file.write(block)
            self._stored = self._file.finish()
        except OSError as error:
            self._failure = error
            self._process.kill()


@contextmanager
def dumping(tools: Binaries, url: str, snapshot: str, path: Path) -> Iterator[Dumping]:
    """Start pg_dump; leaving the block ends it.

    Args:
        tools: with pg_dump.
        url: of the database; its password goes through pg_dump's environment.
        snapshot: the name that pg_export_snapshot() gave.
        path: the file to write.

    Raises:
        OperationalError: pg_dump cannot be started, or the file cannot be made.
    """
    bare, password = without_password(_ours_removed(url))
    secret = {"PGPASSWORD": password} if password else {}
    environment = settings.child_environment(
        {**secret, "PGAPPNAME": APPLICATION_NAME, "LC_ALL": "C"}
    )
    command = [str(tools.tool("pg_dump")), *_OPTIONS, f"--snapshot={snapshot}", f"--dbname={bare}"]
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except OSError as error:
            raise OperationalError(
                f"pg_dump cannot be run: {error.strerror}",
                next_step="check the PostgreSQL programs, or METERLEDGER_PG_BINDIR",
            ) from error
        try:
            running = Dumping(process, errors, path)
        except OSError as error:
            process.kill()
            process.wait()
            raise not_written(error) from error
        try:
            yield running
        finally:
            running.end()


def rows_in(dump: Path, tools: Binaries) -> dict[str, int]:
    """Count the rows that a dump holds, by table, as pg_restore reads it.

    Raises:
        OperationalError: it cannot be read to its end.
    """
    counted: dict[str, int] = {}
    with open_dump(dump, tools) as source:
        for entry in DumpReader(source).entries():
            if entry.header.type != "TABLE DATA":
                continue
            rows = 0
            for piece in entry.pieces():
                if isinstance(piece, CopyData):
                    for _ in piece.chunks:
                        pass
                    rows += piece.rows
            counted[entry.header.label] = counted.get(entry.header.label, 0) + rows
    return counted


def _ours_removed(url: str) -> str:
    """The URL without what we say ourselves."""
    parts = parse(url)
    if not any(name in parts for name in _OURS):
        return url
    kept = {name: value for name, value in parts.items() if name not in _OURS}
    return " ".join(f"{name}='{_escaped(value)}'" for name, value in kept.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
