"""A real pgbouncer in transaction mode in front of a test database, where one is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.database import Database
from toolkit.connection import connect, parse
from toolkit.errors import OperationalError

_PATIENCE_SECONDS = 15.0


@contextmanager
def transaction_pooler(database: Database) -> Iterator[str]:
    """The URL of a pooler that hands each transaction whatever session is free."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("no pgbouncer on this machine")
    parts = parse(database.url)
    port = _free_port()
    # Not pytest's own folder, into which only its user may look.
    folder = Path(tempfile.mkdtemp())
    users = folder / "users.txt"
    users.write_text(f'"{parts["user"]}" "{parts["password"]}"\n')
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{database.name} = host=127.0.0.1 port={parts['port']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\n"
        "default_pool_size = 2\n"
    )
    # It refuses to run as root; whoever it runs as must be able to read these two.
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    for path in (folder, users, configuration):
        if account is not None:
            os.chown(path, account.pw_uid, account.pw_gid)
    process = subprocess.Popen(
        [program, str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        cwd="/",
    )
    url = database.url.replace(f":{parts['port']}/", f":{port}/")
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            connect(url, prepare=False).close()
        except OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
