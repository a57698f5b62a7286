"""Restores a backup into an empty database, in one transaction that must give it all back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.connection import connect, describe
from toolkit.environments import record
from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.local.binaries import Binaries
from toolkit.operations.backup import failures
from toolkit.operations.backup.compare import Lost, compare
from toolkit.operations.backup.facts import plain_output, read_facts
from toolkit.operations.backup.listing import Backup
from toolkit.operations.backup.load import Failure, is_of_public_itself, load
from toolkit.operations.backup.manifest import DUMP_FILE, USERS_FILE, Manifest
from toolkit.operations.backup.prove import RELAXED
from toolkit.operations.backup.target import drop_default_grants, require_ready
from toolkit.operations.backup.tools import find_tools
from toolkit.operations.backup.users import read_users
from toolkit.rehearse.failures import missing_role, reason
from toolkit.rehearse.toc import Header
from toolkit.trial import Observer

Connection = psycopg.Connection[TupleRow]

_SHOWN = 20


@dataclass(frozen=True)
class RestoreReport:
    """What was restored.

    Attributes:
        backup: its folder's name.
        database: the target, without secrets.
        rows: of all tables.
        users_added: to auth.users; the others were there.
        notes: what of the target could not be made as it was in the original.
    """

    backup: str
    database: str
    rows: int
    users_added: int
    notes: tuple[str, ...]

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "backup": self.backup,
            "database": self.database,
            "rows": self.rows,
            "users_added": self.users_added,
            "notes": list(self.notes),
        }


def restore_backup(
    url: str, backup: Backup, *, environment: str | None = None, observer: Observer
) -> RestoreReport:
    """Restore a backup into an empty database, compare it with the manifest, and only then commit.

    However it ends, by an error or by a kill, the target holds all of it or nothing.

    Args:
        url: the target, as the role that is to own everything: postgres, on Supabase.
        backup: whose files have been checked.
        environment: the target's name, which it will record where it has a place for it.
        observer: told of rows.

    Raises:
        UsageError: the target is of an older version, holds something already, or lacks
            Supabase's schema auth or roles.
        FindingsError: what was restored is not what was backed up; nothing was kept.
        OperationalError: the target refused an entry, or was lost.
    """
    manifest = backup.manifest
    if manifest is None:
        raise UsageError("the backup has no manifest", next_step="use another backup")
    tools = find_tools(_major(manifest.pg_dump_version))
    name = failures.APPLICATION_NAME
    with connect(url, autocommit=True, application_name=name, prepare=False) as connection:
        try:
            with connection.transaction():
                restoring = _Restoring(connection, backup, manifest, observer)
                return restoring.run(tools, environment, describe(url))
        except psycopg.Error as error:
            raise failures.refused(error, "restore") from error


class _Sink:
    """What load() fills; a failure ends the transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, statements: bytes) -> int:
        with self._connection.transaction():
            return max(self._connection.execute(statements).rowcount, 0)

    def copy(self, statement: bytes, chunks: Iterable[bytes]) -> int:
        with self._connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for chunk in chunks:
                    copy.write(chunk)
            return cursor.rowcount


