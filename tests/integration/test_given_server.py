"""A server that somebody else made: plain, or with what Supabase's own image brings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.given import GivenServer, given_databases
from tests.support.servers import Template, binaries_of, default_major
from tests.support.source import Kind, Source
from toolkit.bootstrap import DefaultPrivileges, StartingPoint
from toolkit.connection import connect
from toolkit.errors import UsageError
from toolkit.local.server import Server
from toolkit.local.temporary import temporary_server

# What Supabase's image holds before its sign-in server has run: not as our bootstrap makes it.
THEIRS = """
drop schema auth cascade;
create role supabase_auth_admin noinherit createrole login;
create schema auth authorization supabase_admin;
create table auth.users (
  instance_id uuid,
  id uuid not null unique,
  aud varchar(255),
  role varchar(255),
  email varchar(255) unique,
  encrypted_password varchar(255),
  confirmed_at timestamptz,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  is_super_admin bool,
  created_at timestamptz,
  updated_at timestamptz,
  constraint users_pkey primary key (id)
);
comment on table auth.users is 'Auth: Stores user login data within a secure schema.';
grant all on schema auth to supabase_auth_admin;
alter table auth.users owner to supabase_auth_admin;
create function auth.uid() returns uuid language sql stable as $function$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
  )::uuid
$function$;
alter function auth.uid() owner to supabase_auth_admin;
alter role anon set statement_timeout = '4s';
alter role authenticator set idle_session_timeout = '1h';
alter role service_role createdb;
alter schema extensions owner to supabase_admin;
"""
HELD = """
select 'role ' || rolname, to_jsonb(r) - 'rolpassword' from pg_catalog.pg_roles as r
where rolname !~ '^pg_'
union all
select 'column ' || attname, jsonb_build_object('type', atttypid::regtype, 'nullable', attnotnull)
from pg_catalog.pg_attribute where attrelid = 'auth.users'::regclass and attnum > 0
union all
select 'users', jsonb_build_object(
  'owner', relowner::regrole, 'security', relrowsecurity, 'says', obj_description(oid, 'pg_class')
)
from pg_catalog.pg_class where oid = 'auth.users'::regclass
union all
select 'uid', jsonb_build_object('owner', proowner::regrole, 'body', prosrc)
from pg_catalog.pg_proc where oid = 'auth.uid()'::regprocedure
union all
select 'schema ' || nspname, to_jsonb(nspowner::regrole) from pg_catalog.pg_namespace
where nspname in ('auth', 'extensions')
order by 1
"""


@pytest.fixture(scope="module")
def somebodys() -> Iterator[Server]:
    """The server that is given to the tests below; of its own, for its roles are changed."""
    with temporary_server(binaries=binaries_of(default_major())) as server:
        with connect(server.admin_url()) as connection:
            connection.execute("drop schema auth cascade")
        yield server


@pytest.fixture(scope="module")
def supabases() -> Iterator[Server]:
    """One whose first database, and so each copy, is as Supabase's image has it."""
    with temporary_server(binaries=binaries_of(default_major())) as server:
        with connect(server.admin_url()) as connection:
            connection.execute(THEIRS.encode())
        yield server


def given(server: Server) -> Source:
    return Source(Kind.GIVEN, default_major(), server.admin_url())


def names(server: Server) -> list[str]:
    with connect(server.admin_url()) as connection:
        query = "select datname::text from pg_catalog.pg_database order by 1"
        return [name for (name,) in connection.execute(query)]


def held(url: str) -> list[tuple[object, ...]]:
    with connect(url) as connection:
        return connection.execute(HELD.encode()).fetchall()


def test_a_plain_server_is_given_the_shape_and_nothing_is_left(somebodys: Server) -> None:
    before = names(somebodys)

    with given_databases(given(somebodys)) as databases:
        database = databases.make(Template(StartingPoint.DUAL_WRITE))
        user = database.add_user()
        with database.as_user(user) as request:
            row = request.execute("select auth.uid(), current_user::text").fetchone()
        assert row == (user, "authenticated")

    assert names(somebodys) == before


def test_two_runs_on_one_server_do_not_meet(somebodys: Server) -> None:
    with given_databases(given(somebodys)) as first:
        kept = first.make(Template())
        with given_databases(given(somebodys)) as second:
            assert second.make(Template()).name != kept.name
        assert kept.name in names(somebodys)


def test_text_sorts_as_on_an_embedded_server(somebodys: Server, server: Server) -> None:
    query = """
        select datcollate, datlocprovider, pg_encoding_to_char(encoding), 'a' < 'B', lower('Ä')
        from pg_catalog.pg_database where datname = current_database()
    """
    with given_databases(given(somebodys)) as databases, connect(server.url()) as embedded:
        expected = embedded.execute(query).fetchall()
        assert databases.make(Template()).rows(query) == expected


@pytest.mark.parametrize("regime", list(DefaultPrivileges))
def test_what_supabases_image_brings_stays_as_it_is(
    supabases: Server, regime: DefaultPrivileges
) -> None:
    before = held(supabases.admin_url())
    server = GivenServer(supabases.admin_url())
    try:
        server.create_database(f"{server.prefix}copy", regime)
        assert held(server.admin_url(f"{server.prefix}copy")) == before
    finally:
        server.drop_databases()


def test_the_rollout_goes_onto_what_supabases_image_brings(supabases: Server) -> None:
    with given_databases(given(supabases)) as databases:
        database = databases.make(
            Template(StartingPoint.DUAL_WRITE, migrated=True, time_zone="UTC")
        )
        user, other = database.add_user(), database.add_user()
        database.rows(
            "insert into public.electricity_readings (user_id, date, kwh_value)"
            " values (%s, '2026-01-01', 5), (%s, '2026-01-01', 6)",
            (user, other),
        )
        with database.as_user(user) as request:
            assert request.execute("select auth.uid()").fetchone() == (user,)
            seen = request.execute("select user_id, kwh_value from electricity_readings_v")
            assert seen.fetchall() == [(user, 5)]


def test_another_version_than_the_asked_one_is_refused(somebodys: Server) -> None:
    other = 15 if default_major() == 17 else 17
    wrong = Source(Kind.GIVEN, other, somebodys.admin_url())

    told = f"PostgreSQL {other} was asked for"
    with pytest.raises(UsageError, match=told), given_databases(wrong):
        pass
