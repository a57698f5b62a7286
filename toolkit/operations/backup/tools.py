"""Finds a pg_dump that may dump a server: not older than it is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import MeterledgerError, OperationalError
from toolkit.local.account import Account
from toolkit.local.binaries import Binaries, Source, find_binaries

_PROGRAMS = ("pg_dump", "pg_restore")
_VERSION = re.compile(r"\(PostgreSQL\) (?P<version>\d+(?:\.\d+)?)")


def find_tools(server_major: int) -> Binaries:
    """pg_dump and pg_restore of the server's version or newer: the embedded ones, else PATH's.

    Args:
        server_major: of the server to dump, for example 17.

    Raises:
        OperationalError: there is no pg_dump, or only older ones; the details name them.
    """
    seen: list[str] = []
    for found in _candidates():
        if found.major >= server_major:
            return found
        seen.append(f"pg_dump {found.version} in {found.bindir} is too old")
    what = "is too old" if seen else "is missing"
    raise OperationalError(
        f"pg_dump {what}: the server is PostgreSQL {server_major}",
        next_step=f"install the client programs of PostgreSQL {server_major} or newer, or name "
        "their folder in METERLEDGER_PG_BINDIR",
        details=tuple(seen),
    )


def find_server(major: int, *, tools: Binaries) -> Binaries:
    """The programs of a server to restore into: of that version if there are any, else newer.

    Raises:
        OperationalError: there are only older ones, or pg_dump is newer than all of them.
    """
    seen: list[str] = []
    for wanted in (major, None):
        try:
            found = find_binaries(major=wanted)
        except MeterledgerError as error:
            seen.append(error.message)
            continue
        if found.major >= major:
            return found
        seen.append(f"PostgreSQL {found.version} in {found.bindir} is older")
    raise OperationalError(
        f"no PostgreSQL {major} or newer is here to restore the dump into (pg_dump is "
        f"{tools.version})",
        next_step=f"install PostgreSQL {major}, or name the folder of its programs in "
        "METERLEDGER_PG_BINDIR; or --no-verify, and prove the backup elsewhere",
        details=tuple(seen),
    )


def _candidates() -> Iterator[Binaries]:
    try:
        embedded = find_binaries()
    except MeterledgerError:
        pass  # without a server there may still be a pg_dump
    else:
        found = _examine(embedded.bindir, embedded.source, embedded.origin)
        if found is not None:
            yield found
    on_path = shutil.which(_PROGRAMS[0])
    if on_path is not None:
        folder = Path(on_path).parent
        found = _examine(folder, Source.SYSTEM, str(folder))
        if found is not None:
            yield found


def _examine(bindir: Path, source: Source, origin: str) -> Binaries | None:
    """The client programs of a folder, with pg_dump's own version; None without them."""
    if not all((bindir / name).is_file() for name in _PROGRAMS):
        return None
    try:
        answer = Account(uid=None).run(bindir / "pg_dump", "--version", timeout=10)
    except OperationalError:
        return None
    version = _VERSION.search(answer.stdout)
    if answer.returncode != 0 or version is None:
        return None
    return Binaries(bindir=bindir, version=version["version"], source=source, origin=origin)
