"""One test's database, and the ways into it that Supabase offers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.connection import connect

Connection = psycopg.Connection[TupleRow]
Parameters = Sequence[object] | Mapping[str, object] | None


@dataclass(frozen=True)
class Database:
    """A database of Supabase's shape.

    Attributes:
        name: its name on the test server.
        url: for the role postgres, which migrates.
        admin_url: for the superuser supabase_admin.
        authenticator_url: for the role that the REST server logs in as.
        major: PostgreSQL's major version.
    """

    name: str
    url: str = field(repr=False)
    admin_url: str = field(repr=False)
    authenticator_url: str = field(repr=False)
    major: int

    def connect(self, *, autocommit: bool = False, name: str = "tests") -> Connection:
        """Connect as postgres; a with block commits at its end and closes."""
        return connect(self.url, autocommit=autocommit, application_name=name)

    def admin(self, *, autocommit: bool = False, name: str = "tests") -> Connection:
        """Connect as supabase_admin."""
        return connect(self.admin_url, autocommit=autocommit, application_name=name)

    def rows(self, query: str, parameters: Parameters = None) -> list[TupleRow]:
        """Run one statement as postgres in a transaction of its own; its rows, if it has any."""
        with self.connect() as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description is not None else []

    def value(self, query: str, parameters: Parameters = None) -> Any:  # noqa: ANN401 - whatever the column holds
        """Run one statement as postgres; the first column of its only row."""
        rows = self.rows(query, parameters)
        assert len(rows) == 1, f"{len(rows)} rows where one was expected"
        return rows[0][0]

    def waits(self, statement: str) -> bool:
        """Whether a backend waits for a lock in a statement that begins like this."""
        return bool(
            self.value(
                "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'"
                " and datname = current_database() and starts_with(query, %s)",
                (statement,),
            )
        )

    def add_user(self, email: str | None = None) -> UUID:
        """Sign somebody up; the profile is made by the app's trigger, where there is one."""
        user = uuid4()
        with self.connect() as connection:
            connection.execute(
                "insert into auth.users (id, email) values (%s, %s)",
                (user, email or f"{user}@example.test"),
            )
            table = connection.execute("select to_regclass('public.user_profiles')").fetchone()
            if table is not None and table[0] is not None:
                connection.execute(
                    "insert into public.user_profiles (id) values (%s) on conflict (id) do nothing",
                    (user,),
                )
        return user

    @contextmanager
    def as_user(
        self, user: UUID, *, claims: Mapping[str, Any] | None = None
    ) -> Iterator[Connection]:
        """One request of a signed-in user: one transaction, committed unless it raises."""
        with self.as_role("authenticated", claims={"sub": str(user), **(claims or {})}) as request:
            yield request

    @contextmanager
    def as_role(
        self, role: str, *, claims: Mapping[str, Any] | None = None
    ) -> Iterator[Connection]:
        """One request as the REST server makes it: its login, the role, its limits, the claims."""
        token = json.dumps({"role": role, **(claims or {})})
        with connect(self.authenticator_url) as connection:
            connection.execute(
                "select set_config('search_path', 'public, extensions', true),"
                " set_config('request.jwt.claims', %s, true)",
                (token,),
            )
            limit = connection.execute(
                "select split_part(setting, '=', 2) from pg_catalog.pg_roles,"
                " unnest(rolconfig) as setting"
                " where rolname = %s and setting like 'statement_timeout=%%'",
                (role,),
            ).fetchone()
            if limit is not None:
                connection.execute("select set_config('statement_timeout', %s, true)", limit)
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            yield connection
