"""A server that somebody else started: its superuser's URL is all that the tests have of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import quote, urlsplit, urlunsplit

from psycopg import sql

from tests.support.containers import postgres_container
from tests.support.database import Connection
from tests.support.servers import Databases
from tests.support.source import IMAGE, MAJOR, Kind, Source
from toolkit.bootstrap import DefaultPrivileges, bootstrap
from toolkit.connection import connect
from toolkit.errors import UsageError
from toolkit.local.cluster import ADMIN_ROLE, BASE_SETTINGS, THROW_AWAY_SETTINGS, set_password

_PASSWORD_ROLES = ("postgres", "authenticator")
# As the embedded servers are made, so that text sorts alike everywhere.
_LOCALE = {
    15: "locale_provider libc locale 'C'",
    17: "locale_provider builtin locale 'C' builtin_locale 'C.UTF-8'",
}


class GivenServer:
    """A throw-away server: its roles get new passwords, and faster settings are written to it.

    Where its first database has Supabase's auth schema already, as in Supabase's own image,
    each new database is a copy of that, so that theirs is what the tests meet.
    """

    def __init__(self, url: str) -> None:
        """Take the server.

        Args:
            url: of the superuser supabase_admin, to a database that nobody is connected to.

        Raises:
            OperationalError: it does not answer, or that is not who the URL's user is.
        """
        self._parts = urlsplit(url)
        self._password = secrets.token_hex(16)
        # Databases of a run that was killed, or of another one, must not be in the way.
        self.prefix = f"t{secrets.token_hex(3)}_"
        with connect(url, autocommit=True) as connection:
            self._hurry(connection)
            self._shaped = _has_users(connection)
            if self._shaped:
                self._keep(connection)
            else:
                bootstrap(connection)
            for role in _PASSWORD_ROLES:
                set_password(connection, role, self._password)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The URL of a role; only of those whose password is known."""
        password = self._parts.password if user == ADMIN_ROLE else self._password
        login = f"{quote(user, safe='')}:{password}@" if password else f"{quote(user, safe='')}@"
        address = self._parts.netloc.rpartition("@")[2]
        path = f"/{quote(database, safe='')}"
        return urlunsplit(self._parts._replace(netloc=login + address, path=path))

    def admin_url(self, database: str = "postgres") -> str:
        """The URL of the superuser supabase_admin."""
        return self.url(database, ADMIN_ROLE)

    def create_database(
        self, name: str, regime: DefaultPrivileges = DefaultPrivileges.GRANT_ALL
    ) -> None:
        """Create a database of Supabase's shape, or with what Supabase's image has."""
        with connect(self.admin_url(), autocommit=True) as connection:
            made_from = self._template if self._shaped else "template0"
            locale = "" if self._shaped else _locale(connection)
            connection.execute(
                sql.SQL("create database {} template {} {}").format(
                    sql.Identifier(name), sql.Identifier(made_from), sql.SQL(locale)
                )
            )
        with connect(self.admin_url(name)) as connection:
            bootstrap(connection, regime)

    def drop_databases(self) -> None:
        """Remove what this run made, whoever is still connected to it."""
        with connect(self.admin_url(), autocommit=True) as connection:
            mine = "select datname from pg_catalog.pg_database where starts_with(datname, %s)"
            for (name,) in connection.execute(mine, (self.prefix,)).fetchall():
                statement = sql.SQL("drop database if exists {} with (force)")
                connection.execute(statement.format(sql.Identifier(name)))

    @property
    def _template(self) -> str:
        return f"{self.prefix}supabase"

    def _keep(self, connection: Connection) -> None:
        """Copy the first database, once: its own background workers would be in the way later."""
        connection.execute(
            "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        connection.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(self._template), sql.Identifier(connection.info.dbname)
            )
        )

    @staticmethod
    def _hurry(connection: Connection) -> None:
        """The embedded servers' settings, as far as they need no restart."""
        wanted = {**BASE_SETTINGS, **THROW_AWAY_SETTINGS}
        changeable = connection.execute(
            "select name from pg_catalog.pg_settings"
            " where name = any(%s) and context not in ('internal', 'postmaster')",
            (list(wanted),),
        ).fetchall()
        for (name,) in changeable:
            connection.execute(
                sql.SQL("alter system set {} = {}").format(
                    sql.Identifier(name), sql.Literal(wanted[name])
                )
            )
        connection.execute("select pg_catalog.pg_reload_conf()")


@contextmanager
def given_databases(source: Source) -> Iterator[Databases]:
    """The databases of the given server, or of a container's, which is thrown away at the end."""
    with ExitStack() as running:
        url = source.where
        if source.kind is Kind.CONTAINER:
            url = running.enter_context(postgres_container(source.where))
        server = GivenServer(url)
        running.callback(server.drop_databases)
        databases = Databases(server, server.prefix)
        if databases.major != source.major:
            raise UsageError(
                f"PostgreSQL {source.major} was asked for, and {databases.major} answers",
                next_step=f"name another image in {IMAGE}, or the right version in {MAJOR}",
            )
        yield databases


def _has_users(connection: Connection) -> bool:
    row = connection.execute("select to_regclass('auth.users') is not null").fetchone()
    return row == (True,)


def _locale(connection: Connection) -> str:
    major = connection.info.server_version // 10_000
    return f"encoding 'UTF8' {_LOCALE[17 if major >= 17 else 15]}"