class _Restoring:
    """One restore, in the transaction of its connection."""

    def __init__(
        self, connection: Connection, backup: Backup, manifest: Manifest, observer: Observer
    ) -> None:
        self._connection = connection
        self._backup = backup
        self._manifest = manifest
        self._observer = observer
        self._notes: list[str] = []
        self._foreign_defaults: set[str] = set()
        self._relaxed: tuple[str, ...] = ()
        self._rows: dict[str, int] = {}
        there = connection.execute("select e.extname::text from pg_catalog.pg_extension as e")
        self._missing = sorted(manifest.extensions.keys() - {str(name) for (name,) in there})

    def run(self, tools: Binaries, environment: str | None, database: str) -> RestoreReport:
        require_ready(self._connection, self._manifest)
        self._settle()
        added = self._users()
        dump = self._backup.path / DUMP_FILE
        sink = _Sink(self._connection)
        self._relaxed = load(
            dump, tools, sink, skip=self._skip, failed=self._failed, told=self._told
        )
        self._notes.extend(f"{name}: {RELAXED}" for name in self._relaxed)
        for statement in self._manifest.user_triggers:
            self._connection.execute(statement.encode())
        self._publish()
        self._compare()
        self._record(environment)
        return RestoreReport(
            backup=self._backup.name,
            database=database,
            rows=self._manifest.facts.rows,
            users_added=added,
            notes=tuple(self._notes),
        )

    def _settle(self) -> None:
        """Settings of this transaction, and no default privileges beside the dump's."""
        plain_output(self._connection)
        self._connection.execute("set local check_function_bodies = off")
        self._connection.execute("set local client_min_messages = warning")
        drop_default_grants(self._connection)

    def _users(self) -> int:
        if USERS_FILE not in self._manifest.files:
            return 0
        return read_users(self._connection, self._backup.path / USERS_FILE)

    def _skip(self, header: Header) -> bool:
        if is_of_public_itself(header):
            return True
        if header.type == "SCHEMA":
            return self._there("to_regnamespace", sql.Identifier(header.name).as_string(None))
        if header.type == "DEFAULT ACL" and not self._may_be(header.owner):
            self._foreign_defaults.add(f"default privileges of {header.owner}")
            self._notes.append(
                f"default privileges of {header.owner} are left as they are: they are not this "
                "role's to change"
            )
            return True
        return False

    def _failed(self, failure: Failure) -> NoReturn:
        header, error = failure.header, failure.error
        if error.sqlstate is None or error.sqlstate.startswith(("08", "53", "57", "58")):
            raise error
        role = missing_role(error)
        if role is not None:
            advice = f"create role {role} in the target (nologin will do), and run it again"
        elif self._missing:
            advice = "create the missing extensions in the target, and run it again"
        else:
            advice = "restore into a database of Supabase's shape, as the role postgres"
        raise OperationalError(
            f"{header.type.lower()} {header.label} cannot be restored: {reason(error)}",
            next_step=f"{advice}; nothing was kept",
            details=tuple(f"extension {name} is missing in the target" for name in self._missing),
        ) from error

    def _publish(self) -> None:
        """Publish what was published, where there is such a publication: Realtime reads one."""
        for publication, schema, table, whole in self._manifest.publications:
            label = f"{schema}.{table} in publication {publication}"
            if not whole:
                self._notes.append(f"{label} shows a part of it: add it by hand")
                continue
            statement = sql.SQL("alter publication {} add table {}").format(
                sql.Identifier(publication), sql.Identifier(schema, table)
            )
            try:
                with self._connection.transaction():
                    self._connection.execute(statement)
            except psycopg.Error as error:
                if self._connection.closed:
                    raise
                self._notes.append(f"{label} was not added: {reason(error)}")

    def _compare(self) -> None:
        found = read_facts(self._connection)
        lost = Lost(relations=self._foreign_defaults, relaxed=self._relaxed)
        ours = self._connection.info.server_version // 10000
        differences = [
            difference.text
            for difference in compare(
                self._manifest.facts,
                found,
                majors=(self._manifest.major, ours),
                users_exactly=False,
            )
            if not lost.excuses(difference)
        ]
        if differences:
            raise FindingsError(
                f"the restored database differs from the backup in {len(differences)} points",
                next_step="nothing was kept; use another backup, or restore as the role that "
                "owned everything",
                details=tuple(differences[:_SHOWN]),
            )

    def _record(self, environment: str | None) -> None:
        """A copy says from now on that it is what it has become."""
        if environment is None:
            return
        said = record.recorded(self._connection)
        if said is not None and said != environment:
            record.record(self._connection, environment, force=True)
            self._notes.append(f"the database said that it is {said}; it is {environment} now")

    def _there(self, function: str, name: str) -> bool:
        row = self._connection.execute(
            sql.SQL("select {}(%s) is not null").format(sql.Identifier("pg_catalog", function)),
            [name],
        ).fetchone()
        return row == (True,)

    def _may_be(self, role: str) -> bool:
        row = self._connection.execute(
            "select pg_has_role(r.oid, 'usage') from pg_catalog.pg_roles as r where r.rolname = %s",
            [role],
        ).fetchone()
        return row == (True,)

    def _told(self, table: str, rows: int) -> None:
        self._rows[table] = rows
        self._observer.progress(sum(self._rows.values()), self._manifest.facts.rows)


def _major(version: str) -> int:
    return int(version.split(".", maxsplit=1)[0])
