"""What only Supabase has is left out and listed; the rest of a user's database comes along."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg import sql

from tests.support.database import Database
from tests.support.dumps import (
    CUSTOM,
    PLAIN,
    Way,
    contents,
    dump_tools,
    fill_app,
    make_dump,
)
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.local.binaries import Binaries
from toolkit.rehearse.report import RestoreReport
from toolkit.rehearse.restore import restore_dump

INSERTS = Way("inserts", ("--inserts",))
NO_OWNER = Way("no-owner", ("--no-owner",))

# Stand-ins of our own for what Supabase's schemas hold.
SUPABASE = """
create schema storage;
create table storage.objects (id uuid primary key, name text);
insert into storage.objects values (gen_random_uuid(), 'photo.png');
create schema realtime;
create table realtime.messages (id int);
create schema supabase_functions;
create function supabase_functions.http_request() returns trigger
language plpgsql as 'begin return new; end';
create schema net;
create function net.http_post(url text) returns bigint language sql as 'select 1::bigint';
create schema vault;
create table vault.secrets (secret text);
create function auth.is_member() returns boolean language sql stable as 'select true';
alter table auth.users add column confirmation_token text, add column confirmed_at timestamptz
generated always as (least(email_confirmed_at)) stored;
"""

# What users build on it.
WEBHOOK = """
create trigger webhook after insert on public.token_events
for each row execute function supabase_functions.http_request();
"""
NOTIFY = """
create function public.notify() returns trigger language plpgsql as
'begin perform net.http_post(url := $$https://example.test$$); return new; end';
create trigger notify after insert on public.token_events
for each row execute function public.notify();
"""
PHOTOS = """
create view public.v_photos as select id, name from storage.objects;
comment on view public.v_photos is 'photos';
grant select on public.v_photos to anon;
create view public.v_photo_names as select name from public.v_photos;
"""


@pytest.fixture(scope="module")
def tools() -> Binaries:
    """pg_dump and pg_restore."""
    return dump_tools()


@pytest.fixture
def app(make_database: MakeDatabase) -> Database:
    """A deployed app beside stand-ins of Supabase's schemas."""
    database = make_database(StartingPoint.DUAL_WRITE)
    fill_app(database)
    run(database, SUPABASE)
    return database


@pytest.fixture
def scratch(make_database: MakeDatabase) -> Database:
    """A fresh database of Supabase's shape."""
    return make_database(StartingPoint.EMPTY)


def run(database: Database, statements: str) -> None:
    with database.admin() as connection:
        connection.execute(statements.encode())


def listed(report: RestoreReport) -> dict[str, str]:
    return {f"{item.type} {item.name}": item.reason for item in report.left_out}


