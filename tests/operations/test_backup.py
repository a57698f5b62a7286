"""A backup: one snapshot, proven by a restore, and red when the copy is not the original."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from tests.support.backups import Silent
from tests.support.database import Database
from tests.support.dumps import fill_app
from tests.support.proven import proven, proven_copy
from tests.support.servers import Databases, MakeDatabase, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.connection import connect
from toolkit.errors import FindingsError, MeterledgerError, UsageError
from toolkit.operations.backup import make, prove
from toolkit.operations.backup.compare import compare
from toolkit.operations.backup.dump import dumping, rows_in
from toolkit.operations.backup.facts import Facts, read_facts
from toolkit.operations.backup.listing import examine
from toolkit.operations.backup.make import make_backup
from toolkit.operations.backup.manifest import DUMP_FILE, USERS_FILE, read_manifest
from toolkit.operations.backup.tools import find_tools
from toolkit.operations.backup.verify import BackupReport, verify_backup

SILENT = Silent()


@pytest.fixture(scope="module")
def migrated(databases: Callable[[int], Databases]) -> Database:
    """With every hard case; nobody changes it."""
    return proven(databases(default_major()))


@pytest.fixture(scope="module")
def unverified(migrated: Database, tmp_path_factory: pytest.TempPathFactory) -> BackupReport:
    """A backup of it, made once, not proven yet."""
    root = tmp_path_factory.mktemp("backups")
    return make_backup(migrated.url, "local", root, verify=False, observer=SILENT)


def facts(database: Database) -> Facts:
    with database.connect() as connection:
        return read_facts(connection)


def test_a_migrated_database_with_every_hard_case_is_proven(
    migrated: Database, tmp_path: Path
) -> None:
    report = make_backup(migrated.url, "local", tmp_path, observer=SILENT)

    manifest = read_manifest(report.path)
    assert manifest == report.manifest
    assert (manifest.verified, manifest.differences) == (True, ())
    # Rows of users who are gone, which the live table holds too: they are not lost.
    assert manifest.left_out == (
        "constraint electricity_readings_user_id_fkey of public.electricity_readings: rows of the "
        "original break it, so it holds for new rows only",
    )
    assert manifest.verified_at is not None
    assert manifest.facts == facts(migrated)
    assert manifest.facts.users is not None
    assert manifest.facts.tables["public.token_events"].rows == migrated.value(
        "select count(*) from public.token_events"
    )
    assert set(manifest.phases) == {
        version
        for (version,) in migrated.rows("select version from supabase_migrations.schema_migrations")
    }
    assert examine(report.path, check=True).verified
    assert sorted(path.name for path in report.path.iterdir()) == sorted(
        [DUMP_FILE, USERS_FILE, "manifest.json"]
    )


def test_a_dual_write_database_before_the_rollout_is_proven(
    make_database: MakeDatabase, major: int, tmp_path: Path
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE, major=major)
    fill_app(database)

    report = make_backup(database.url, "local", tmp_path, observer=SILENT)

    assert report.manifest.differences == ()
    assert report.manifest.verified
    assert report.manifest.major == major
    assert report.manifest.phases == {}


def test_an_empty_database_has_a_backup_too(make_database: MakeDatabase, tmp_path: Path) -> None:
    report = make_backup(make_database().url, "local", tmp_path, observer=SILENT)

    assert report.manifest.verified
    assert report.manifest.facts.tables == {}


def test_no_verify_leaves_it_unverified_and_says_so(unverified: BackupReport) -> None:
    found = json.loads((unverified.path / "manifest.json").read_text("utf-8"))

    assert (found["verified"], found["verified_at"]) == (False, None)
    assert not examine(unverified.path, check=True).verified


def test_no_secret_and_nothing_that_signs_in_is_in_a_backup(
    migrated: Database, unverified: BackupReport
) -> None:
    password = re.search(r":([0-9a-f]{32})@", migrated.url)
    assert password is not None
    texts = [path.read_bytes() for path in unverified.path.iterdir()]

    assert not any(password[1].encode() in text for text in texts)
    assert not any(b"encrypted_password" in text for text in texts)
    assert unverified.path.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in unverified.path.iterdir())


def test_a_write_that_comes_during_the_backup_is_in_neither_the_dump_nor_the_counts(
    databases: Callable[[int], Databases], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proven_copy(databases(default_major())) as database:
        before = database.value("select count(*) from public.user_profiles")
        original = dumping

        def writing(*arguments: object) -> object:
            database.add_user()
            return original(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(make, "dumping", writing)
        report = make_backup(database.url, "local", tmp_path, observer=SILENT)

        assert report.manifest.verified, report.manifest.differences
        assert report.manifest.facts.tables["public.user_profiles"].rows == before
        assert database.value("select count(*) from public.user_profiles") == before + 1


FAULTS = {
    "row deleted": ("delete from ledger.refresh_log; delete from public.user_profiles", "rows"),
    "row changed": ("update public.token_events set notes = 'x' || notes", "rows"),
    "row twice": (
        "insert into ledger.deployments (version, name, checksum) values ('1', '1', '1')",
        "rows",
    ),
    "user": ("update auth.users set email = 'x' || email", "users"),
    "policy dropped": (
        'drop policy "Users can view own readings" on public.electricity_readings',
        "policies",
    ),
    "policy widened": (
        'alter policy "Users can view own readings" on public.electricity_readings using (true)',
        "policies",
    ),
    "row level security off": (
        "alter table public.token_events disable row level security",
        "policies",
    ),
    "grant lost": ("revoke select on public.token_events from authenticated", "grants"),
    "grant too much": ("grant select on public.electricity_readings_mv to anon", "grants"),
    "column grant lost": (
        "revoke insert (user_id) on public.token_events from authenticated",
        "grants",
    ),
    "function open": (
        "grant execute on function ledger.guard_settings() to public",
        "grants",
    ),
    "owner": ("alter table ledger.readings owner to supabase_admin", "owners"),
    "index": ("drop index ledger.readings_newest_first", "objects"),
    "view loses its option": (
        "alter view public.electricity_readings_v reset (security_invoker)",
        "objects",
    ),
    "sequence": ("alter sequence ledger.migration_runs_run_id_seq restart", "sequences"),
}


@pytest.fixture(scope="module")
def copies(migrated: Database) -> tuple[Facts, Database]:
    """What the original holds; to be compared with spoilt copies."""
    return facts(migrated), migrated


@pytest.mark.parametrize(("fault", "kind"), FAULTS.values(), ids=FAULTS.keys())
def test_each_comparison_sees_its_fault(
    fault: str,
    kind: str,
    copies: tuple[Facts, Database],
) -> None:
    expected, database = copies
    with database.admin() as connection:
        connection.execute("set local session_replication_role = replica")
        if "index" in fault:
            fault = _some_index(connection)
        connection.execute(fault.encode())
        found = compare(expected, read_facts(connection))
        connection.rollback()

    assert kind in {difference.kind for difference in found}
    assert all(difference.text for difference in found)


def _some_index(connection: psycopg.Connection[TupleRow]) -> str:
    row = connection.execute(
        "select format('drop index %s', indexrelid::regclass) from pg_index"
        " where indrelid = 'ledger.readings'::regclass and not indisunique limit 1"
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_nothing_differs_where_nothing_was_spoilt(copies: tuple[Facts, Database]) -> None:
    expected, database = copies

    assert compare(expected, facts(database)) == ()


@pytest.mark.parametrize(
    "fault",
    [
        'drop policy "Users can view own readings" on public.electricity_readings',
        "delete from ledger.settings",
        "revoke select on public.token_events from authenticated",
    ],
)
def test_a_copy_that_is_spoilt_is_not_verified(
    fault: str, unverified: BackupReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = prove.facts_of_copy

    def spoilt(connection: psycopg.Connection[TupleRow]) -> Facts:
        connection.execute(fault.encode())
        return original(connection)

    monkeypatch.setattr(prove, "facts_of_copy", spoilt)
    report = verify_backup(unverified, find_tools(default_major()), SILENT)

    manifest = read_manifest(report.path)
    assert not manifest.verified
    assert manifest.verified_at is None
    assert len(manifest.differences) == 1


def test_a_dump_that_lost_rows_is_thrown_away(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = rows_in

    def emptied(*arguments: object) -> dict[str, int]:
        return {**original(*arguments), "public.token_events": 0}  # type: ignore[arg-type]

    monkeypatch.setattr(make, "rows_in", emptied)
    with pytest.raises(FindingsError) as refused:
        make_backup(migrated.url, "local", tmp_path, observer=SILENT)

    assert refused.value.details[0].startswith("public.token_events: 0 rows in the dump")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.fixture
def bound_url(
    databases: Callable[[int], Databases],
) -> Iterator[tuple[Database, str]]:
    """A role that may read everything and that row level security binds."""
    with proven_copy(databases(default_major())) as database:
        with database.admin() as connection:
            connection.execute("drop role if exists backup_reader")
            connection.execute("create role backup_reader login password 'reader-secret'")
            for schema in ("public", "ledger", "supabase_migrations", "auth"):
                connection.execute(
                    f"grant usage on schema {schema} to backup_reader;"
                    f"grant select on all tables in schema {schema} to backup_reader;"
                    f"grant select on all sequences in schema {schema} to backup_reader".encode()
                )
        url = re.sub(r"//[^@]*@", "//backup_reader:reader-secret@", database.url)
        yield database, url
        with database.admin() as connection:
            connection.execute("drop owned by backup_reader")
            connection.execute("drop role backup_reader")


def test_a_role_that_row_level_security_binds_is_refused(
    bound_url: tuple[Database, str], tmp_path: Path
) -> None:
    database, url = bound_url
    with pytest.raises(UsageError, match="row level security binds the role backup_reader") as no:
        make_backup(url, "local", tmp_path, observer=SILENT)
    assert "public.token_events" in no.value.details
    assert "reader-secret" not in str(vars(no.value))
    assert list(tmp_path.iterdir()) == []

    with database.admin() as connection:
        connection.execute("alter role backup_reader bypassrls")
    assert make_backup(url, "local", tmp_path, observer=SILENT).manifest.verified


def test_a_role_that_may_not_read_is_refused(
    bound_url: tuple[Database, str], tmp_path: Path
) -> None:
    database, url = bound_url
    with database.admin() as connection:
        connection.execute("alter role backup_reader bypassrls")
        connection.execute("revoke select on public.token_events from backup_reader")
    with pytest.raises(UsageError, match="may not read") as no:
        make_backup(url, "local", tmp_path, observer=SILENT)
    assert no.value.details == ("public.token_events",)


def test_another_environments_database_is_refused(
    databases: Callable[[int], Databases], tmp_path: Path
) -> None:
    with proven_copy(databases(default_major())) as database:
        database.rows("update ledger.settings set environment = 'production'")
        with pytest.raises(MeterledgerError, match="production"):
            make_backup(database.url, "staging", tmp_path, verify=False, observer=SILENT)
        make_backup(database.url, "production", tmp_path, verify=False, observer=SILENT)


def test_what_only_the_original_can_have_is_listed_and_does_not_spoil_the_proof(
    databases: Callable[[int], Databases], tmp_path: Path
) -> None:
    with proven_copy(databases(default_major())) as database:
        with connect(database.admin_url, autocommit=True) as connection:
            connection.execute("create schema net")
            connection.execute("create type net.embedding as (x int)")
            connection.execute(
                "create function net.hook() returns trigger language plpgsql as"
                " 'begin return new; end'"
            )
            connection.execute("grant usage on schema net to postgres")
            connection.execute("create table public.extra (id int primary key, e net.embedding)")
            connection.execute("alter table public.extra owner to postgres")
            connection.execute("create view public.extra_v as select * from public.extra")
            connection.execute("grant select on public.extra to anon")
            connection.execute("insert into public.extra values (1, null)")
            connection.execute(
                "create trigger hook after insert on public.electricity_readings"
                " for each row execute function net.hook()"
            )
        report = make_backup(database.url, "local", tmp_path, observer=SILENT)

    assert report.manifest.differences == ()
    assert report.manifest.verified
    listed = "\n".join(report.manifest.left_out)
    assert "table public.extra: " in listed
    assert "trigger public.electricity_readings hook: " in listed
