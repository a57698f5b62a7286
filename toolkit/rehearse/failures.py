"""Turns what the scratch server says into one error with the next step, or a reason."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import psycopg

from toolkit.connection import redact
from toolkit.errors import OperationalError
from toolkit.rehearse.toc import Header

DISK_FULL = "53100"
LITTLE_SPACE_BYTES = 32 * 1024 * 1024  # two WAL segments: less, and the server stops itself
# The server is in trouble, whatever statement it was running.
_TROUBLE = ("08", "53", "57", "58", "F0", "XX")
_MISSING_LIBRARY = "58P01"
# A function, object, table, schema or column that is not there, or a library.
_MISSING = frozenset({"42883", "42704", "42P01", "3F000", "42703", _MISSING_LIBRARY})
# Functions that make a random uuid, of extensions that a dump of public alone lacks.
_UUID = re.compile(
    r"function (?P<schema>\w+)\.(?P<name>uuid_generate_v4|gen_random_uuid)\(\) does not exist"
)
# Types, operator classes and trigger functions of such extensions.
_EXTENSION_OF = {
    "citext": "citext",
    "gin_trgm_ops": "pg_trgm",
    "gist_trgm_ops": "pg_trgm",
    "hstore": "hstore",
    "ltree": "ltree",
    "moddatetime": "moddatetime",
}
_MEMBER = re.compile(
    rf"(?P<schema>\w+)\.(?P<name>{'|'.join(_EXTENSION_OF)})(?:\"|\(\)) does not exist"
)
_ROLE = re.compile(r'role "(?P<name>.+)" does not exist')


def is_trouble(error: psycopg.Error) -> bool:
    """True when going on makes no sense: a lost connection, a full disk, a dying server."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_TROUBLE) and error.sqlstate != _MISSING_LIBRARY


def is_missing(error: psycopg.Error) -> bool:
    """True when the statement names something that this database does not have."""
    return error.sqlstate in _MISSING


def missing_role(error: psycopg.Error) -> str | None:
    """The role whose absence made a statement fail."""
    found = _ROLE.search(reason(error))
    return found["name"] if found else None


def missing_uuid_function(error: psycopg.Error) -> tuple[str, str] | None:
    """Schema and name of a missing function that makes a random uuid."""
    found = _UUID.search(reason(error))
    return (found["schema"], found["name"]) if found else None


def missing_extension(error: psycopg.Error) -> tuple[str, str] | None:
    """Schema and name of an extension of which a statement missed a member."""
    found = _MEMBER.search(reason(error))
    return (found["schema"], _EXTENSION_OF[found["name"]]) if found else None


def reason(error: psycopg.Error) -> str:
    """The server's own words, one line, without secrets."""
    return redact(" ".join((error.diag.message_primary or str(error)).split()))


def trouble(error: psycopg.Error, data_directory: Path | None, doing: str) -> OperationalError:
    """The error for a server in trouble.

    Args:
        data_directory: the scratch server's, to see whether its disk is full: a server that
            cannot write its log dies without saying so.
        doing: what was being restored.
    """
    if error.sqlstate == DISK_FULL or "No space left" in str(error) or _is_full(data_directory):
        where = f" ({data_directory})" if data_directory else ""
        return OperationalError(
            f"the disk is full{where}: {doing} cannot be restored",
            next_step="free some space, or use a larger disk: METERLEDGER_HOME says where a kept "
            "server lives, TMPDIR where a temporary one does; a rehearsal needs about three "
            "times the size of the database",
        )
    return OperationalError(
        f"the scratch server stopped working while restoring {doing}: {reason(error)}",
        next_step="run the command again; if it happens again, look at the machine's memory and "
        "at the server's log",
    )


def unexpected(error: psycopg.Error, doing: str) -> OperationalError:
    """The error for a step of ours, not of the dump, that the server refused."""
    return OperationalError(
        f"the scratch database refused a step of the restore ({doing}): {reason(error)}",
        next_step="run the command again; if it fails the same way, report it with this message",
    )


def cannot_restore(error: psycopg.Error, header: Header) -> OperationalError:
    """The error for an entry that the rehearsal cannot do without."""
    details = tuple(
        redact(line) for line in (error.diag.message_detail, error.diag.context) if line is not None
    )
    return OperationalError(
        f"{header.type.lower()} {header.label} of the dump cannot be restored: {reason(error)}",
        next_step="make the dump again, whole: pg_dump --format=custom without --exclude and "
        "--table options; if it fails again, the table needs something that only Supabase has",
        details=details,
    )


def _is_full(folder: Path | None) -> bool:
    try:
        return folder is not None and shutil.disk_usage(folder).free < LITTLE_SPACE_BYTES
    except OSError:
        return False


def check_version(dumped_from: str | None, ours: int) -> None:
    """Hold the version of the dumped server against ours.

    Raises:
        OperationalError: it is newer.
    """
    found = re.match(r"\d+", dumped_from or "")
    if found is not None and int(found.group()) > ours:
        raise OperationalError(
            f"the dump is of a PostgreSQL {found.group()} database, and the scratch server is "
            f"PostgreSQL {ours}",
            next_step=f"name the folder of PostgreSQL {found.group()}'s programs in "
            "METERLEDGER_PG_BINDIR",
        )