def test_supabases_own_schemas_are_left_to_the_bootstrap(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    report = restore_dump(make_dump(app, tools, tmp_path, CUSTOM), scratch.admin_url, tools)
    assert report.left_out == ()
    expected = {"auth", "net", "realtime", "storage", "supabase_functions", "vault"}
    assert expected <= set(report.schemas_skipped)
    assert contents(scratch, tools) == contents(app, tools)
    assert scratch.value("select to_regnamespace('storage') is null") is True


@pytest.mark.parametrize("way", [CUSTOM, PLAIN, INSERTS], ids=lambda way: way.name)
def test_users_come_through_a_table_of_supabases_shape(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, way: Way
) -> None:
    report = restore_dump(make_dump(app, tools, tmp_path, way), scratch.admin_url, tools)
    assert report.auth_users_kept == 3
    assert scratch.value("select count(*) from auth.users where email like 'user%'") == 3


@pytest.mark.parametrize("way", [CUSTOM, INSERTS], ids=lambda way: way.name)
def test_views_over_storage_are_listed_once_without_their_grants(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, way: Way
) -> None:
    run(app, PHOTOS)
    report = restore_dump(make_dump(app, tools, tmp_path, way), scratch.admin_url, tools)
    assert listed(report) == {
        "VIEW public.v_photos": 'relation "storage.objects" does not exist',
        "VIEW public.v_photo_names": 'relation "public.v_photos" does not exist',
    }


def test_triggers_that_cannot_work_here_are_left_out_and_listed(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    run(app, WEBHOOK + NOTIFY)
    report = restore_dump(make_dump(app, tools, tmp_path, CUSTOM), scratch.admin_url, tools)
    assert listed(report) == {
        "TRIGGER public.token_events webhook": 'schema "supabase_functions" does not exist',
        "TRIGGER public.token_events notify": (
            "its function uses net.http_post, which this server does not have"
        ),
    }
    with scratch.connect() as connection:
        connection.execute(
            "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
            " select id, 'TOPUP', now(), 1 from public.user_profiles limit 1"
        )


def test_policies_of_the_users_own_schemas_come_along(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    run(
        app,
        "create schema private;"
        " create function private.is_admin() returns boolean language sql as 'select true';"
        " create policy admins on public.electricity_readings for select"
        " using (private.is_admin() or auth.is_member());",
    )
    report = restore_dump(make_dump(app, tools, tmp_path, CUSTOM), scratch.admin_url, tools)
    assert report.left_out == ()
    schemas = ("public", "private")
    with app.admin() as connection:
        connection.execute("alter schema private owner to postgres")
        connection.execute("alter function private.is_admin() owner to postgres")
    assert contents(scratch, tools, schemas) == contents(app, tools, schemas)


def test_a_policy_that_hangs_on_a_schema_not_dumped_is_listed(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    run(
        app,
        "create policy members on public.electricity_readings for select using (auth.is_member())",
    )
    dump = make_dump(app, tools, tmp_path, CUSTOM, "--schema=public")
    report = restore_dump(dump, scratch.admin_url, tools)
    assert listed(report) == {
        "POLICY public.electricity_readings members": "function auth.is_member() does not exist"
    }


def test_tables_of_public_that_point_at_users_get_them(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    run(
        app,
        'create table public."Odd ""table""" ("who'
        's" uuid references auth.users (id));'
        " insert into auth.users (id) values (gen_random_uuid());"
        " delete from public.user_profiles where display_name is null;"
        ' insert into public."Odd ""table""" select id from auth.users;',
    )
    dump = make_dump(app, tools, tmp_path, CUSTOM, "--schema=public")
    report = restore_dump(dump, scratch.admin_url, tools)
    assert report.left_out == ()
    assert report.auth_users_made == 4
    assert report.rows['public.Odd "table"'] == 4


def test_a_table_that_needs_storage_is_listed_and_its_rows_are_passed_over(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    run(
        app,
        "create domain storage.bucket as text;"
        " create table public.files (id int primary key, bucket storage.bucket);"
        " create index files_bucket on public.files (bucket);"
        " alter table public.files enable row level security;"
        " create policy files on public.files using (true);"
        " insert into public.files values (1, 'a');",
    )
    report = restore_dump(make_dump(app, tools, tmp_path, CUSTOM), scratch.admin_url, tools)
    assert listed(report) == {"TABLE public.files": 'schema "storage" does not exist'}
    assert "public.files" not in report.rows


def test_nothing_that_reaches_outside_is_made(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    run(
        app,
        "create extension postgres_fdw with schema extensions;"
        " create server far foreign data wrapper postgres_fdw options (host 'example.test');"
        " create user mapping for postgres server far options (password 'secret');"
        " create foreign table public.far (id int) server far;"
        " create subscription copy connection 'host=example.test' publication p"
        " with (connect = false);",
    )
    try:
        report = restore_dump(make_dump(app, tools, tmp_path, CUSTOM), scratch.admin_url, tools)
    finally:
        with app.admin(autocommit=True) as connection:
            connection.execute("alter subscription copy set (slot_name = none)")
            connection.execute("drop subscription copy")
    outside = "it reaches outside this machine"
    assert listed(report) == {
        "EXTENSION postgres_fdw": "not made in a rehearsal",
        "SERVER far": outside,
        "USER MAPPING USER MAPPING postgres SERVER far": outside,
        "FOREIGN TABLE public.far": outside,
        "SUBSCRIPTION copy": outside,
    }


@pytest.mark.parametrize("more", [(), ("--schema=public",)], ids=["full", "public"])
def test_harmless_extensions_are_made_where_the_tables_need_them(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, more: tuple[str, ...]
) -> None:
    run(
        app,
        "create extension citext with schema extensions;"
        " create extension pg_trgm with schema extensions;"
        " alter table public.user_profiles add column handle extensions.citext;"
        " create index on public.electricity_readings"
        " using gin (notes extensions.gin_trgm_ops);"
        " create function public.uuid_generate_v4() returns uuid language sql"
        " as 'select gen_random_uuid()';"
        " alter table public.token_events alter column id set default public.uuid_generate_v4();",
    )
    dump = make_dump(app, tools, tmp_path, PLAIN, *more)
    text = dump.read_text("utf-8")
    start = text.index("CREATE FUNCTION public.uuid_generate_v4()")
    # As if the function came with an extension, which a dump of public alone does not name.
    dump.write_text(text[:start] + text[text.index("$$;", start) + 4 :], "utf-8")
    report = restore_dump(dump, scratch.admin_url, tools)
    assert {item.type for item in report.left_out} <= {"FUNCTION"}
    assert scratch.value("select public.uuid_generate_v4() is not null") is True
    assert (
        scratch.value("select count(*) from pg_extension where extname in ('citext', 'pg_trgm')")
        == 2
    )


@pytest.mark.parametrize("way", [CUSTOM, NO_OWNER], ids=lambda way: way.name)
def test_objects_of_every_kind_come_back_as_they_were(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path, way: Way
) -> None:
    with app.connect() as connection:
        connection.execute(EVERY_KIND.encode())
    report = restore_dump(make_dump(app, tools, tmp_path, way), scratch.admin_url, tools)
    assert report.left_out == ()
    assert contents(scratch, tools) == contents(app, tools)
    tables = scratch.rows("select schemaname, tablename from pg_publication_tables")
    assert tables == [("public", "token_events")]


EVERY_KIND = """
create type public.mood as enum ('low', 'high');
create domain public.kwh as numeric check (value >= 0);
create type public.pair as (a int, b text);
create sequence public.counter;
create table public."Weird; Type: TABLE" (id serial primary key, n int generated always as identity,
  "it's" text, m public.mood, k public.kwh, p public.pair);
insert into public."Weird; Type: TABLE" ("it's", m, k, p) values ('x', 'low', 1, (1, 'a'));
create table public.parted (id int, day date, primary key (id, day)) partition by range (day);
create table public.parted_1 partition of public.parted
  for values from ('2026-01-01') to ('2027-01-01');
insert into public.parted values (1, '2026-05-05');
create view public.newest with (security_invoker = true) as
  select * from public.token_events order by event_date desc limit 1;
create materialized view public.totals as select count(*) from public.electricity_readings;
create unique index on public.totals (count);
create function public.total(int, variadic text[]) returns bigint language sql
  begin atomic select count from public.totals; end;
create procedure public.nothing() language plpgsql as 'begin
--
-- Name: fake; Type: TABLE; Schema: public; Owner: me
--
end';
create aggregate public.product(numeric) (sfunc = numeric_mul, stype = numeric);
create rule nothing as on delete to public.newest do instead nothing;
create statistics public.both on user_id, event_date from public.token_events;
create publication supabase_realtime for table public.token_events;
"""


@pytest.fixture
def rolled_out(make_database: MakeDatabase) -> Database:
    """The app with the first of the phases applied, as the CLI leaves it."""
    database = make_database(StartingPoint.DUAL_WRITE)
    fill_app(database)
    with database.connect() as connection:
        connection.execute(
            "create schema supabase_migrations;"
            " create table supabase_migrations.schema_migrations"
            " (version text primary key, statements text[], name text);"
            " insert into supabase_migrations.schema_migrations"
            " values ('20261101000001', array['select ''x'';'], 'baseline');"
            " create schema ledger;"
            " create table ledger.settings (time_zone text);"
            " insert into ledger.settings values ('Asia/Jakarta');"
        )
    return database


def test_a_rollout_that_has_begun_goes_on_from_its_history(
    rolled_out: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    dump = make_dump(rolled_out, tools, tmp_path, CUSTOM)
    report = restore_dump(dump, scratch.admin_url, tools)
    assert report.left_out == ()
    schemas = ("public", "ledger", "supabase_migrations")
    assert contents(scratch, tools, schemas) == contents(rolled_out, tools, schemas)
    owner = "select tableowner from pg_tables where tablename = 'schema_migrations'"
    assert scratch.value(owner) == "postgres"


def test_a_failure_within_our_own_schema_stops_the_rehearsal(
    rolled_out: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    with rolled_out.admin() as connection:
        connection.execute("create type auth.level as enum ('aal1')")
        connection.execute("alter table ledger.settings add column level auth.level")
    dump = make_dump(rolled_out, tools, tmp_path, CUSTOM)
    with pytest.raises(Exception, match=r'table ledger\.settings .* type "auth\.level"'):
        restore_dump(dump, scratch.admin_url, tools)


def test_names_are_quoted_wherever_they_go(
    app: Database, scratch: Database, tools: Binaries, tmp_path: Path
) -> None:
    name = 'Robert"); drop table public.token_events; --'
    table = sql.Identifier("public", name)
    with app.connect() as connection:
        connection.execute(sql.SQL("create table {} (id int)").format(table))
        connection.execute(sql.SQL("insert into {} values (1)").format(table))
    report = restore_dump(make_dump(app, tools, tmp_path, PLAIN), scratch.admin_url, tools)
    assert report.rows[f"public.{name}"] == 1
    assert report.rows["public.token_events"] > 0
