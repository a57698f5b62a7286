"""PostgreSQL refuses to run as root; root's server runs as another account, wherever it lies."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import CHECKOUT, alive, python
from tests.support.servers import binaries_of
from toolkit.connection import connect
from toolkit.errors import OperationalError
from toolkit.local.account import UNPRIVILEGED_ID, Account, remove_tree
from toolkit.local.binaries import find_binaries
from toolkit.local.cluster import THROW_AWAY_SETTINGS
from toolkit.local.location import POINTER_FILE, existing_folders
from toolkit.local.publish import reachable
from toolkit.local.server import Server
from toolkit.local.temporary import temporary_server

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root's server runs as another account"
)

START_AS_MYSELF = """
import os, sys
from pathlib import Path
from toolkit.local.cluster import THROW_AWAY_SETTINGS
from toolkit.local.server import Server
server = Server(Path(sys.argv[1]), settings=THROW_AWAY_SETTINGS)
server.start()
print(os.geteuid(), os.stat(server.status().data).st_uid, oct(os.stat(sys.argv[1]).st_mode))
server.destroy()
"""


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A folder that only root may enter."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def local(private: Path) -> Iterator[Server]:
    server = Server(private / "home", settings=THROW_AWAY_SETTINGS)
    yield server
    server.destroy()


def owner_of(path: Path) -> int:
    return path.stat().st_uid


def test_the_server_and_its_data_belong_to_the_other_account(home: Path) -> None:
    local = Server(home, settings=THROW_AWAY_SETTINGS)
    local.start()
    status = local.status()

    assert status.data == home / "data"
    assert owner_of(status.data) == UNPRIVILEGED_ID
    assert owner_of(Path(f"/proc/{status.pid}")) == UNPRIVILEGED_ID
    assert owner_of(home) == owner_of(home / "state.json") == 0
    assert os.getgrouplist("nobody", UNPRIVILEGED_ID)
    groups = Path(f"/proc/{status.pid}/status").read_text().split("Groups:")[1].splitlines()[0]
    assert groups.strip() == ""


def test_under_a_private_folder_the_data_lies_outside_with_a_pointer(
    local: Server, private: Path
) -> None:
    local.start()
    data = local.status().data

    assert private not in data.parents
    assert owner_of(data.parent) == 0
    assert owner_of(data) == UNPRIVILEGED_ID
    assert str(data.parent) in (local.home / POINTER_FILE).read_text()
    assert not (local.home / "data").exists()


def test_a_server_outside_is_found_again(local: Server) -> None:
    local.start()
    with connect(local.url()) as connection:
        connection.execute("create table public.kept (id integer)")
    again = Server(local.home)

    assert again.running()
    assert again.stop()
    assert not again.running()
    again.start()
    with connect(again.url()) as connection:
        assert connection.execute("select * from public.kept").fetchall() == []


def test_destroying_a_server_outside_leaves_nothing_anywhere(local: Server) -> None:
    local.start()
    outside = local.status().data.parent

    local.destroy()

    assert not outside.exists()
    assert not local.home.exists()


def test_data_outside_of_a_deleted_project_does_not_stand_in_the_way(local: Server) -> None:
    local.start()
    pid = local.status().pid
    assert pid is not None
    remove_tree(local.home)

    assert not local.start().already_running

    assert not alive(pid)
    with connect(local.url()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_look_at_a_server_that_is_not_there_makes_nothing(local: Server) -> None:
    assert not local.running()
    assert not local.stop()
    local.destroy()

    assert not local.home.exists()
    local.home.mkdir()
    assert existing_folders(local.home, Account.current()) == []


def test_a_folder_that_somebody_else_made_under_its_name_is_not_trusted(local: Server) -> None:
    local.start()
    outside = local.status().data.parent
    local.destroy()
    outside.mkdir()
    os.chown(outside, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    try:
        with pytest.raises(OperationalError, match="somebody else"):
            local.start()
    finally:
        outside.rmdir()


def test_a_link_under_its_name_is_not_followed(local: Server, private: Path) -> None:
    local.start()
    outside = local.status().data.parent
    local.destroy()
    outside.symlink_to(private)
    try:
        with pytest.raises(OperationalError, match="somebody else"):
            local.start()
    finally:
        outside.unlink()


def test_data_that_became_unreachable_is_not_silently_replaced(home: Path) -> None:
    local = Server(home, settings=THROW_AWAY_SETTINGS)
    local.start()
    local.stop()
    home.parent.chmod(0o700)

    with pytest.raises(OperationalError, match="cannot be reached") as refused:
        local.start()
    assert "chmod" in refused.value.next_step

    home.parent.chmod(0o711)
    local.start()


def test_programs_in_a_private_folder_are_copied_to_where_they_can_be_run(
    private: Path, home: Path
) -> None:
    source = binaries_of(17)
    shutil.copytree(source.bindir.parent, private / "pg", symlinks=True)
    forced = find_binaries(private / "pg" / "bin")
    copy = reachable(forced.bindir, Account.current())
    try:
        assert private not in copy.parents
        assert owner_of(copy) == 0
        local = Server(home, binaries=forced, settings=THROW_AWAY_SETTINGS)
        local.start()
        assert local.running()
        # Made once.
        assert reachable(forced.bindir, Account.current()) == copy
        local.destroy()
    finally:
        remove_tree(copy.parent)


def test_programs_that_can_be_run_are_left_where_they_are(home: Path) -> None:
    home.mkdir()
    home.chmod(0o755)
    (home / "initdb").write_text("#!/bin/sh\n")
    (home / "initdb").chmod(0o755)

    assert reachable(home, Account.current()) == home


def test_a_temporary_server_under_a_private_folder_leaves_nothing(private: Path) -> None:
    with temporary_server(base=private) as server:
        outside = server.status().data.parent
        assert private not in outside.parents

    assert not outside.exists()
    assert list(private.iterdir()) == []


def open_interpreter() -> str:
    """A Python of this version, and a checkout, that every account may use."""
    account = Account.current()
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (Path(sys.executable).resolve(), Path("/usr/bin") / name):
        folders = (found.parent, CHECKOUT, Path(sysconfig.get_path("purelib")))
        if found.is_file() and all(account.can_enter(folder) for folder in folders):
            return str(found)
    pytest.skip("this Python or this checkout lies where only root may go")


def test_an_ordinary_user_needs_no_other_account(home: Path) -> None:
    interpreter = open_interpreter()
    home.mkdir()
    os.chown(home, UNPRIVILEGED_ID, UNPRIVILEGED_ID)

    started = python(
        START_AS_MYSELF, home / "mine", uid=UNPRIVILEGED_ID, interpreter=interpreter, cwd=home
    )
    out, err = started.communicate(timeout=120)

    assert out.split() == [str(UNPRIVILEGED_ID), str(UNPRIVILEGED_ID), "0o40700"], err
