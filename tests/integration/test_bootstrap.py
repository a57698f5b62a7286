"""A plain PostgreSQL gets Supabase's shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.support.database import Connection, Database
from tests.support.servers import Databases, MakeDatabase
from toolkit.bootstrap import DefaultPrivileges, bootstrap
from toolkit.connection import connect
from toolkit.errors import OperationalError

API_ROLES = ("anon", "authenticated", "service_role")
BOTH_REGIMES = pytest.mark.parametrize("regime", list(DefaultPrivileges))

SHAPE = """
select 'role ' || rolname, to_jsonb(roles) - 'oid' - 'rolpassword'
from pg_catalog.pg_roles as roles where rolname not like 'pg\\_%'
union all
select 'member ' || roleid::regrole::text || ' of ' || member::regrole::text,
  to_jsonb(members) - 'oid'
from pg_catalog.pg_auth_members as members
union all
select 'schema ' || nspname, to_jsonb(schemas) from pg_catalog.pg_namespace as schemas
where nspname !~ '^pg_(toast_)?temp'
union all
select 'function ' || oid::regprocedure::text, jsonb_build_object('acl', proacl, 'body', prosrc)
from pg_catalog.pg_proc where pronamespace in ('auth'::regnamespace, 'extensions'::regnamespace)
union all
select 'table ' || oid::regclass::text, jsonb_build_object('acl', relacl, 'owner', relowner)
from pg_catalog.pg_class where relnamespace = 'auth'::regnamespace
union all
select 'default ' || defaclobjtype::text, to_jsonb(defaults) - 'oid'
from pg_catalog.pg_default_acl as defaults
union all
select 'setting ' || setrole::regrole::text, to_jsonb(setconfig) from pg_catalog.pg_db_role_setting
union all
select 'database', to_jsonb(datdba::regrole) from pg_catalog.pg_database
where datname = current_database()
order by 1
"""


def shape(database: Database) -> list[tuple[object, ...]]:
    with database.admin() as connection:
        return connection.execute(SHAPE.encode()).fetchall()


@pytest.fixture
def plain(make_database: MakeDatabase, major: int) -> Database:
    return make_database(major=major)


@BOTH_REGIMES
def test_a_second_bootstrap_changes_nothing(
    make_database: MakeDatabase, major: int, regime: DefaultPrivileges
) -> None:
    database = make_database(regime=regime, major=major)
    before = shape(database)

    with database.admin() as connection:
        bootstrap(connection, regime)

    assert shape(database) == before


def test_a_bootstrap_commits_on_a_connection_of_either_kind(plain: Database) -> None:
    for autocommit in (True, False):
        connection = plain.admin(autocommit=autocommit)
        with plain.admin() as other:
            other.execute("drop schema auth cascade")
        bootstrap(connection)
        connection.close()
        assert plain.value("select auth.uid()") is None


def test_a_bootstrap_inside_a_transaction_is_the_callers_to_undo(plain: Database) -> None:
    with plain.admin() as connection:
        connection.execute("drop schema auth cascade")
        bootstrap(connection)
        connection.rollback()

    assert plain.value("select auth.uid()") is None


def test_the_migrating_role_is_no_superuser_and_bypasses_row_security(plain: Database) -> None:
    assert plain.rows(
        "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin"
        " from pg_catalog.pg_roles where rolname = current_user and rolname = 'postgres'"
    ) == [(False, True, True, True, True, True)]


def test_the_other_roles_are_as_declared(plain: Database) -> None:
    assert plain.rows(
        "select rolname, rolcanlogin, rolinherit, rolbypassrls from pg_catalog.pg_roles"
        " where rolname in ('anon', 'authenticated', 'service_role', 'authenticator') order by 1"
    ) == [
        ("anon", False, True, False),
        ("authenticated", False, True, False),
        ("authenticator", True, False, False),
        ("service_role", False, True, True),
    ]


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("anon", ["statement_timeout=3s"]),
        ("authenticated", ["statement_timeout=8s"]),
        ("service_role", None),
        ("authenticator", ["statement_timeout=8s", "lock_timeout=8s"]),
    ],
)
def test_roles_have_supabases_time_limits(
    plain: Database, role: str, expected: list[str] | None
) -> None:
    found = plain.value("select rolconfig from pg_catalog.pg_roles where rolname = %s", (role,))

    assert found == expected


@pytest.mark.parametrize("role", API_ROLES)
def test_postgres_and_the_rest_server_may_become_each_api_role(plain: Database, role: str) -> None:
    for url in (plain.url, plain.authenticator_url):
        with connect(url) as connection:
            connection.execute("select set_config('role', %s, true)", (role,))
            assert connection.execute("select current_user::text").fetchone() == (role,)


def test_the_rest_servers_login_has_no_rights_of_its_own(
    make_database: MakeDatabase, major: int
) -> None:
    database = make_database(regime=DefaultPrivileges.GRANT_ALL, major=major)
    database.rows("create table public.things (id integer)")

    with (
        connect(database.authenticator_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select * from public.things")


def test_postgres_owns_the_database_and_creates_in_public_and_nobody_else_does(
    plain: Database,
) -> None:
    assert plain.value(
        "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
    ) == ("postgres")
    plain.rows("create table public.things (id integer)")
    plain.rows("create schema its_own")
    for role in API_ROLES:
        with plain.as_role(role) as request:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), request.transaction():
                request.execute("create table public.theirs (id integer)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), request.transaction():
                request.execute("create schema theirs")


def test_postgres_may_not_touch_what_is_supabases(plain: Database) -> None:
    for statement in (
        "alter table auth.users add column mine text",
        "create table auth.mine (id integer)",
        "drop function auth.uid()",
        "alter role supabase_admin nosuperuser",
        "copy (select 1) to program 'true'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            plain.rows(statement)


def test_postgres_references_users_and_hangs_triggers_on_them(plain: Database) -> None:
    plain.rows("create table public.mine (id uuid references auth.users on delete cascade)")
    plain.rows(
        "create function public.noted() returns trigger language plpgsql security definer"
        " as 'begin insert into public.mine values (new.id); return new; end'"
    )
    plain.rows(
        "create trigger noted after insert on auth.users"
        " for each row execute function public.noted()"
    )
    user = plain.add_user()
    assert plain.rows("select id from public.mine") == [(user,)]

    plain.rows("update auth.users set email = 'new@example.test' where id = %s", (user,))
    plain.rows("delete from auth.users where id = %s", (user,))
    assert plain.rows("select id from public.mine") == []


@pytest.mark.parametrize("role", API_ROLES)
def test_api_roles_do_not_see_users(plain: Database, role: str) -> None:
    with (
        plain.as_role(role) as request,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        request.transaction(),
    ):
        request.execute("select * from auth.users")


def asked(connection: Connection) -> tuple[object, ...] | None:
    return connection.execute("select auth.uid(), auth.role(), auth.email(), auth.jwt()").fetchone()


def test_who_asks_is_read_from_the_claims(plain: Database) -> None:
    user = uuid4()
    with plain.as_user(user, claims={"email": "a@example.test"}) as request:
        assert asked(request) == (
            user,
            "authenticated",
            "a@example.test",
            {"sub": str(user), "role": "authenticated", "email": "a@example.test"},
        )


def test_without_claims_nobody_asks(plain: Database) -> None:
    with plain.connect() as connection:
        assert asked(connection) == (None, None, None, None)


@pytest.mark.parametrize("claims", ["", "{}", json.dumps({"sub": "", "role": None})])
def test_empty_claims_give_null_and_no_error(plain: Database, claims: str) -> None:
    with plain.connect() as connection:
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        found = asked(connection)

    assert found is not None
    assert found[:3] == (None, None, None)


def test_claims_that_were_reset_give_null_and_no_error(plain: Database) -> None:
    with plain.connect(autocommit=True) as connection:
        with connection.transaction():
            connection.execute(
                "select set_config('request.jwt.claims', %s, true)", ('{"sub": "x"}',)
            )
        assert connection.execute("show request.jwt.claims").fetchone() == ("",)
        assert asked(connection) == (None, None, None, None)


def test_claims_of_older_rest_servers_are_read_too(plain: Database) -> None:
    user = UUID("00000000-0000-4000-8000-000000000001")
    with plain.connect() as connection:
        connection.execute(
            "select set_config('request.jwt.claim.sub', %s, true),"
            " set_config('request.jwt.claim.role', 'anon', true),"
            " set_config('request.jwt.claim.email', 'a@example.test', true)",
            (str(user),),
        )
        assert asked(connection) == (user, "anon", "a@example.test", None)


PRIVILEGES = """
select kind, role, privilege from (values
  ('table', 'SELECT'), ('table', 'INSERT'), ('table', 'UPDATE'), ('table', 'DELETE'),
  ('table', 'TRUNCATE'), ('table', 'REFERENCES'), ('table', 'TRIGGER')
) as p (kind, privilege), unnest(%(roles)s::text[]) as role
where has_table_privilege(role, 'public.things', privilege)
union all
select 'sequence', role, privilege
from unnest(array['USAGE', 'SELECT', 'UPDATE']) as privilege, unnest(%(roles)s::text[]) as role
where has_sequence_privilege(role, 'public.numbers', privilege)
union all
select 'function', role, 'EXECUTE' from unnest(%(roles)s::text[]) as role
where has_function_privilege(role, 'public.answer()', 'EXECUTE')
union all
select 'closed function', role, 'EXECUTE' from unnest(%(roles)s::text[]) as role
where has_function_privilege(role, 'public.closed_answer()', 'EXECUTE')
"""

EVERYTHING = {
    *(
        ("table", word)
        for word in ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    ),
    *(("sequence", word) for word in ("USAGE", "SELECT", "UPDATE")),
    ("function", "EXECUTE"),
    ("closed function", "EXECUTE"),
}


def create_things(database: Database, creator: str = "postgres") -> None:
    with database.connect() if creator == "postgres" else database.admin() as connection:
        connection.execute(
            b"create table public.things (id integer);"
            b"create sequence public.numbers;"
            b"create function public.answer() returns integer language sql return 42;"
            b"create function public.closed_answer() returns integer language sql return 42;"
            b"revoke execute on function public.closed_answer() from public;"
        )


def granted(database: Database, role: str) -> set[tuple[str, str]]:
    rows = database.rows(PRIVILEGES, {"roles": [role]})
    return {(kind, privilege) for kind, _, privilege in rows}


@pytest.mark.parametrize("role", API_ROLES)
def test_the_older_regime_opens_everything_that_postgres_creates(
    make_database: MakeDatabase, major: int, role: str
) -> None:
    database = make_database(regime=DefaultPrivileges.GRANT_ALL, major=major)
    create_things(database)

    # Even EXECUTE that was taken from PUBLIC: the API roles hold a grant of their own.
    assert granted(database, role) == EVERYTHING


@pytest.mark.parametrize("role", API_ROLES)
def test_the_newer_regime_leaves_only_execute_of_public(
    make_database: MakeDatabase, major: int, role: str
) -> None:
    database = make_database(regime=DefaultPrivileges.GRANT_NOTHING, major=major)
    create_things(database)

    assert granted(database, role) == {("function", "EXECUTE")}


def test_the_regime_can_be_switched(make_database: MakeDatabase, major: int) -> None:
    database = make_database(regime=DefaultPrivileges.GRANT_ALL, major=major)
    with database.admin() as connection:
        bootstrap(connection, DefaultPrivileges.GRANT_NOTHING)
    create_things(database)

    assert granted(database, "anon") == {("function", "EXECUTE")}


@BOTH_REGIMES
def test_neither_regime_opens_what_another_role_creates(
    make_database: MakeDatabase, major: int, regime: DefaultPrivileges
) -> None:
    database = make_database(regime=regime, major=major)
    create_things(database, creator="supabase_admin")

    assert granted(database, "anon") == {("function", "EXECUTE")}


def test_extensions_give_uuids_and_digests(plain: Database) -> None:
    assert plain.value("select uuid_generate_v4()").version == 4
    assert plain.value("select encode(extensions.digest('x', 'sha256'), 'hex')")[:4] == "2d71"
    with plain.as_role("anon") as request:
        row = request.execute("select extensions.uuid_generate_v4()").fetchone()
        assert row is not None


def test_a_stand_in_says_that_it_is_one(plain: Database) -> None:
    real = plain.value("select count(*) = 1 from pg_extension where extname = 'uuid-ossp'")
    comment = plain.value(
        "select obj_description('extensions.uuid_generate_v4()'::regprocedure, 'pg_proc')"
    )

    assert real or comment.startswith("Stand-in")


def test_it_refuses_anybody_but_the_superuser(plain: Database) -> None:
    with plain.connect() as connection, pytest.raises(OperationalError) as refused:
        bootstrap(connection)

    assert "supabase_admin" in refused.value.message


def test_databases_of_one_server_can_be_given_their_shape_at_once(
    databases: Callable[[int], Databases], major: int
) -> None:
    server = databases(major).server
    names = [f"at_once_{number}" for number in range(4)]
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(server.create_database, names))
        for name in names:
            with connect(server.url(name)) as connection:
                assert connection.execute("select auth.uid()").fetchone() == (None,)
    finally:
        with connect(server.admin_url(), autocommit=True) as connection:
            for name in names:
                connection.execute(f"drop database if exists {name}".encode())
