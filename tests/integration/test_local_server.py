"""The life of a local server, and what it survives."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.support.processes import alive, kill, python, wait_until
from tests.support.servers import binaries_of
from toolkit.connection import connect
from toolkit.errors import OperationalError
from toolkit.local.account import Account
from toolkit.local.cluster import THROW_AWAY_SETTINGS
from toolkit.local.server import Server

START = """
import sys
from pathlib import Path
from toolkit.local.cluster import THROW_AWAY_SETTINGS
from toolkit.local.server import Server
started = Server(Path(sys.argv[1]), settings=THROW_AWAY_SETTINGS).start()
print(started.already_running, started.port)
"""


@pytest.fixture
def local(home: Path) -> Server:
    return Server(home, settings=THROW_AWAY_SETTINGS)


def pid_of(server: Server) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def keep_a_row(server: Server) -> None:
    with connect(server.url()) as connection:
        connection.execute("create table public.kept as select 42 as answer")


def kept_row(server: Server) -> object:
    with connect(server.url()) as connection:
        return connection.execute("select answer from public.kept").fetchone()


def test_it_starts_stops_and_keeps_its_data(local: Server) -> None:
    assert not local.running()
    first = local.start()
    assert not first.already_running
    keep_a_row(local)

    assert local.stop()
    assert not local.running()
    second = local.start()

    assert not second.already_running
    assert second.port == first.port
    assert kept_row(local) == (42,)


def test_a_second_start_is_a_no_op_that_says_so(local: Server) -> None:
    first = local.start()
    pid = pid_of(local)

    again = local.start()

    assert again.already_running
    assert again.port == first.port
    assert pid_of(local) == pid


def test_a_second_stop_is_a_no_op_that_says_so(local: Server) -> None:
    local.start()

    assert local.stop()
    assert not local.stop()


def test_it_stops_under_open_connections(local: Server) -> None:
    local.start()
    with connect(local.url()) as connection:
        assert local.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        connection.close()


def test_it_runs_the_version_that_was_asked_for(home: Path, major: int) -> None:
    local = Server(home, binaries=binaries_of(major), settings=THROW_AWAY_SETTINGS)
    local.start()

    assert local.status().major == major
    with connect(local.url()) as connection:
        assert connection.info.server_version // 10000 == major


def test_it_is_durable_unless_it_is_thrown_away(home: Path) -> None:
    local = Server(home)
    local.start()

    with connect(local.url()) as connection:
        settings = connection.execute(
            "select current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('full_page_writes'), current_setting('max_connections')"
        ).fetchone()
    assert settings == ("on", "on", "on", "100")


def test_it_listens_on_the_loopback_only_and_makes_no_socket(local: Server) -> None:
    local.start()

    with connect(local.admin_url()) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("show unix_socket_directories").fetchone() == ("",)


def test_nobody_gets_in_without_the_password(local: Server) -> None:
    local.start()

    for user in ("postgres", "supabase_admin", "authenticator"):
        bare = local.url(user=user).replace(password_of(local, user), "guess")
        with pytest.raises(OperationalError, match="password") as refused:
            connect(bare)
        assert "guess" not in refused.value.message


def password_of(server: Server, user: str) -> str:
    return server.url(user=user).split(":")[2].split("@")[0]


def test_passwords_stay_in_one_private_file(local: Server) -> None:
    local.start()
    secrets = {password_of(local, user) for user in ("postgres", "supabase_admin")}
    assert len(secrets) == 2

    file = local.home / "state.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for secret in secrets:
        holding = [
            path
            for path in local.home.rglob("*")
            if path.is_file() and secret.encode() in path.read_bytes()
        ]
        assert holding == [file]
        assert secret not in processes_of_everybody()


def processes_of_everybody() -> str:
    return subprocess.run(
        ["ps", "-ewwo", "args"], capture_output=True, text=True, check=True
    ).stdout


def test_a_killed_server_starts_again_with_its_data(home: Path) -> None:
    local = Server(home)  # a durable one
    local.start()
    keep_a_row(local)
    pid = kill_server(local)

    assert (home / "data" / "postmaster.pid").exists()
    assert not local.running()
    assert not local.start().already_running
    assert kept_row(local) == (42,)
    assert pid_of(local) != pid


def kill_server(server: Server) -> int:
    """Kill a server under an open connection; its number."""
    pid = pid_of(server)
    with connect(server.url()) as connection:
        kill(pid)
        wait_until(lambda: not alive(pid))
        connection.close()
    return pid


def test_a_killed_throw_away_server_keeps_at_least_its_shape(local: Server) -> None:
    local.start()
    kill_server(local)
    local.start()

    with connect(local.url()) as connection:
        assert connection.execute("select auth.uid()").fetchone() == (None,)


def test_a_killed_server_with_a_busy_child_starts_again(local: Server) -> None:
    local.start()
    pid = pid_of(local)
    with connect(local.admin_url(), autocommit=True) as connection:
        child = connection.info.backend_pid
        # A stopped process cannot notice that its parent died, until it is told to go on.
        os.kill(child, signal.SIGSTOP)
        kill(pid)
        wait_until(lambda: not alive(pid))
        starting = python(START, local.home)
        wait_until(lambda: "pre-existing shared memory" in log_of(local))
        kill(child)
        out, err = starting.communicate(timeout=60)
        connection.close()

    assert out.split()[0] == "False", err
    assert local.running()


def log_of(server: Server) -> str:
    return (server.home / "server.log").read_text("utf-8", "replace")


def test_a_number_given_to_another_program_does_not_stop_it(local: Server) -> None:
    local.start()
    local.stop()
    other = subprocess.Popen(["sleep", "600"], user=Account.current().uid)
    try:
        file = local.home / "data" / "postmaster.pid"
        file.write_text(f"{other.pid}\n{local.home / 'data'}\n0\n5432\n\n127.0.0.1\n0 0\nready\n")
        assert not local.running()

        assert not local.start().already_running
        assert alive(other.pid)
    finally:
        other.kill()
        other.wait()


def test_a_command_killed_during_initdb_leaves_nothing_that_matters(local: Server) -> None:
    starting = python(START, local.home)
    wait_until(lambda: any(local.home.glob("init.*/PG_VERSION")))
    starting.kill()
    starting.communicate()
    assert not (local.home / "data").exists()

    local.start()

    assert not any(local.home.glob("init.*"))
    assert not any(local.home.glob("pwfile.*"))
    with connect(local.url()) as connection:
        assert connection.execute("select auth.uid()").fetchone() == (None,)


def test_a_command_killed_while_the_server_starts_is_finished_by_the_next(local: Server) -> None:
    starting = python(START, local.home)
    wait_until((local.home / "data" / "postmaster.pid").exists)
    starting.kill()
    starting.communicate()

    local.start()

    with connect(local.url()) as connection:
        assert connection.execute("select auth.uid()").fetchone() == (None,)
    assert json.loads((local.home / "state.json").read_text())["ready"] is True


def test_a_bootstrap_that_was_cut_short_is_done_again(local: Server) -> None:
    local.start()
    file = local.home / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "ready": False}))
    with connect(local.admin_url()) as connection:
        connection.execute("drop schema auth cascade")

    assert local.start().already_running

    with connect(local.url()) as connection:
        assert connection.execute("select auth.uid()").fetchone() == (None,)


def test_ctrl_c_during_the_first_start_leaves_nothing_half_made(local: Server) -> None:
    starting = python(START, local.home)
    wait_until(lambda: any(local.home.glob("init.*")))
    starting.send_signal(signal.SIGINT)
    starting.communicate(timeout=60)

    assert not local.running()
    assert not any(local.home.glob("init.*"))
    assert not local.start().already_running


def test_parallel_starts_make_one_server(local: Server) -> None:
    starting = [python(START, local.home) for _ in range(4)]
    answers = [process.communicate(timeout=120) for process in starting]

    said = sorted(out.split() for out, _ in answers)
    assert [word for word, _ in said] == ["False", "True", "True", "True"], answers
    assert len({port for _, port in said}) == 1


def test_it_can_be_moved_with_its_folder(local: Server, home: Path) -> None:
    local.start()
    keep_a_row(local)
    local.stop()
    home.rename(home.with_name("moved"))
    moved = Server(home.with_name("moved"), settings=THROW_AWAY_SETTINGS)
    try:
        moved.start()
        assert kept_row(moved) == (42,)
    finally:
        moved.destroy()


def test_it_can_live_under_a_name_that_a_shell_would_trip_over(home: Path) -> None:
    local = Server(home / 'it\'s a $(touch x) `folder` "%s" ', settings=THROW_AWAY_SETTINGS)
    try:
        local.start()
        assert local.running()
    finally:
        local.destroy()
    assert not local.home.exists()


def test_destroying_leaves_nothing_and_may_be_repeated(local: Server) -> None:
    local.start()
    pid = pid_of(local)

    local.destroy()
    local.destroy()

    assert not alive(pid)
    assert not local.home.exists()


def test_destroying_spares_files_that_are_not_its_own(local: Server) -> None:
    local.start()
    (local.home / "notes.txt").write_text("mine")

    local.destroy()

    assert [path.name for path in local.home.iterdir()] == ["notes.txt"]
