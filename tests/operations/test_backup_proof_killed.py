"""A backup whose proof was killed: told apart, kept while it runs, removed when it is dead."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.backups import Silent
from tests.support.database import Database
from tests.support.processes import kill, python, wait_until
from tests.support.proven import proven
from tests.support.servers import Databases, default_major
from tests.support.typing_in import Types, types_in
from toolkit.cli import app
from toolkit.operations.backup.folder import OWNER_FILE, being_proven
from toolkit.operations.backup.listing import ProofState, backups, newest_verified
from toolkit.operations.backup.make import make_backup
from toolkit.operations.backup.manifest import read_manifest

# Restores for real, and never comes to the comparison.
_MAKE = """
import sys, threading
from pathlib import Path
from tests.support.backups import Silent
from toolkit.operations.backup import prove
from toolkit.operations.backup.make import make_backup
def hang(connection):
    print("restored", flush=True)
    threading.Event().wait()
prove.facts_of_copy = hang
make_backup(sys.argv[1], "staging", Path(sys.argv[2]), observer=Silent())
"""


@pytest.fixture(scope="module")
def migrated(databases: Callable[[int], Databases]) -> Database:
    """Nobody changes it."""
    return proven(databases(default_major()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "home" / "backups" / "staging"


@pytest.fixture
def types(
    tmp_path: Path,
    migrated: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Types:
    """In a folder with an environment called staging."""
    (tmp_path / ".env.staging").write_text(f"DATABASE_URL={migrated.url}\n")
    return types_in(app, tmp_path, monkeypatch, capsys)


@contextmanager
def proving(database: Database, root: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that is in the middle of its proof."""
    with python(_MAKE, database.url, root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "restored\n"
        try:
            yield process
        finally:
            if process.poll() is None:
                kill(process.pid)
            process.communicate()


def states(root: Path) -> list[ProofState]:
    return [backup.proof for backup in backups(root, "staging", check=True)]


def test_it_is_told_apart_and_goes_when_it_is_dead(
    migrated: Database, root: Path, types: Types
) -> None:
    with proving(migrated, root) as process:
        (running,) = backups(root, "staging")
        assert running.proof is ProofState.RUNNING
        assert "proof running" in types("backup", "list", "staging")[1]
        assert "nothing is older" in types("backup", "prune", "staging", "--yes")[1]
        assert running.path.is_dir()
        observer = Silent()
        beside = make_backup(migrated.url, "staging", root, verify=False, observer=observer)
        assert beside.unproven == ()
        assert [n for n in observer.notes if running.name in n] == [
            f"another command is proving {running.name} now"
        ]
        kill(process.pid)
        process.communicate()

    wait_until(lambda: being_proven(running.path) is False)
    assert states(root) == [ProofState.NONE, ProofState.INTERRUPTED]
    assert "proof interrupted" in types("backup", "list", "staging")[1]
    assert newest_verified(root, "staging") is None
    code, out, err = types("backup", "staging", "--no-verify", "--json")
    assert (code, json.loads(out)["interrupted_proofs"]) == (0, [running.name])
    assert f"{running.name} was never proven, its proof was interrupted" in err
    assert "meterledger backup prune staging" in err

    planned = types("backup", "prune", "staging", "--dry-run")[1]
    assert planned == f"would be removed: {running.name} (proof interrupted)\n"
    assert running.path.is_dir()
    assert types("backup", "prune", "staging", "--yes")[0] == 0
    assert states(root) == [ProofState.NONE, ProofState.NONE]
    assert not running.path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_its_proof_it_is_not_taken_for_a_good_one(
    number: signal.Signals, migrated: Database, root: Path
) -> None:
    with proving(migrated, root) as process:
        process.send_signal(number)
        process.communicate(timeout=60)

    assert states(root) == [ProofState.INTERRUPTED]


def test_what_the_manifest_says_goes_before_the_lock(
    migrated: Database, root: Path, types: Types
) -> None:
    """Killed between the proof's result and the lock's end, it is as good as its proof."""
    made = make_backup(migrated.url, "staging", root, observer=Silent())
    assert read_manifest(made.path).verified
    (made.path / OWNER_FILE).touch()

    assert states(root) == [ProofState.PROVEN]
    assert "nothing is older" in types("backup", "prune", "staging", "--yes")[1]


def test_two_who_ask_at_once_do_not_take_each_other_for_the_maker(
    migrated: Database, root: Path
) -> None:
    with proving(migrated, root) as process:
        kill(process.pid)
        process.communicate()
    (path,) = (backup.path for backup in backups(root, "staging"))
    code = (
        "import fcntl, os, sys; d = os.open(sys.argv[1], os.O_RDWR);"
        "fcntl.flock(d, fcntl.LOCK_SH); print('asks', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        ["python3", "-c", code, str(path / OWNER_FILE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "asks\n"
        assert being_proven(path) is False
        other.communicate()
