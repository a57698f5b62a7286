"""What can be wrong with a local server's surroundings: one clear error with the next step."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import binaries_of
from toolkit.errors import OperationalError, UsageError
from toolkit.local.cluster import THROW_AWAY_SETTINGS
from toolkit.local.server import Server


@pytest.fixture
def local(home: Path) -> Server:
    return Server(home, settings=THROW_AWAY_SETTINGS)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def refusal(server: Server, port: int | None = None) -> OperationalError:
    with pytest.raises(OperationalError) as refused:
        server.start(port)
    assert refused.value.next_step
    assert not server.running()
    return refused.value


def test_a_taken_port_that_was_asked_for_is_refused(local: Server, taken: int) -> None:
    error = refusal(local, taken)

    assert f"port {taken}" in error.message
    assert "--port" in error.next_step
    assert not local.start().already_running


def test_a_taken_port_of_last_time_is_replaced_with_a_word(local: Server) -> None:
    port = local.start().port
    local.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()

        started = local.start()

        assert started.port != port
        assert any(str(port) in note for note in started.notes)


def test_a_port_that_is_asked_for_is_had(local: Server, taken: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])

    assert local.start(port).port == port


def test_another_port_than_the_running_one_is_refused(local: Server, taken: int) -> None:
    local.start()

    with pytest.raises(UsageError, match="already runs"):
        local.start(taken)
    assert local.running()


def test_a_data_folder_of_another_major_version_is_refused_untouched(local: Server) -> None:
    local.start()
    local.stop()
    version = local.home / "data" / "PG_VERSION"
    version.write_text("14\n")

    error = refusal(local)

    assert "PostgreSQL 14" in error.message
    assert "METERLEDGER_PG_BINDIR" in error.next_step
    assert version.read_text() == "14\n"
    version.write_text("17\n")
    local.start()


def test_the_programs_of_the_data_folders_version_are_taken_when_named(home: Path) -> None:
    Server(home, binaries=binaries_of(15), settings=THROW_AWAY_SETTINGS).start()
    Server(home).stop()

    error = refusal(Server(home, binaries=binaries_of(17)))

    assert "PostgreSQL 15" in error.message
    Server(home, binaries=binaries_of(15), settings=THROW_AWAY_SETTINGS).start()


def test_a_data_folder_that_is_none_is_refused(local: Server) -> None:
    (local.home / "data").mkdir(parents=True)
    (local.home / "data" / "holiday.jpg").write_text("mine")

    with pytest.raises(OperationalError, match="no data folder of PostgreSQL"):
        local.start()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"surprise": 1}'])
def test_a_damaged_state_is_refused_and_a_reset_repairs_it(local: Server, content: str) -> None:
    local.start()
    local.stop()
    (local.home / "state.json").write_text(content)

    error = refusal(local)

    assert "damaged" in error.message
    assert "reset" in error.next_step
    local.destroy(keep_folder=True)
    local.start()


def test_a_missing_state_is_refused_and_a_reset_repairs_it(local: Server) -> None:
    local.start()
    local.stop()
    (local.home / "state.json").unlink()

    assert "state.json is missing" in refusal(local).message
    local.destroy(keep_folder=True)
    local.start()


def test_a_setting_that_the_server_refuses_comes_with_its_words(home: Path) -> None:
    error = refusal(Server(home, settings={**THROW_AWAY_SETTINGS, "work_mem": "much"}))

    assert any("work_mem" in line for line in error.details)
    Server(home, settings=THROW_AWAY_SETTINGS).start()


def test_a_url_before_the_first_start_is_refused(local: Server) -> None:
    with pytest.raises(OperationalError, match="never started"):
        local.url()


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A disk on which initdb runs out of space."""
    folder = home.with_name("small")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_nothing_is_left(small_disk: Path) -> None:
    local = Server(small_disk / "home", settings=THROW_AWAY_SETTINGS)

    error = refusal(local)

    assert "disk is full" in error.message
    assert "METERLEDGER_HOME" in error.next_step
    assert sorted(path.name for path in local.home.iterdir()) == ["lock", "state.json"]


def test_a_folder_that_cannot_be_made_is_one_clear_error(home: Path) -> None:
    home.mkdir()
    (home / "file").write_text("")

    with pytest.raises(OperationalError, match="cannot be made") as refused:
        Server(home / "file" / "server").start()
    assert refused.value.next_step
