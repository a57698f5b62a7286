"""A restore: into an empty database only, all of it or nothing, and equal to the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from tests.support.backups import Silent
from tests.support.database import Database
from tests.support.dumps import fill_app
from tests.support.processes import kill, python, wait_until
from tests.support.proven import proven
from tests.support.servers import Databases, MakeDatabase, binaries_of, default_major
from toolkit.bootstrap import DefaultPrivileges, StartingPoint
from toolkit.connection import connect
from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.local.temporary import temporary_server
from toolkit.operations.backup import restore
from toolkit.operations.backup.compare import compare
from toolkit.operations.backup.facts import Facts, read_facts
from toolkit.operations.backup.listing import Backup, sound
from toolkit.operations.backup.make import make_backup
from toolkit.operations.backup.manifest import DUMP_FILE, write_manifest
from toolkit.operations.backup.restore import restore_backup
from toolkit.operations.backup.target import check_target
from toolkit.validation.run import validate

SILENT = Silent()
ANYTHING = (
    "select count(*) from pg_class where relnamespace::regnamespace::text in"
    " ('public', 'ledger', 'supabase_migrations')"
)


@pytest.fixture(scope="module")
def backup(
    databases: Callable[[int], Databases], tmp_path_factory: pytest.TempPathFactory
) -> Backup:
    """Of a migrated database with every hard case."""
    root = tmp_path_factory.mktemp("backups")
    url = proven(databases(default_major())).url
    return sound(make_backup(url, "staging", root, verify=False, observer=SILENT).path)


def facts(database: Database) -> Facts:
    with database.connect() as connection:
        return read_facts(connection)


@pytest.mark.parametrize("regime", DefaultPrivileges)
def test_everything_comes_back_whatever_the_target_grants_by_default(
    regime: DefaultPrivileges, backup: Backup, make_database: MakeDatabase
) -> None:
    target = make_database(regime=regime)
    report = restore_backup(target.url, backup, observer=SILENT)

    assert backup.manifest is not None
    assert report.rows == backup.manifest.facts.rows
    assert backup.manifest.facts.users is not None
    assert report.users_added == backup.manifest.facts.users.rows
    left = compare(backup.manifest.facts, facts(target))
    assert [difference.name for difference in left] == [
        "constraint electricity_readings_user_id_fkey of public.electricity_readings"
    ]
    assert validate(target.url).valid


def test_a_database_before_the_rollout_goes_from_15_to_17(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    old = make_database(StartingPoint.DUAL_WRITE, major=15)
    fill_app(old)
    made = make_backup(old.url, "local", tmp_path, verify=False, observer=SILENT)
    target = make_database(major=17)

    restore_backup(target.url, sound(made.path), observer=SILENT)

    assert facts(target).tables == facts(old).tables
    newer = make_backup(target.url, "local", tmp_path / "new", verify=False, observer=SILENT)
    with pytest.raises(UsageError, match="17"):
        restore_backup(make_database(major=15).url, sound(newer.path), observer=SILENT)


def test_triggers_on_users_and_publications_come_back(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    original = make_database(migrated=True)
    user = original.add_user()
    original.rows("create publication supabase_realtime for table public.token_events")
    made = make_backup(original.url, "local", tmp_path, verify=False, observer=SILENT)
    target = make_database()
    target.rows("create publication supabase_realtime")

    report = restore_backup(target.url, sound(made.path), observer=SILENT)

    assert report.notes == ()
    assert target.rows("select tablename from pg_publication_tables") == [("token_events",)]
    assert target.value("select count(*) from public.user_profiles") == 1
    with target.connect() as connection:
        connection.execute("insert into auth.users (id) values (gen_random_uuid())")
    assert target.value("select count(*) from public.user_profiles") == 2
    assert target.rows("select email from auth.users where id = %s", (user,)) == [
        (f"{user}@example.test",)
    ]
    elsewhere = make_database()
    report = restore_backup(elsewhere.url, sound(made.path), observer=SILENT)
    assert ["supabase_realtime" in note for note in report.notes] == [True]


@pytest.mark.parametrize("point", [StartingPoint.LEGACY_ONLY, StartingPoint.DUAL_WRITE])
def test_a_target_that_holds_something_is_refused_by_name(
    point: StartingPoint, backup: Backup, make_database: MakeDatabase
) -> None:
    target = make_database(point)
    before = facts(target)
    with pytest.raises(UsageError, match="not empty") as refused:
        restore_backup(target.url, backup, observer=SILENT)

    assert "public.electricity_readings" in refused.value.details
    assert facts(target) == before


@pytest.mark.parametrize(
    "fault",
    [
        'drop policy "Users can view own readings" on public.electricity_readings',
        "delete from ledger.settings",
        "grant select on ledger.settings to anon",
    ],
)
def test_a_restore_that_is_not_the_original_is_not_kept(
    fault: str, backup: Backup, make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = read_facts

    def spoilt(connection: psycopg.Connection[TupleRow]) -> Facts:
        connection.execute(fault.encode())
        return original(connection)

    monkeypatch.setattr(restore, "read_facts", spoilt)
    target = make_database()
    with pytest.raises(FindingsError, match="differs from the backup in 1 points"):
        restore_backup(target.url, backup, observer=SILENT)

    assert target.value(ANYTHING) == 0
    assert target.value("select count(*) from auth.users") == 0


def test_a_target_without_what_the_app_needs_is_one_error_and_stays_empty(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    original = make_database(StartingPoint.DUAL_WRITE)
    with original.admin() as connection:
        connection.execute("create extension pg_trgm with schema extensions")
        connection.execute(
            "create index by_note on public.token_events using gin (notes extensions.gin_trgm_ops)"
        )
    report = make_backup(original.url, "local", tmp_path, observer=SILENT)
    assert report.manifest.verified
    target = make_database()

    with pytest.raises(OperationalError, match=r"index public\.by_note cannot be restored") as no:
        restore_backup(target.url, sound(report.path), observer=SILENT)

    assert no.value.details == ("extension pg_trgm is missing in the target",)
    assert target.value(ANYTHING) == 0


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a dump may be loaded."""

    def loading(*_: object, **__: object) -> None:
        raise AssertionError("it began to load")

    monkeypatch.setattr(restore, "load", loading)


