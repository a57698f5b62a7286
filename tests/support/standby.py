"""A hot standby that streams: a copy of a data folder, made as a base backup is made."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.database import Database
from tests.support.processes import wait_until
from toolkit.connection import connect, parse
from toolkit.local.account import Account, remove_tree
from toolkit.local.cluster import THROW_AWAY_SETTINGS
from toolkit.local.server import Server
from toolkit.local.state import STATE_FILE

# What a primary must have been started with.
PRIMARY_SETTINGS = {"wal_level": "replica", "max_wal_senders": "4"}
_NOT_COPIED = ("postmaster.pid", "postmaster.opts", "pg_replslot")
# What is inserted, and not what is written: commits of a throw-away server are not waited for.
_CAUGHT_UP = (
    "select state = 'streaming' and replay_lsn >= pg_current_wal_insert_lsn()"
    " from pg_stat_replication"
)


@contextmanager
def streaming_standby(primary: Server) -> Iterator[Server]:
    """A standby of a running server, which follows it, for the time of a with block."""
    home = Path(tempfile.mkdtemp(prefix="meterledger-standby-"))
    home.chmod(0o711)
    parts = parse(primary.admin_url())
    names = ("host", "port", "user", "password", "sslmode")
    standby = Server(
        home,
        binaries=primary.binaries,
        settings={
            **THROW_AWAY_SETTINGS,
            **PRIMARY_SETTINGS,
            "primary_conninfo": " ".join(f"{name}={parts[name]}" for name in names),
        },
    )
    try:
        data = home / primary.status().data.name
        _copy(primary, data)
        shutil.copy(primary.home / STATE_FILE, home)  # the same roles and passwords
        standby.start()
        yield standby
    finally:
        standby.destroy()
        remove_tree(home)


def on(standby: Server, original: Database) -> Database:
    """The same database as the standby has it."""
    return Database(
        name=original.name,
        url=standby.url(original.name),
        admin_url=standby.admin_url(original.name),
        authenticator_url=standby.url(original.name, "authenticator"),
        major=original.major,
    )


def catch_up(primary: Server) -> None:
    """Return when the standby has replayed all that the primary has written."""
    with connect(primary.admin_url(), autocommit=True) as connection:
        wait_until(lambda: connection.execute(_CAUGHT_UP).fetchone() == (True,))


def _copy(primary: Server, target: Path) -> None:
    source = primary.status().data
    with connect(primary.admin_url(), autocommit=True) as connection:
        connection.execute("select pg_backup_start('a standby', fast => true)")
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        row = connection.execute("select labelfile from pg_backup_stop(false)").fetchone()
    assert row is not None
    (target / "backup_label").write_text(str(row[0]))
    (target / "standby.signal").touch()
    (target / "pg_replslot").mkdir()
    target.chmod(0o700)
    account = Account.current()
    for path in (target, *target.rglob("*")):
        if account.uid is not None:
            os.chown(path, account.uid, account.uid, follow_symlinks=False)
