"""Servers that are thrown away, also when their owner is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import alive, python, wait_until
from toolkit.connection import connect
from toolkit.local.temporary import sweep, temporary_server

OWNER = """
import sys
from pathlib import Path
from toolkit.local.temporary import temporary_server
with temporary_server(base=Path(sys.argv[1])) as server:
    print(server.status().pid, flush=True)
    sys.stdin = open(0)
    import signal; signal.pause()
"""


@pytest.fixture
def base(home: Path) -> Path:
    home.mkdir()
    return home


def test_it_is_there_for_a_block_and_gone_after_it(base: Path) -> None:
    with temporary_server(base=base) as server:
        pid = server.status().pid
        assert pid is not None
        with connect(server.url()) as connection:
            assert connection.execute("show fsync").fetchone() == ("off",)

    assert not alive(pid)
    assert list(base.iterdir()) == []


def test_it_is_gone_after_an_error_too(base: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), temporary_server(base=base):
        raise RuntimeError("mine")

    assert list(base.iterdir()) == []


def test_what_a_killed_owner_left_is_swept_up_and_the_living_are_spared(base: Path) -> None:
    with temporary_server(base=base) as spared:
        owner = python(OWNER, base)
        assert owner.stdout is not None
        orphan = int(owner.stdout.readline())
        owner.kill()
        owner.communicate()
        assert alive(orphan)

        assert sweep(base) == 1

        wait_until(lambda: not alive(orphan))
        assert spared.running()
        assert len(list(base.iterdir())) == 1


def test_databases_have_supabases_shape_and_belong_to_the_migrating_role(base: Path) -> None:
    with temporary_server(base=base) as server:
        server.create_database('odd "name"/%')

        with connect(server.url('odd "name"/%')) as connection:
            assert connection.execute("select auth.uid()").fetchone() == (None,)
            connection.execute("create schema mine")
