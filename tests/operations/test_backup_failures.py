"""What can go wrong while a backup is made: one error, the right code, nothing half-left."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.backups import Silent, pg_dump_must_wait, waits_as_pg_dump
from tests.support.database import Database
from tests.support.processes import alive, kill, python, wait_until
from tests.support.proven import proven, proven_copy
from tests.support.servers import Databases, default_major
from toolkit.connection import connect
from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.operations.backup import dump, failures, make, tools, verify
from toolkit.operations.backup.facts import read_facts
from toolkit.operations.backup.folder import leftovers, unfinished
from toolkit.operations.backup.listing import ProofState, backups
from toolkit.operations.backup.make import make_backup
from toolkit.operations.backup.prove import Proof

_MAKE = """
import sys
from pathlib import Path
from tests.support.backups import Silent, pg_dump_must_wait
from toolkit.operations.backup.make import make_backup
pg_dump_must_wait(sys.argv[1])
make_backup(sys.argv[1], "local", Path(sys.argv[2]), verify=False, observer=Silent())
"""


@pytest.fixture(scope="module")
def migrated(databases: Callable[[int], Databases]) -> Database:
    """Nobody changes it."""
    return proven(databases(default_major()))


def left_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name != ".lock")


def refused(url: str, root: Path) -> MeterledgerError:
    with pytest.raises(MeterledgerError) as error:
        make_backup(url, "local", root, verify=False, observer=Silent())
    assert error.value.next_step
    assert not root.exists() or left_in(root) == []
    return error.value


def test_a_wrong_password(migrated: Database, tmp_path: Path) -> None:
    url = re.sub(r":[0-9a-f]{32}@", ":wrong-secret@", migrated.url)
    error = refused(url, tmp_path)

    assert error.exit_code == 3
    assert "password" in error.message
    assert "wrong-secret" not in f"{error.message} {error.details} {error.next_step}"


def test_a_transaction_pooler(tmp_path: Path) -> None:
    error = refused("postgresql://postgres@127.0.0.1:6543/postgres", tmp_path)

    assert isinstance(error, UsageError)
    assert "session" in error.next_step


def test_no_pg_dump_or_an_old_one(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "_candidates", lambda: iter(()))
    error = refused(migrated.url, tmp_path)
    assert error.exit_code == 3
    assert error.message.startswith("pg_dump is missing")

    program = tmp_path / "bin" / "pg_dump"
    program.parent.mkdir()
    for path in (program, program.with_name("pg_restore")):
        path.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 13.2'\n")
        path.chmod(0o755)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    found = tools.find_tools(default_major())
    assert found.major >= default_major()
    with pytest.raises(OperationalError, match="pg_dump is too old") as old:
        tools.find_tools(99)
    assert any("13.2" in line for line in old.value.details)


def test_a_locked_table_is_not_queued_for(
    databases: Callable[[int], Databases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "LOCK_WAIT_MS", 50)
    with proven_copy(databases(default_major())) as database, database.connect() as holder:
        holder.execute("lock table public.token_events in access exclusive mode")
        error = refused(database.url, tmp_path)

    assert error.exit_code == 3
    assert "locked" in error.message


def test_a_lost_connection(
    databases: Callable[[int], Databases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proven_copy(databases(default_major())) as database:
        original = read_facts

        def losing(*arguments: object) -> object:
            with database.admin(autocommit=True) as admin:
                admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and application_name = %s",
                    (failures.APPLICATION_NAME,),
                )
            return original(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(make, "read_facts", losing)
        error = refused(database.url, tmp_path)

    assert error.exit_code == 3
    assert "connection to the database was lost" in error.message


def test_a_pg_dump_that_loses_its_connection(
    databases: Callable[[int], Databases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proven_copy(databases(default_major())) as database:
        pg_dump_must_wait(database.url, monkeypatch.setattr)
        original = read_facts

        def losing(*arguments: object) -> object:
            with database.admin(autocommit=True) as admin:
                wait_until(lambda: bool(waits_as_pg_dump(admin)))
                for pid in waits_as_pg_dump(admin):
                    admin.execute("select pg_terminate_backend(%s)", (pid,))
            return original(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(make, "read_facts", losing)
        error = refused(database.url, tmp_path)

    assert error.exit_code == 3
    assert error.message == "pg_dump: the connection to the database was lost"
    assert error.details


def test_a_pg_dump_that_would_queue_behind_a_change_of_shape_gives_up(
    databases: Callable[[int], Databases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proven_copy(databases(default_major())) as database:
        pg_dump_must_wait(database.url, monkeypatch.setattr)
        soon = tuple(
            "--lock-wait-timeout=50" if option.startswith("--lock-wait") else option
            for option in dump._OPTIONS
        )
        monkeypatch.setattr(dump, "_OPTIONS", soon)
        error = refused(database.url, tmp_path)

    assert error.exit_code == 3
    assert "locked" in error.message


def test_a_folder_that_cannot_be_made(migrated: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperationalError, match="cannot be written"):
        make_backup(migrated.url, "local", tmp_path / "file" / "x", verify=False, observer=Silent())


def test_a_proof_that_cannot_be_had_leaves_the_backup_unverified(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impossible(*arguments: object) -> Proof:
        raise OperationalError("no server", next_step="install one")

    monkeypatch.setattr(verify, "prove", impossible)
    with pytest.raises(OperationalError, match="no server"):
        make_backup(migrated.url, "local", tmp_path, observer=Silent())

    (one,) = backups(tmp_path, "local", check=True)
    assert (one.verified, one.proof, one.problem) == (False, ProofState.INTERRUPTED, None)


def test_killed_in_the_middle_it_is_recognised_and_removed(
    databases: Callable[[int], Databases], tmp_path: Path
) -> None:
    """Its pg_dump ends with it, and the next run takes away what it had written."""
    with proven_copy(databases(default_major())) as database:
        with (
            database.admin(autocommit=True) as admin,
            python(_MAKE, database.url, tmp_path) as process,
        ):
            wait_until(lambda: bool(waits_as_pg_dump(admin)))
            assert leftovers(tmp_path) == ()
            children = _children(process.pid)
            kill(process.pid)
            process.communicate()
        assert len(leftovers(tmp_path)) == 1
        assert backups(tmp_path, "local", check=True) == ()
        wait_until(lambda: not any(alive(pid) for pid in children))

        observer = Silent()
        report = make_backup(database.url, "local", tmp_path, verify=False, observer=observer)

    assert len(children) == 1
    assert len(report.removed) == 1
    assert any(report.removed[0] in note for note in observer.notes)
    assert left_in(tmp_path) == [report.path.name]


def test_a_backup_that_is_being_made_is_not_taken_for_a_leftover(
    migrated: Database, tmp_path: Path
) -> None:
    with unfinished(tmp_path) as other:
        report = make_backup(migrated.url, "local", tmp_path, verify=False, observer=Silent())
        assert report.removed == ()
        assert other.path.is_dir()
    assert left_in(tmp_path) == [report.path.name]


def test_two_in_one_second_have_names_of_their_own(migrated: Database, tmp_path: Path) -> None:
    made: list[str] = []

    def one() -> None:
        report = make_backup(migrated.url, "local", tmp_path, verify=False, observer=Silent())
        made.append(report.path.name)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 3
    assert left_in(tmp_path) == sorted(made)


def test_no_password_is_in_any_processs_arguments(
    databases: Callable[[int], Databases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = proven(databases(default_major()))
    password = re.search(r":([0-9a-f]{32})@", database.url)
    assert password is not None
    seen: list[str] = []
    original = read_facts

    def looking(*arguments: object) -> object:
        for pid in _children(os.getpid()):
            seen.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
        with connect(database.url) as connection:
            seen.extend(
                str(row)
                for row in connection.execute("select application_name from pg_stat_activity")
            )
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(make, "read_facts", looking)
    make_backup(database.url, "local", tmp_path, verify=False, observer=Silent())

    assert any("pg_dump" in line for line in seen)
    assert sum(failures.APPLICATION_NAME in line for line in seen) >= 1
    assert not any(password[1] in line for line in seen)


def test_interrupted_it_leaves_nothing(
    databases: Callable[[int], Databases], tmp_path: Path
) -> None:
    with proven_copy(databases(default_major())) as database:
        with (
            database.admin(autocommit=True) as admin,
            python(_MAKE, database.url, tmp_path) as process,
        ):
            wait_until(lambda: bool(waits_as_pg_dump(admin)))
            children = _children(process.pid)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        wait_until(lambda: not any(alive(pid) for pid in children))

    assert left_in(tmp_path) == []


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found