def refused_by(url: str, backup: Backup) -> UsageError:
    """The one error of a target, whether it is tried or only asked about."""
    assert backup.manifest is not None
    with pytest.raises(UsageError) as tried:
        restore_backup(url, backup, observer=SILENT)
    with pytest.raises(UsageError) as asked:
        check_target(url, backup.manifest)
    assert (tried.value.message, tried.value.details) == (asked.value.message, asked.value.details)
    return tried.value


@pytest.mark.usefixtures("unloaded")
def test_a_plain_database_is_refused_before_anything_is_done(
    backup: Backup, databases: Callable[[int], Databases]
) -> None:
    """On the same server, so that its roles are there: schema auth is not."""
    server = databases(default_major()).server
    with connect(server.admin_url(), autocommit=True) as connection:
        connection.execute("create database plain template template0")
        try:
            error = refused_by(server.admin_url("plain"), backup)
        finally:
            connection.execute("drop database plain with (force)")

    assert "no database of Supabase's shape" in error.message
    assert error.details == (
        *("column auth.users.email", "column auth.users.id"),
        *("function auth.uid()", "schema auth"),
    )
    assert "create a Supabase project first" in error.next_step
    assert "meterledger local start" in error.next_step


@pytest.mark.usefixtures("unloaded")
def test_a_server_without_supabases_roles_is_refused(backup: Backup) -> None:
    with temporary_server(binaries=binaries_of(default_major())) as server:
        server.create_database("target", DefaultPrivileges.GRANT_ALL)
        with connect(server.admin_url(), autocommit=True) as connection:
            connection.execute("alter role anon rename to somebody")
            connection.execute("alter role service_role rename to something")
        error = refused_by(server.url("target"), backup)

    assert error.message.endswith("it lacks role anon and 1 more")
    assert error.details == ("role anon", "role service_role")
    assert "create a Supabase project first" in error.next_step


