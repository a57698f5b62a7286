"""Makes a data folder with initdb, and says what is wrong when PostgreSQL refuses."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.errors import OperationalError
from toolkit.local.account import Account, remove_tree
from toolkit.local.location import DATA

ADMIN_ROLE = "supabase_admin"
HOST = "127.0.0.1"
_BUILDING = "init."
_PWFILE = "pwfile."

# What a small machine wants for loading and rebuilding; durability stays PostgreSQL's own.
BASE_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}

# For servers that are thrown away: twice the speed, and nothing survives a power cut.
THROW_AWAY_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}

_EXPLANATIONS: tuple[tuple[str, str, str], ...] = (
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full",
        "free some space, or use a larger disk: METERLEDGER_HOME says where a kept server lives, "
        "TMPDIR where a temporary one does",
    ),
    (
        r"Address already in use|could not bind",
        "the port is taken",
        "name another with --port, or leave --port out to have a free one chosen",
    ),
    (
        r"could not resize shared memory|could not create shared memory|could not map anonymous",
        "the machine has too little shared memory",
        "close other programs; in a container, give it more with --shm-size",
    ),
    (
        r"error while loading shared libraries|Library not loaded",
        "PostgreSQL's programs miss a library of this system",
        "install the system's PostgreSQL and name its folder in METERLEDGER_PG_BINDIR",
    ),
    (
        r"(?i)invalid value for parameter \"(?:log_)?timezone\"|time zone .* not recognized",
        "this system has no time zone data",
        "install the system's package tzdata",
    ),
    (
        r"database files are incompatible with server",
        "the data folder is of another version or build of PostgreSQL",
        "use the same PostgreSQL as before, or run meterledger local reset (the data is lost)",
    ),
    (
        r"Permission denied|Operation not permitted",
        "the server may not read or write a file it needs",
        "check the owner of the data folder; run as the user who made it",
    ),
)


def create_cluster(
    work: Path, bindir: Path, major: int, account: Account, password: str, *, durable: bool
) -> None:
    """Run initdb under another name, and rename when it is whole.

    Args:
        work: the folder that will hold the data folder; the caller holds its lock.
        bindir: of the programs, where the account can run them.
        major: of the programs.
        account: who runs them and owns the data.
        password: of the superuser supabase_admin.
        durable: False skips waiting for the disk.

    Raises:
        OperationalError: initdb failed; nothing is left behind.
    """
    discard_unfinished(work)
    # Named before they are made, so that an interruption at any point cleans up after them.
    building = work / f"{_BUILDING}{secrets.token_hex(8)}"
    secret = work / f"{_PWFILE}{secrets.token_hex(8)}"
    try:
        _make_owned(building, secret, account, password)
        # The same text order on every machine, and lower() that knows more than ASCII
        # where the version can do that without the system's locales.
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
        options = [f"--pgdata={building}", f"--username={ADMIN_ROLE}", f"--pwfile={secret}"]
        options += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", *builtin]
        options += [] if durable else ["--no-sync"]
        answer = account.run(bindir / "initdb", *options, timeout=300)
        if answer.returncode != 0:
            raise explain("a data folder could not be made", answer.stdout)
        building.rename(work / DATA)
    finally:
        secret.unlink(missing_ok=True)
        remove_tree(building)


def set_password(connection: psycopg.Connection[TupleRow], role: str, password: str) -> None:
    """Give a role its password. Only its hash travels, so that no log of the server can hold it."""
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier))
    )


def discard_unfinished(work: Path) -> None:
    """Remove what a killed initdb left. Only the holder of the folder's lock may do this."""
    for path in [*work.glob(f"{_BUILDING}*"), *work.glob(f"{_PWFILE}*")]:
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def data_major(data: Path) -> int | None:
    """The major version of a data folder; None where there is no whole one.

    Raises:
        OperationalError: the folder is there and is none of PostgreSQL's.
    """
    if not data.exists():
        return None
    try:
        return int((data / "PG_VERSION").read_text("ascii").split(".")[0])
    except (OSError, ValueError) as error:
        raise OperationalError(
            f"{data} is no data folder of PostgreSQL",
            next_step="move it away if it is yours, or run meterledger local reset",
        ) from error


def write_configuration(file: Path, settings: Mapping[str, str], account: Account) -> None:
    """Write the server's configuration, beside the data folder and not in it.

    As root we never write inside a folder that the unprivileged account owns: a link
    planted there would lead us anywhere.
    """
    lines = [
        f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()
    ]
    try:
        file.unlink(missing_ok=True)
        file.write_text("\n".join(lines) + "\n", "utf-8")
        file.chmod(0o600)
        account.own(file)
    except OSError as error:
        raise OperationalError(
            f"{file} cannot be written: {error.strerror}",
            next_step="check the disk's free space and the folder's owner, then try again",
        ) from error


def explain(what: str, output: str) -> OperationalError:
    """The error for a refusal of initdb or the server, with the last lines of its words."""
    details = tuple(line for line in output.splitlines() if line.strip())[-8:]
    for pattern, reason, next_step in _EXPLANATIONS:
        if re.search(pattern, output):
            return OperationalError(f"{what}: {reason}", next_step=next_step, details=details)
    return OperationalError(
        f"{what}", next_step="read the lines above from PostgreSQL's log", details=details
    )


def _make_owned(building: Path, secret: Path, account: Account, password: str) -> None:
    """Make the folder for initdb and the file it reads the password from, both private."""
    try:
        building.mkdir(mode=0o700)
        account.own(building)
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(password + "\n")
        account.own(secret)
    except OSError as error:
        raise OperationalError(
            f"nothing can be written to {building.parent}: {error.strerror}",
            next_step="check the disk's free space and the folder's owner, then try again",
        ) from error
