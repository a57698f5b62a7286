"""Makes a backup: one snapshot for the dump and for all that it is compared by, then the proof."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.rows import TupleRow

from toolkit.connection import TRANSACTION_POOLER_PORT, connect, describe, parse
from toolkit.environments.record import require
from toolkit.errors import FindingsError, UsageError
from toolkit.local.binaries import Binaries
from toolkit.operations.backup import failures
from toolkit.operations.backup.dump import dumping, rows_in
from toolkit.operations.backup.facts import (
    Access,
    Facts,
    plain_output,
    publications,
    read_access,
    read_facts,
    user_triggers,
)
from toolkit.operations.backup.folder import Unfinished, sweep, timestamp, unfinished
from toolkit.operations.backup.listing import ProofState, backups
from toolkit.operations.backup.manifest import (
    DUMP_FILE,
    USERS_FILE,
    Manifest,
    StoredFile,
    write_manifest,
)
from toolkit.operations.backup.tools import find_tools
from toolkit.operations.backup.users import write_users
from toolkit.operations.backup.verify import BackupReport, verify_backup
from toolkit.rollout import checksums
from toolkit.trial import Observer

Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True)
class _Snapshot:
    connection: Connection
    name: str
    taken_at: datetime
    tables: tuple[Access, ...]
    tools: Binaries


def make_backup(
    url: str, environment: str, root: Path, *, verify: bool = True, observer: Observer
) -> BackupReport:
    """Back up what the rollout touches, and prove it by a restore.

    A killed command leaves at most a folder that the next one recognises and removes; killed in
    its proof, a backup that is told apart. A backup whose proof fails is kept, unverified, with
    the differences in its manifest.

    Args:
        url: of the database, a direct or session connection, as the owner.
        environment: whose database it is.
        root: the folder of its backups.
        verify: restore it into a temporary server and compare.
        observer: told of steps and rows.

    Raises:
        UsageError: another environment's database, a transaction pooler, or a role that row
            level security binds.
        FindingsError: the dump lacks rows that the snapshot holds.
        OperationalError: no pg_dump, a lost connection, a locked table, a full disk.
    """
    _refuse_pooler(url)
    removed, unproven = sweep(root), _unproven(root, environment, observer)
    for name in removed:
        observer.note(f"removed {name}, which a killed command had left")
    observer.step("dump")
    with ExitStack() as stack:
        with _snapshot(url, environment) as snapshot:
            folder = stack.enter_context(unfinished(root))
            manifest = _write(url, environment, snapshot, folder, observer)
        # The snapshot is given back: nothing holds up the server's vacuum from here.
        _check_rows(folder.path / DUMP_FILE, snapshot.tools, manifest.facts)
        path = _finish(folder, manifest, snapshot, proving=verify)
        report = BackupReport(path, manifest, removed, verify, unproven)
        if verify:
            report = verify_backup(report, snapshot.tools, observer)
            folder.settle(path)
    return report


def _unproven(root: Path, environment: str, observer: Observer) -> tuple[str, ...]:
    """Say which earlier backups' proofs are not at their end; the names of those cut off."""
    names = []
    for backup in backups(root, environment):
        if backup.proof is ProofState.RUNNING:
            observer.note(f"another command is proving {backup.name} now")
        elif backup.proof is ProofState.INTERRUPTED:
            names.append(backup.name)
            observer.note(
                f"{backup.name} was never proven, its proof was interrupted: "
                f"meterledger backup prune {environment} removes it"
            )
    return tuple(names)