@pytest.mark.usefixtures("unloaded")
def test_a_target_without_the_apps_own_roles_names_them(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    original = make_database(StartingPoint.DUAL_WRITE)
    table = "public.token_events"
    with original.admin(autocommit=True) as connection:
        for role in ("reporter", "reader"):
            connection.execute(f"create role {role}".encode())
        connection.execute(f"grant select on {table} to reporter".encode())
        connection.execute(f"create policy p on {table} for select to reader using (true)".encode())
        made = make_backup(original.url, "local", tmp_path, verify=False, observer=SILENT)
        for role in ("reporter", "reader"):
            connection.execute(f"drop owned by {role}".encode())
            connection.execute(f"drop role {role}".encode())
    error = refused_by(make_database().url, sound(made.path))

    assert error.message == "the target lacks roles of the backup: reader, reporter"
    assert "create role" in error.next_step


def test_a_restored_copy_says_what_it_has_become(
    backup: Backup, make_database: MakeDatabase, tmp_path: Path
) -> None:
    source = make_database()
    restore_backup(source.url, backup, environment="staging", observer=SILENT)
    source.rows("update ledger.settings set environment = 'staging'")
    made = make_backup(source.url, "staging", tmp_path, verify=False, observer=SILENT)
    target = make_database()

    report = restore_backup(target.url, sound(made.path), environment="production", observer=SILENT)

    assert target.value("select environment from ledger.settings") == "production"
    assert any("staging" in note and "production" in note for note in report.notes)


def test_a_damaged_backup_is_refused_before_anything_is_done(
    backup: Backup, tmp_path: Path
) -> None:
    copy = tmp_path / backup.name
    shutil.copytree(backup.path, copy)
    assert sound(copy).problem is None
    whole = (copy / DUMP_FILE).read_bytes()
    (copy / DUMP_FILE).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    with pytest.raises(OperationalError, match=r"damaged: dump\.custom has changed"):
        sound(copy)


def test_a_truncated_dump_whose_sum_was_forged_leaves_nothing(
    backup: Backup, make_database: MakeDatabase, tmp_path: Path
) -> None:
    copy = tmp_path / backup.name
    shutil.copytree(backup.path, copy)
    whole = (copy / DUMP_FILE).read_bytes()
    (copy / DUMP_FILE).write_bytes(whole[: len(whole) * 2 // 3])
    assert backup.manifest is not None
    write_manifest(copy, replace(backup.manifest, environment="forged"))
    target = make_database()

    with pytest.raises(OperationalError):
        restore_backup(target.url, replace(backup, path=copy), observer=SILENT)

    assert target.value(ANYTHING) == 0


_RESTORE = """
import sys, threading
from pathlib import Path
from tests.support.backups import Silent
from toolkit.local.temporary import temporary_server
from toolkit.operations.backup import restore
from toolkit.operations.backup.listing import sound

def hang(connection):
    connection.execute("select pg_advisory_lock(4711)")
    threading.Event().wait()
restore.read_facts = hang
restore.restore_backup(sys.argv[1], sound(Path(sys.argv[2])), observer=Silent())
"""


def test_a_restore_that_is_killed_just_before_its_end_leaves_nothing(
    backup: Backup, make_database: MakeDatabase
) -> None:
    target = make_database()
    held = "select count(*) from pg_locks where locktype = 'advisory' and granted and objid = 4711"
    with python(_RESTORE, target.url, backup.path) as process:
        wait_until(lambda: bool(target.value(held)))
        kill(process.pid)
        process.communicate()
    wait_until(lambda: not target.value(held))

    assert target.value(ANYTHING) == 0
    restore_backup(target.url, backup, observer=SILENT)
