"""The users that the app's tables point at: ids and e-mail addresses, nothing that signs in."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import OperationalError
from toolkit.operations.backup.dump import HashingFile
from toolkit.operations.backup.manifest import StoredFile

_BATCH = 5000
_INSERT = """
insert into auth.users (id, email)
select u.id, u.email
from unnest(%s::uuid[], %s::text[]) as u (id, email)
on conflict do nothing
"""


def write_users(connection: psycopg.Connection[TupleRow], path: Path) -> StoredFile:
    """Write auth.users, one JSON array a line, from the caller's transaction.

    Raises:
        psycopg.Error: the server refused.
        OSError: the disk did.
    """
    file = HashingFile(path)
    try:
        with connection.cursor(name="users_of_the_backup") as cursor:
            cursor.itersize = _BATCH
            cursor.execute("select u.id::text, u.email from auth.users as u order by u.id")
            for id_, email in cursor:
                file.write(json.dumps([id_, email]).encode("ascii") + b"\n")
        return file.finish()
    finally:
        file.close()


def read_users(connection: psycopg.Connection[TupleRow], path: Path) -> int:
    """Insert the users that are missing; how many were.

    Raises:
        psycopg.Error: the server refused.
        OperationalError: the file is damaged.
    """
    added = 0
    try:
        with path.open(encoding="ascii") as file:
            while lines := list(islice(file, _BATCH)):
                ids, emails = zip(*(json.loads(line) for line in lines), strict=True)
                cursor = connection.execute(_INSERT, (list(ids), list(emails)))
                added += max(cursor.rowcount, 0)
    except (ValueError, OSError) as error:
        raise OperationalError(
            f"{path.name} of the backup cannot be read",
            next_step="use another backup (meterledger backup list --check)",
        ) from error
    return added
