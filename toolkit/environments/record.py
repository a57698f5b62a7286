"""The name that a database itself holds: a command aimed at another environment stops."""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.errors import OperationalError, UsageError
from toolkit.settings import LOCAL

_HAS_RECORD = (
    "select true from pg_catalog.pg_attribute as a "
    "where a.attrelid = to_regclass('ledger.settings') and a.attname = 'environment' "
    "and not a.attisdropped"
)
# One statement, so that of two who record at once the second one sees what the first one wrote.
_RECORD = sql.SQL(
    "insert into ledger.settings as s (environment) values (%(name)s) "
    "on conflict (singleton) do update set environment = excluded.environment, changed_at = now() "
    "where s.environment is null or (%(force)s and s.environment <> excluded.environment)"
)


def recorded(connection: psycopg.Connection[TupleRow]) -> str | None:
    """The environment that the database says it is; None where nothing is recorded.

    Nothing is, before the phases have been applied.
    """
    if not _has_record(connection):
        return None
    row = connection.execute("select s.environment from ledger.settings as s").fetchone()
    return str(row[0]) if row is not None and row[0] is not None else None


def require(connection: psycopg.Connection[TupleRow], name: str) -> None:
    """Stop where the database says that it is another environment than the one named.

    A database that says nothing is let through, and so is every one called `local`: a copy
    of production, restored at home, still says that it is production.

    Raises:
        UsageError: it is another one.
    """
    if name == LOCAL:
        return
    found = recorded(connection)
    if found is not None and found != name:
        raise _another(found, name)


def record(connection: psycopg.Connection[TupleRow], name: str, *, force: bool = False) -> None:
    """Write down which environment the database is; nothing happens where it says so already.

    Args:
        connection: as the owner; the caller's transaction, if it has one.
        name: of the environment. For `local`, nothing is written.
        force: rename a database that says it is another one.

    Raises:
        UsageError: it says that it is another one, and force is not given.
        OperationalError: it has not had the phases, and has no place for the name.
    """
    if name == LOCAL:
        return
    if not _has_record(connection):
        raise OperationalError(
            "this database has no place yet to record which environment it is",
            next_step=f"roll out first: meterledger deploy {name}",
        )
    connection.execute(_RECORD, {"name": name, "force": force})
    found = recorded(connection)
    if found is not None and found != name:
        raise _another(found, name)


def _has_record(connection: psycopg.Connection[TupleRow]) -> bool:
    return connection.execute(_HAS_RECORD).fetchone() is not None


def _another(found: str, name: str) -> UsageError:
    return UsageError(
        f"this database says that it is {found!r}, not {name!r}",
        next_step=f"check DATABASE_URL of .env.{name}; only if this database is a copy that is to "
        f"be {name} from now on: meterledger env record {name} --replace {found}",
    )