@contextmanager
def _snapshot(url: str, environment: str) -> Iterator[_Snapshot]:
    """A transaction that sees one moment, with every table locked against a change of shape."""
    name = failures.APPLICATION_NAME
    with connect(url, autocommit=True, application_name=name, prepare=False) as connection:
        try:
            require(connection, environment)
            tools = find_tools(connection.info.server_version // 10000)
            tables = read_access(connection)
            _check_access(connection, tables)
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with connection.transaction(force_rollback=True):
                _lock(connection, tables)
                row = connection.execute("select pg_export_snapshot(), now()").fetchone()
                exported, at = row if row is not None else ("", _now())
                plain_output(connection)
                yield _Snapshot(connection, str(exported), at, tables, tools)
        except psycopg.Error as error:
            raise failures.refused(error, "backup") from error


def _lock(connection: Connection, tables: tuple[Access, ...]) -> None:
    """Before the snapshot is taken: neither statement takes one. Waits a few seconds at most."""
    connection.execute(
        sql.SQL("set local lock_timeout = {}").format(sql.Literal(failures.LOCK_WAIT_MS))
    )
    connection.execute("set local statement_timeout = 0")
    ours = [sql.Identifier(t.schema, t.name) for t in tables if t.schema != "auth"]
    if ours:
        connection.execute(
            sql.SQL("lock table only {} in access share mode").format(sql.SQL(", only ").join(ours))
        )


def _check_access(connection: Connection, tables: tuple[Access, ...]) -> None:
    role = connection.info.user
    closed = tuple(f"{t.schema}.{t.name}" for t in tables if not t.readable)
    if closed:
        raise failures.unreadable(role, closed)
    bound = tuple(f"{t.schema}.{t.name}" for t in tables if t.bound)
    if bound:
        raise failures.bound(role, bound)


def _write(
    url: str, environment: str, snapshot: _Snapshot, folder: Unfinished, observer: Observer
) -> Manifest:
    """Dump and count at the same time, in the same snapshot."""
    connection, path = snapshot.connection, folder.path
    files: dict[str, StoredFile] = {}
    done: dict[str, int] = {}

    def told(table: str, rows: int) -> None:
        done[table] = rows
        observer.progress(sum(done.values()), 0)

    with dumping(snapshot.tools, url, snapshot.name, path / DUMP_FILE) as dump:
        facts = read_facts(connection, snapshot.tables, told)
        manifest = Manifest(
            environment=environment,
            database=describe(url),
            made_at=snapshot.taken_at.astimezone(UTC).isoformat(timespec="seconds"),
            server_version=_version(connection),
            pg_dump_version=snapshot.tools.version,
            files=files,
            facts=facts,
            phases=_phases(connection),
            user_triggers=user_triggers(connection),
            publications=publications(connection),
            extensions=_extensions(connection),
        )
        if facts.users is not None:
            try:
                files[USERS_FILE] = write_users(connection, path / USERS_FILE)
            except OSError as error:
                raise failures.not_written(error) from error
        files[DUMP_FILE] = dump.finish()
    return manifest


def _finish(folder: Unfinished, manifest: Manifest, snapshot: _Snapshot, *, proving: bool) -> Path:
    try:
        write_manifest(folder.path, manifest)
        return folder.finish(timestamp(snapshot.taken_at), proving=proving)
    except OSError as error:
        raise failures.not_written(error) from error


def _check_rows(dump: Path, tools: Binaries, facts: Facts) -> None:
    """Hold what pg_restore reads in the dump against what the snapshot showed."""
    counted = rows_in(dump, tools)
    wrong = tuple(
        f"{name}: {counted.get(name, 0)} rows in the dump, "
        f"{facts.tables[name].rows if name in facts.tables else 'none'} in the snapshot"
        for name in sorted(counted.keys() | facts.tables.keys())
        if counted.get(name) != (facts.tables[name].rows if name in facts.tables else None)
    )
    if wrong:
        raise FindingsError(
            "the dump does not hold the rows of its snapshot, and was thrown away",
            next_step="back up as the role that owns the tables and bypasses row level security, "
            "when nobody changes the tables' shape",
            details=wrong,
        )


def _phases(connection: Connection) -> dict[str, str | None]:
    """The versions in the CLI's history, with the checksums that deploys recorded."""
    there = connection.execute(
        "select to_regclass('supabase_migrations.schema_migrations') is not null"
    ).fetchone()
    if there != (True,):
        return {}
    rows = connection.execute(
        "select m.version from supabase_migrations.schema_migrations as m order by 1"
    ).fetchall()
    known = checksums.recorded(connection)
    return {str(version): known.get(str(version)) for (version,) in rows}


def _extensions(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        "select e.extname::text, n.nspname::text from pg_catalog.pg_extension as e"
        " inner join pg_catalog.pg_namespace as n on n.oid = e.extnamespace"
        " where e.extname <> 'plpgsql' order by 1"
    ).fetchall()
    return {str(name): str(schema) for name, schema in rows}


def _version(connection: Connection) -> str:
    """Such as '17.10'; packagers add words of their own."""
    number = connection.info.server_version
    return f"{number // 10000}.{number % 10000}"


def _refuse_pooler(url: str) -> None:
    if parse(url).get("port") == TRANSACTION_POOLER_PORT:
        raise UsageError(
            f"port {TRANSACTION_POOLER_PORT} is a pooler in transaction mode: a backup needs one "
            "session to itself",
            next_step="use the direct connection or the session pooler (port 5432) in DATABASE_URL",
        )


def _now() -> datetime:
    return datetime.now(UTC)
