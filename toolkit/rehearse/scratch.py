"""Runs a dump's statements in the scratch database, making what they miss."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.rehearse.failures import missing_extension, missing_role, missing_uuid_function

_REPAIRS_AT_MOST = 1000

# A lost connection is one error of ours; psycopg's own warning about it would be a second.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class ScratchDatabase:
    """A superuser's autocommit connection to the database that is being filled.

    Attributes:
        connection: the caller's; each method is one transaction of it, or part of one.
        roles_made: roles that the dump named and the server lacked.
    """

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self.connection = connection
        self.roles_made: list[str] = []
        self.run_file("session")

    def run_file(self, name: str) -> None:
        """Run one of this package's .sql files."""
        file = resources.files(__package__).joinpath(f"{name}.sql")
        self.connection.execute(file.read_bytes())

    def run(self, statements: bytes) -> int:
        """Run statements as one transaction; returns the rows that they inserted.

        A role that is missing is made, without login, and the statements run again: owners
        and grantees stand in many places (policies, default privileges), the server finds
        them all. So are members of harmless extensions: a dump of public alone names none.

        Raises:
            psycopg.Error: nothing of the statements stays.
        """
        for _ in range(_REPAIRS_AT_MOST):
            try:
                return self._run_once(statements)
            except psycopg.Error as error:
                if not self._repaired(error):
                    raise
        return self._run_once(statements)

    def copy(self, statement: bytes, chunks: Iterable[bytes]) -> int:
        """Load rows in COPY's text format; returns how many the server took."""
        with self.connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for chunk in chunks:
                    copy.write(chunk)
            return cursor.rowcount

    def exists(self, *name: str) -> bool:
        """Whether there is a relation of that schema and name."""
        found = self.connection.execute(
            "select pg_catalog.to_regclass(%s)", [sql.Identifier(*name).as_string(None)]
        ).fetchone()
        return found is not None and found[0] is not None

    def count(self, *name: str) -> int:
        """The rows of a table, without those of tables that inherit from it."""
        relation = sql.Identifier(*name)
        partitioned = self.connection.execute(
            "select relkind = 'p' from pg_catalog.pg_class where oid = %s::pg_catalog.regclass",
            [relation.as_string(None)],
        ).fetchone()
        only = sql.SQL("") if partitioned == (True,) else sql.SQL("only ")
        statement = sql.SQL("select pg_catalog.count(*) from {}{}").format(only, relation)
        found = self.connection.execute(statement).fetchone()
        return int(found[0]) if found else 0

    def data_directory(self) -> Path | None:
        """Where the server keeps its data: this machine's, for it is a scratch server."""
        found = self.connection.execute("show data_directory").fetchone()
        return Path(str(found[0])) if found else None

    def _run_once(self, statements: bytes) -> int:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.execute(statements)
            rows = max(cursor.rowcount, 0)
            while cursor.nextset():
                rows += max(cursor.rowcount, 0)
            if b"SET SESSION AUTHORIZATION" in statements:
                cursor.execute("reset session authorization")
            return rows

    def _repaired(self, error: psycopg.Error) -> bool:
        """Make what a statement missed; False where that is not ours to make."""
        role = missing_role(error)
        if role in self.roles_made:
            return False
        statement = _remedy(error)
        if statement is None:
            return False
        try:
            with self.connection.transaction():
                self.connection.execute(statement)
        except psycopg.Error:
            return False  # a reserved name, a missing schema: the first error says more
        if role is not None:
            self.roles_made.append(role)
        return True


def _remedy(error: psycopg.Error) -> sql.Composed | None:
    """The statement that makes what a failed one missed."""
    if role := missing_role(error):
        return sql.SQL("create role {} nologin").format(sql.Identifier(role))
    if function := missing_uuid_function(error):
        return sql.SQL(
            "create function {}() returns uuid language sql volatile set search_path = ''"
            " as 'select pg_catalog.gen_random_uuid()'"
        ).format(sql.Identifier(*function))
    if extension := missing_extension(error):
        schema, name = extension
        return sql.SQL("create extension {} with schema {}").format(
            sql.Identifier(name), sql.Identifier(schema)
        )
    return None
