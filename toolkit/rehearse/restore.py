"""Restores a pg_dump of a user's database into a scratch database of Supabase's shape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.bootstrap import DefaultPrivileges, bootstrap
from toolkit.connection import connect
from toolkit.errors import OperationalError
from toolkit.local.binaries import Binaries
from toolkit.rehearse import failures
from toolkit.rehearse.contents import Contents
from toolkit.rehearse.report import LeftOut, Progress, RestoreReport
from toolkit.rehearse.scratch import ScratchDatabase
from toolkit.rehearse.select import (
    ESSENTIAL_TABLES,
    EXTENSIONS,
    MANAGED_SCHEMAS,
    Action,
    Weight,
    decide,
    weigh,
)
from toolkit.rehearse.source import open_dump
from toolkit.rehearse.toc import CopyData, DumpReader, Entry, Header, Sql
from toolkit.rehearse.triggers import drop_unusable_triggers
from toolkit.rehearse.users import AuthUsers

_DUPLICATE_FUNCTION = "42723"
# Entries that say something about an object; when that is left out, so are they, unlisted.
_REMARKS = frozenset(
    {"ACL", "COMMENT", "INDEX", "MATERIALIZED VIEW DATA", "PUBLICATION TABLE", "SECURITY LABEL"}
)


def restore_dump(
    dump: Path,
    admin_url: str,
    binaries: Binaries,
    progress: Progress | None = None,
) -> RestoreReport:
    """Restore a dump, whatever of Supabase's schemas it holds or lacks.

    Args:
        dump: custom, directory, tar or plain format; a file may be gzipped.
        admin_url: a fresh, bootstrapped database of a scratch server, as supabase_admin.
        binaries: for pg_restore; of the server's version.
        progress: called with a table's name and its rows so far.

    Raises:
        UsageError: no such file, not a dump, or not of the app.
        OperationalError: truncated, of a newer version, disk full, or a table that the
            rollout needs cannot be restored. The database is then half filled.
    """
    started = time.monotonic()
    with (
        open_dump(dump, binaries) as source,
        connect(admin_url, autocommit=True, prepare=False) as connection,
    ):
        reader = DumpReader(source)
        restore = _Restore(connection, reader, progress)
        restore.run()
        return RestoreReport(
            format=source.format.value,
            gzipped=source.gzipped,
            dumped_from=reader.server_version,
            rows=dict(sorted(restore.rows.items())),
            auth_users_kept=restore.users.kept,
            auth_users_made=restore.users.made,
            left_out=tuple(restore.left_out),
            schemas_skipped=tuple(sorted(restore.schemas_skipped)),
            roles_made=tuple(restore.scratch.roles_made),
            owners=tuple(sorted(restore.contents.owners)),
            grants_assumed=not restore.contents.has_grants,
            seconds=time.monotonic() - started,
        )


class _Restore:
    """One restore: takes each entry of the dump in turn, then finishes the database."""

    def __init__(
        self,
        connection: psycopg.Connection[TupleRow],
        reader: DumpReader,
        progress: Progress | None,
    ) -> None:
        self.rows: dict[str, int] = {}
        self.left_out: list[LeftOut] = []
        self.schemas_skipped: set[str] = set()
        self.scratch = ScratchDatabase(connection)
        self.users = AuthUsers(self.scratch)
        self.contents = Contents()
        self._connection = connection
        self._reader = reader
        self._progress = progress
        self._in_dump: dict[tuple[str, str], int] = {}
        self._lost: set[str] = set()
        self._doing = "the first entry"
        self._data_directory = self.scratch.data_directory()

    def run(self) -> None:
        """Restore everything, or raise one clear error."""
        # The dump's own default privileges are among its last entries; the bootstrap's must
        # not come on top of them.
        bootstrap(self._connection, DefaultPrivileges.GRANT_NOTHING)
        try:
            for entry in self._reader.entries():
                self._doing = f"{entry.header.type.lower()} {entry.header.label}"
                if self.contents.empty:
                    self._begin()
                self.contents.note(entry.header)
                self._take(entry)
            self.contents.check()
            self._finish()
        except psycopg.Error as error:
            if failures.is_trouble(error):
                raise self._trouble(error) from error
            raise failures.unexpected(error, self._doing) from error

    def _begin(self) -> None:
        """Compare versions once the dump's preamble is read, before anything is restored."""
        ours = self._connection.info.server_version // 10000
        failures.check_version(self._reader.server_version, ours)
        encoding = self._reader.encoding
        if encoding not in {None, "UTF8", "SQL_ASCII"}:
            self._connection.execute(
                sql.SQL("set client_encoding = {}").format(sql.Literal(encoding))
            )

    def _take(self, entry: Entry) -> None:
        header = entry.header
        match decide(header):
            case Action.RUN:
                self._run(entry)
            case Action.ROWS:
                self._load(entry)
            case Action.EXTENSION:
                self._extension(entry)
            case Action.AUTH_TABLE:
                self._attempt(header, lambda: self.users.make_twin(_text(entry)))
            case Action.AUTH_ROWS:
                self._attempt(header, lambda: self.users.load(entry.pieces()))
            case Action.OUTSIDE:
                self._leave_out(header, "it reaches outside this machine")
            case Action.SKIP:
                if header.schema in MANAGED_SCHEMAS:
                    self.schemas_skipped.add(header.schema)

    def _run(self, entry: Entry) -> None:
        header, statements = entry.header, _text(entry)
        try:
            if header.type == "FK CONSTRAINT":
                self.users.make_for_constraint(statements)
            self.scratch.run(statements)
        except psycopg.errors.ForeignKeyViolation as error:
            if not self.scratch.count("public", "user_profiles"):
                # Not rows that the live database holds, but a dump without what they point at.
                raise failures.cannot_restore(error, header) from error
            # The live database holds such rows too: its constraint was never checked on them.
            self.scratch.run(_not_valid(statements))
            why = "rows of the dump break it: it holds for new rows only, as in the live database"
            self.left_out.append(LeftOut(header.label, header.type, why))
        except psycopg.Error as error:
            self._failed(header, error, weigh(header, statements))
        else:
            if header.type == "TABLE" and header.schema == "public":
                self.rows.setdefault(header.label, 0)

    def _load(self, entry: Entry) -> None:
        header = entry.header
        if header.label in self._lost:
            return
        loaded = 0
        try:
            with self._connection.transaction():
                for piece in entry.pieces():
                    if isinstance(piece, Sql):
                        loaded += self.scratch.run(piece.text)
                        self._tell(header.label, loaded)
                    else:
                        self.scratch.copy(piece.statement, self._told(header.label, piece))
                        loaded += piece.rows
        except psycopg.Error as error:
            self._failed(header, error, weigh(header))
        else:
            key = (header.schema, header.name)
            self._in_dump[key] = self._in_dump.get(key, 0) + loaded

    def _told(self, label: str, data: CopyData) -> Iterator[bytes]:
        for chunk in data.chunks:
            yield chunk
            self._tell(label, data.rows)

    def _tell(self, label: str, rows: int) -> None:
        if self._progress is not None:
            self._progress(label, rows)

    def _extension(self, entry: Entry) -> None:
        header = entry.header
        if header.name in EXTENSIONS:
            self._attempt(header, lambda: self.scratch.run(_text(entry)))
        elif header.name != "plpgsql":
            self._leave_out(header, "not made in a rehearsal")

    def _attempt(self, header: Header, step: Callable[[], object]) -> None:
        try:
            step()
        except psycopg.Error as error:
            self._failed(header, error, Weight.OPTIONAL)

    def _failed(self, header: Header, error: psycopg.Error, weight: Weight) -> None:
        """List an entry that could not be restored, or stop."""
        if failures.is_trouble(error):
            raise self._trouble(error) from error
        if weight is Weight.ESSENTIAL or (
            weight is Weight.DETACHABLE and not failures.is_missing(error)
        ):
            raise failures.cannot_restore(error, header) from error
        if header.schema == "auth" and error.sqlstate == _DUPLICATE_FUNCTION:
            return  # the bootstrap's own
        self._leave_out(header, failures.reason(error))

    def _leave_out(self, header: Header, why: str) -> None:
        hangs_on_lost = f"{header.schema}.{header.table}" in self._lost or (
            header.type in _REMARKS and any(label.split("(")[0] in why for label in self._lost)
        )
        self._lost.add(header.label)
        if not hangs_on_lost:
            self.left_out.append(LeftOut(header.label, header.type, why))

    def _trouble(self, error: psycopg.Error) -> OperationalError:
        return failures.trouble(error, self._data_directory, self._doing)

    def _finish(self) -> None:
        """What a dump does not say: users, owners, usual grants; then count, and analyze."""
        self._doing = "the last steps"
        self.users.forget_twin()
        self.users.make_for("public", "user_profiles", "id")
        self._connection.execute(
            "select pg_catalog.set_config('meterledger.managed_schemas', %s, false)",
            [",".join(sorted(MANAGED_SCHEMAS))],
        )
        self.scratch.run_file("own_by_postgres")
        self.left_out.extend(drop_unusable_triggers(self.scratch))
        if not self.contents.has_grants:
            bootstrap(self._connection, DefaultPrivileges.GRANT_ALL)
            self.scratch.run_file("usual_grants")
        for (schema, table), in_dump in self._in_dump.items():
            self._count(schema, table, in_dump)
            self._connection.execute(sql.SQL("analyze {}").format(sql.Identifier(schema, table)))

    def _count(self, schema: str, table: str, in_dump: int) -> None:
        """Hold the table against the dump: no row may be lost on the way."""
        restored = self.scratch.count(schema, table)
        self.rows[f"{schema}.{table}"] = restored
        if restored == in_dump:
            return
        if table in ESSENTIAL_TABLES and schema == "public":
            raise OperationalError(
                f"{schema}.{table} has {in_dump} rows in the dump and {restored} restored",
                next_step="run the command again; if the numbers stay, report it",
            )
        why = f"{in_dump} rows in the dump, {restored} restored"
        self.left_out.append(LeftOut(f"{schema}.{table}", "TABLE DATA", why))


def _not_valid(constraint: bytes) -> bytes:
    head, _, tail = constraint.rpartition(b";")
    return head + b" not valid;" + tail


def _text(entry: Entry) -> bytes:
    return b"".join(piece.text for piece in entry.pieces() if isinstance(piece, Sql))
