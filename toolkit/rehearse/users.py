"""Fills auth.users: from the dump's rows, or with ids that the user's tables point at."""

from __future__ import annotations

import re
from collections.abc import Iterable

import psycopg
from psycopg import sql

from toolkit.rehearse.scratch import ScratchDatabase
from toolkit.rehearse.toc import CopyData, Sql

_TWIN_SCHEMA = "meterledger_twin"
_USERS = rb'"?auth"?\."?users"?'
_TABLE = re.compile(rb"CREATE TABLE " + _USERS + rb" \(.*?\n\)[^;]*;", re.DOTALL)
_ROWS = re.compile(rb"^(?P<verb>INSERT INTO|COPY) " + _USERS + rb"(?= )", re.MULTILINE)
_NAME = rb'(?:"(?:[^"]|"")+"|[^\s."(),]+)'
_REFERENCE = re.compile(
    rb"ALTER TABLE (?:ONLY )?(?P<schema>" + _NAME + rb")\.(?P<table>" + _NAME + rb")\s+"
    rb"ADD CONSTRAINT .+ FOREIGN KEY \((?P<column>" + _NAME + rb")\) "
    rb"REFERENCES " + _USERS + rb'\("?id"?\)',
    re.DOTALL,
)


class AuthUsers:
    """auth.users of the scratch database, in the bootstrap's shape.

    The dump's own table has other columns than ours, so its rows go through a twin of it,
    and only ids and e-mail addresses stay: no password hash, no token.

    Attributes:
        kept: rows taken from the dump.
        made: rows made for ids that the dump has no user for.
    """

    def __init__(self, scratch: ScratchDatabase) -> None:
        self.kept = 0
        self.made = 0
        self._scratch = scratch

    def make_twin(self, statements: bytes) -> bool:
        """Create the twin of the dump's auth.users; False if the text is no such table."""
        table = _TABLE.search(statements)
        if table is None:
            return False
        twin = re.sub(_USERS, _TWIN_SCHEMA.encode() + b".users", table.group(), count=1)
        self._scratch.run(b"create schema " + _TWIN_SCHEMA.encode() + b";\n" + twin)
        return True

    def load(self, pieces: Iterable[Sql | CopyData]) -> None:
        """Load the dump's users, and keep their ids and addresses."""
        target = rb"\g<verb> " + _TWIN_SCHEMA.encode() + b".users"
        for piece in pieces:
            if isinstance(piece, CopyData):
                statement = _ROWS.sub(target, piece.statement, count=1)
                self._scratch.copy(statement, piece.chunks)
            else:
                # A line of somebody's metadata that imitates an INSERT changes with it, and
                # is not kept anyway.
                self._scratch.run(_ROWS.sub(target, piece.text))
        self.kept += self._insert(
            sql.SQL(
                "insert into auth.users (id, email) select id, email from {} on conflict do nothing"
            ).format(sql.Identifier(_TWIN_SCHEMA, "users"))
        )

    def forget_twin(self) -> None:
        """Remove the twin, if there is one."""
        self._scratch.connection.execute(
            sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(_TWIN_SCHEMA))
        )

    def make_for_constraint(self, statements: bytes) -> None:
        """Before a foreign key to auth.users is added: make the users it needs."""
        found = _REFERENCE.search(statements)
        if found is not None:
            self.make_for(
                _unquoted(found["schema"]), _unquoted(found["table"]), _unquoted(found["column"])
            )

    def make_for(self, schema: str, table: str, column: str) -> None:
        """Make a user for every id in a column that has none."""
        self.made += self._insert(
            sql.SQL(
                "insert into auth.users (id) select distinct {column} from {table} as referring"
                " where {column} is not null and not exists ("
                "select from auth.users where users.id = referring.{column})"
            ).format(column=sql.Identifier(column), table=sql.Identifier(schema, table))
        )

    def _insert(self, statement: sql.Composed) -> int:
        """Insert without the app's trigger, which would make profiles: they are in the dump."""
        connection: psycopg.Connection[tuple[object, ...]] = self._scratch.connection
        with connection.transaction():
            connection.execute("set local session_replication_role = replica")
            return max(connection.execute(statement).rowcount, 0)


def _unquoted(name: bytes) -> str:
    text = name.decode("utf-8", errors="replace")
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
