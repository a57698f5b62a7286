"""A dump of any format gives the database back, with its users, owners and grants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from tests.support.database import Database
from tests.support.dumps import (
    CUSTOM,
    ODD_NOTES,
    PLAIN,
    WAYS,
    Way,
    contents,
    dump_tools,
    fill_app,
    make_dump,
)
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.local.binaries import Binaries
from toolkit.rehearse.restore import restore_dump

USERS = 3
PER_TABLE = USERS * len(ODD_NOTES)
APP_ROWS = {
    "public.electricity_readings": PER_TABLE,
    "public.recalculation_batches": PER_TABLE,
    "public.token_events": PER_TABLE,
    "public.user_profiles": USERS,
}


@pytest.fixture(scope="module")
def tools() -> Binaries:
    """pg_dump and pg_restore."""
    return dump_tools()


@pytest.fixture
def app(make_database: MakeDatabase) -> Database:
    """A deployed app with rows in all its tables."""
    database = make_database(StartingPoint.DUAL_WRITE)
    fill_app(database, USERS)
    return database


@pytest.fixture
def scratch(make_database: MakeDatabase) -> Database:
    """A fresh database of Supabase's shape."""
    return make_database(StartingPoint.EMPTY)


@pytest.fixture
def stray_role(app: Database, scratch: Database) -> Iterator[str]:
    """A role's name; the role is gone at the end, whoever made it by then."""
    name = "Stray role"
    yield name
    for database in (app, scratch):
        with database.admin() as connection:
            connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
    with app.admin() as connection:
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_full_dump_gives_the_app_back(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, way: Way
) -> None:
    dump = make_dump(app, tools, tmp_path, way)
    report = restore_dump(dump, scratch.admin_url, tools)
    assert contents(scratch, tools) == contents(app, tools)
    assert dict(report.rows) == APP_ROWS
    assert report.left_out == ()
    assert (report.auth_users_kept, report.auth_users_made) == (USERS, 0)
    query = "select id, email from auth.users order by id"
    assert scratch.rows(query) == app.rows(query)
    assert report.gzipped == way.gzipped
    assert way.name.startswith(report.format) or report.format == "plain"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_dump_of_public_alone_gets_its_users_made(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, way: Way
) -> None:
    dump = make_dump(app, tools, tmp_path, way, "--schema=public")
    report = restore_dump(dump, scratch.admin_url, tools)
    assert contents(scratch, tools) == contents(app, tools)
    assert dict(report.rows) == APP_ROWS
    assert report.left_out == ()
    assert (report.auth_users_kept, report.auth_users_made) == (0, USERS)
    query = "select id from auth.users order by id"
    assert scratch.rows(query) == app.rows(query)


