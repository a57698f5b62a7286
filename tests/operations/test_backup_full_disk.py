"""A disk that is full: one clear error, exit code 3, and nothing that could be taken for a backup.

Two stand-ins: a tmpfs of its own is a disk without space (ENOSPC); a limit on a file's size is a
disk or a quota that refuses in the middle of a file with other words (EFBIG).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.backups import Silent
from tests.support.database import Database
from tests.support.processes import python
from tests.support.proven import proven
from tests.support.servers import Databases, default_major
from tests.support.small_disk import types_on
from toolkit.local.account import remove_tree
from toolkit.operations.backup.folder import OWNER_FILE
from toolkit.operations.backup.listing import ProofState, backups, newest_verified
from toolkit.operations.backup.make import make_backup
from toolkit.operations.backup.manifest import DUMP_FILE, MANIFEST_FILE, USERS_FILE

_PAGE = 4096
_LIMITED = """
import resource, sys
from toolkit.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""


@dataclass(frozen=True)
class Place:
    """Where commands are typed: an environment staging, and an empty folder for a small disk.

    Attributes:
        folder: with .env.staging and small/.
        pages: that each file of a backup of staging takes.
    """

    folder: Path
    pages: dict[str, int]

    @property
    def small(self) -> Path:
        return self.folder / "small"

    @property
    def backups(self) -> Path:
        return self.folder / "kept"

    def size(self, *files: str, more: int) -> str:
        """Of a disk that has room for some files and so many pages more."""
        return str((sum(self.pages[name] for name in files) + more) * _PAGE)


@pytest.fixture(scope="module")
def migrated(databases: Callable[[int], Databases]) -> Database:
    """Nobody changes it."""
    return proven(databases(default_major()))


@pytest.fixture
def place(migrated: Database, tmp_path: Path) -> Iterator[Place]:
    made = make_backup(migrated.url, "x", tmp_path / "measured", verify=False, observer=Silent())
    pages = {file.name: -(-file.stat().st_size // _PAGE) for file in made.path.iterdir()}
    # Not in pytest's own: the server's account has to pass through.
    folder = Path(tempfile.mkdtemp(prefix="meterledger-test-"))
    folder.chmod(0o711)
    (folder / "small").mkdir(mode=0o711)
    (folder / ".env.staging").write_text(f"DATABASE_URL={migrated.url}\n")
    yield Place(folder, pages)
    remove_tree(folder)


@pytest.mark.parametrize(
    ("files", "more"),
    [((), 1), ((), 16), ((DUMP_FILE, USERS_FILE), -1), ((DUMP_FILE, USERS_FILE), 1)],
    ids=["at once", "in the dump", "in the last file but one", "in the manifest"],
)
def test_in_the_dump(files: tuple[str, ...], more: int, place: Place) -> None:
    answer = types_on(
        *(place.small, place.size(*files, more=more), "backup", "staging"),
        cwd=place.folder,
        extra={"METERLEDGER_BACKUPS": str(place.small / "kept")},
    )

    assert answer.code == 3, answer.err
    assert answer.err.count("error: ") == 1
    assert "the disk is full: the backup was not made, and what had been written is" in answer.err
    assert "METERLEDGER_BACKUPS" in answer.err
    assert answer.left <= {"kept", "kept/.lock"}


@pytest.mark.parametrize("size", ["1m", "8m", "24m", "40m"])
def test_in_the_proof(size: str, place: Place) -> None:
    """Its server has no room: for its own start, or for the rows."""
    answer = types_on(
        *(place.small, size, "backup", "staging"),
        cwd=place.folder,
        extra={"METERLEDGER_BACKUPS": str(place.backups), "TMPDIR": str(place.small)},
    )

    assert answer.code == 3, answer.err
    assert answer.err.count("error: ") == 1
    (one,) = backups(place.backups, "staging", check=True)
    assert f"; backup {one.name} was not proven" in answer.err
    assert "the disk is full" in answer.err
    assert "TMPDIR" in answer.err
    assert (one.proof, one.verified, one.problem) == (ProofState.INTERRUPTED, False, None)
    assert newest_verified(place.backups, "staging") is None
    assert answer.left == frozenset()


def test_in_the_proofs_result(place: Place) -> None:
    """There is room for the backup, and none for a second manifest beside the first."""
    answer = types_on(
        *(place.small, place.size(*place.pages, more=2), "backup", "staging"),
        cwd=place.folder,
        extra={"METERLEDGER_BACKUPS": str(place.small)},
    )

    assert answer.code == 3, answer.err
    assert answer.err.count("error: ") == 1
    assert "the disk is full: the proof's result cannot be written" in answer.err
    assert "stays unproven" in answer.err
    files = {path.partition("/")[2] for path in answer.left if "/" in path}
    assert files == {DUMP_FILE, USERS_FILE, MANIFEST_FILE, OWNER_FILE}


def test_a_file_that_may_grow_no_more(place: Place, migrated: Database) -> None:
    """A limit of the process, which needs no right to mount: it stands for a quota."""
    half = place.pages[DUMP_FILE] * _PAGE // 2
    words = ("backup", "staging", "--no-verify")
    (place.folder / ".env.staging").write_text(
        f"DATABASE_URL={migrated.url}\nMETERLEDGER_BACKUPS={place.backups}\n"
    )
    with python(_LIMITED, str(half), *words, cwd=place.folder) as process:
        _, err = process.communicate(timeout=120)

    assert process.returncode == 3, err
    assert err.count("error: ") == 1
    assert "the backup cannot be written: File too large" in err
    assert [path.name for path in place.backups.iterdir()] == [".lock"]


def test_the_disk_that_was_full_takes_the_next_backup(place: Place) -> None:
    """Room was made: what the full disk had left is named, and does not stop anything."""
    extra = {"METERLEDGER_BACKUPS": str(place.backups), "TMPDIR": str(place.small)}
    words = ("backup", "staging")
    assert types_on(place.small, "8m", *words, cwd=place.folder, extra=extra).code == 3
    answer = types_on(place.small, "500m", *words, cwd=place.folder, extra=extra)

    assert answer.code == 0, answer.err
    assert "was never proven, its proof was interrupted" in answer.err
    found = backups(place.backups, "staging", check=True)
    assert [one.proof for one in found] == [ProofState.PROVEN, ProofState.INTERRUPTED]