def test_a_dump_without_rows_gives_empty_tables(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    dump = make_dump(app, tools, tmp_path, CUSTOM, "--schema-only")
    report = restore_dump(dump, scratch.admin_url, tools)
    assert dict(report.rows) == dict.fromkeys(APP_ROWS, 0)
    assert report.auth_users_made == 0


def test_users_whose_rows_were_not_dumped_are_made(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    dump = make_dump(app, tools, tmp_path, CUSTOM, "--exclude-table-data=auth.users")
    report = restore_dump(dump, scratch.admin_url, tools)
    assert (report.auth_users_kept, report.auth_users_made) == (0, USERS)


def test_the_copy_keeps_no_secret_of_the_users(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    with app.admin() as connection:
        connection.execute("update auth.users set encrypted_password = 'hash'")
    restore_dump(make_dump(app, tools, tmp_path, CUSTOM), scratch.admin_url, tools)
    assert scratch.value("select count(encrypted_password) from auth.users") == 0
    assert scratch.value("select count(*) from pg_namespace where nspname like '%twin%'") == 0


def test_new_users_get_profiles_in_the_copy_as_in_the_original(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    restore_dump(make_dump(app, tools, tmp_path, CUSTOM), scratch.admin_url, tools)
    with scratch.connect() as connection:
        connection.execute("insert into auth.users (id) values (gen_random_uuid())")
    assert scratch.value("select count(*) from public.user_profiles") == USERS + 1


def test_everything_belongs_to_postgres_and_other_owners_are_reported(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, stray_role: str
) -> None:
    with app.admin() as connection:
        role = sql.Identifier(stray_role)
        connection.execute(sql.SQL("create role {}").format(role))
        connection.execute(
            sql.SQL("alter table public.electricity_readings owner to {}").format(role)
        )
    dump = make_dump(app, tools, tmp_path, CUSTOM)
    report = restore_dump(dump, scratch.admin_url, tools)
    assert report.owners == (stray_role,)
    owners = scratch.rows("select distinct tableowner from pg_tables where schemaname = 'public'")
    assert owners == [("postgres",)]


def test_roles_that_only_the_dump_knows_are_made_without_login(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, stray_role: str
) -> None:
    role = sql.Identifier(stray_role)
    with app.admin() as connection:
        connection.execute(sql.SQL("create role {}").format(role))
        connection.execute(sql.SQL("alter table public.token_events owner to {}").format(role))
        connection.execute(sql.SQL("grant select on public.user_profiles to {}").format(role))
        connection.execute(
            sql.SQL(
                "create policy stray on public.user_profiles for select to {} using (true)"
            ).format(role)
        )
    dump = make_dump(app, tools, tmp_path, PLAIN)
    with app.admin() as connection:
        connection.execute(sql.SQL("alter table public.token_events owner to postgres"))
        connection.execute("drop policy stray on public.user_profiles")
        connection.execute(sql.SQL("drop owned by {}").format(role))
        connection.execute(sql.SQL("drop role {}").format(role))
    report = restore_dump(dump, scratch.admin_url, tools)
    assert report.roles_made == (stray_role,)
    assert report.left_out == ()
    assert scratch.rows("select rolcanlogin from pg_roles where rolname = %s", (stray_role,)) == [
        (False,)
    ]
    grants = "select has_table_privilege(%s, 'public.user_profiles', 'select')"
    assert scratch.value(grants, (stray_role,)) is True


def test_without_grants_in_the_dump_supabases_usual_ones_stand_in(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    dump = make_dump(app, tools, tmp_path, CUSTOM, "--no-acl")
    report = restore_dump(dump, scratch.admin_url, tools)
    assert report.grants_assumed
    query = "select has_table_privilege('authenticated', 'public.token_events', 'insert')"
    assert scratch.value(query) is True
    with scratch.connect() as connection:
        connection.execute("create table public.later (id int)")
    later = "select has_table_privilege('anon', 'public.later', 'truncate')"
    assert scratch.value(later) is True


@pytest.mark.parametrize("regime", ["grant", "revoke"])
def test_default_privileges_are_those_of_the_dump(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, regime: str
) -> None:
    words = "grant all on tables to" if regime == "grant" else "revoke all on tables from"
    with app.admin() as connection:
        connection.execute(
            f"alter default privileges for role postgres in schema public {words} anon".encode()
        )
    report = restore_dump(make_dump(app, tools, tmp_path, PLAIN), scratch.admin_url, tools)
    assert not report.grants_assumed
    with scratch.connect() as connection:
        connection.execute("create table public.later (id int)")
    later = "select has_table_privilege('anon', 'public.later', 'select')"
    assert scratch.value(later) is (regime == "grant")


def test_progress_is_told_by_table(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    told: dict[str, int] = {}
    dump = make_dump(app, tools, tmp_path, CUSTOM)
    restore_dump(dump, scratch.admin_url, tools, told.__setitem__)
    assert told == APP_ROWS


def test_a_dump_of_an_older_server_is_restored(
    make_database: MakeDatabase, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    old = make_database(StartingPoint.DUAL_WRITE, major=15)
    fill_app(old, USERS)
    report = restore_dump(make_dump(old, tools, tmp_path, CUSTOM), scratch.admin_url, tools)
    assert dict(report.rows) == APP_ROWS
    assert (report.dumped_from or "").startswith("15.")
    assert contents(scratch, tools).count("CREATE POLICY") == 13
