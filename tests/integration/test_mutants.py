"""Each mutant weakens what its kind says and nothing else, and is undone by a rollback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from tests.support.database import Connection
from tests.support.editions import ALL, NOTHING, Edition, database_of, edition_name
from tests.support.servers import Databases, MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.isolation.declaration import load_access
from toolkit.mutation.catalog import read_catalog
from toolkit.mutation.model import Mutant, MutantKind
from toolkit.mutation.mutants import mutants

pytestmark = pytest.mark.slow

EDITIONS: list[Edition] = [
    (17, StartingPoint.EMPTY, NOTHING),
    (17, StartingPoint.DUAL_WRITE, ALL),
    (15, StartingPoint.EMPTY, ALL),
    (15, StartingPoint.DUAL_WRITE, NOTHING),
]
ACCESS = load_access()
# Before 16, only a superuser gives this attribute away.
KNOWN_REASONS = {"bypassrls: anon", "bypassrls: authenticated"}

# A digest for each aspect of the catalog.
SNAPSHOT = b"""
with
rooms as (
  select oid, nspname, nspacl from pg_namespace where nspname in ('public', 'ledger')
),
relations as (
  select c.* from pg_class as c inner join rooms as n on n.oid = c.relnamespace
),
functions as (
  select p.* from pg_proc as p inner join rooms as n on n.oid = p.pronamespace
),
lines (aspect, line) as (
  select 'policies', p::text from pg_policies as p
  union all
  select 'relations', concat_ws(' ', oid, relkind, relrowsecurity, reloptions, relowner)
  from relations where relkind in ('r', 'p', 'v', 'm', 'S')
  union all
  select 'queries', pg_get_viewdef(oid) from relations where relkind in ('v', 'm')
  union all
  select 'grants', concat_ws(' ', oid, relacl) from relations where relkind <> 'i'
  union all
  select 'grants', concat_ws(' ', attrelid, attnum, attacl)
  from pg_attribute where attrelid in (select r.oid from relations as r) and attacl is not null
  union all
  select 'grants', concat_ws(' ', oid, proacl) from functions
  union all
  select 'grants', n::text from rooms as n
  union all
  select 'grants', datacl::text from pg_database where datname = current_database()
  union all
  select 'defaults', d::text from pg_default_acl as d
  union all
  select 'roles', r::text from pg_roles as r
  union all
  select 'roles', concat_ws(' ', member, roleid) from pg_auth_members
  union all
  select 'functions', concat_ws(' ', oid, prosecdef, proconfig, prosrc, proowner) from functions
  union all
  select 'triggers', concat_ws(' ', pg_get_triggerdef(oid), tgenabled)
  from pg_trigger where not tgisinternal
  union all
  select 'keys', pg_get_indexdef(i.indexrelid)
  from pg_index as i where i.indrelid in (select r.oid from relations as r)
  union all
  select 'keys', concat_ws(' ', conrelid, conname, pg_get_constraintdef(oid))
  from pg_constraint where connamespace in (select n.oid from rooms as n)
)
select aspect, md5(string_agg(line, chr(10) order by line collate "C"))
from lines group by aspect
"""
# What a mutant of each kind may change. Of what is planted, any of it.
ASPECTS = {
    MutantKind.POLICY_DROPPED: [{"policies"}],
    MutantKind.POLICY_TRUE: [{"policies"}],
    MutantKind.POLICY_WIDENED: [{"policies"}],
    MutantKind.POLICY_CONJUNCT: [{"policies"}],
    MutantKind.POLICY_ADDED: [{"policies"}],
    MutantKind.RLS_OFF: [{"relations"}],
    MutantKind.GRANT: [{"grants"}],
    MutantKind.COLUMN_GRANT: [{"grants"}],
    MutantKind.DEFAULT_GRANT: [{"defaults"}],
    MutantKind.MEMBERSHIP: [{"roles"}],
    MutantKind.VIEW_OPTION: [{"relations"}],
    MutantKind.FILTER: [{"functions"}, {"queries"}],
    MutantKind.SEARCH_PATH: [{"functions"}],
    MutantKind.DEFINER: [{"functions"}],
    MutantKind.GUARD: [{"triggers"}, {"functions"}],
    MutantKind.KEY: [{"keys"}],
}


@dataclass(frozen=True)
class Prepared:
    """A connection of postgres to a migrated database, and its mutants."""

    connection: Connection
    found: tuple[Mutant, ...]


@pytest.fixture(scope="module", params=EDITIONS, ids=edition_name)
def prepared(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Prepared]:
    for database in database_of(databases, request.param):
        with database.connect(autocommit=True) as connection:
            yield Prepared(connection, mutants(connection, ACCESS))


def snapshot(connection: Connection) -> dict[str, str]:
    return {str(aspect): str(digest) for aspect, digest in connection.execute(SNAPSHOT)}


def applied(connection: Connection, mutant: Mutant) -> dict[str, str] | str:
    """The snapshot with a mutant, which is rolled back; the server's reason if it refuses."""
    try:
        with connection.transaction(force_rollback=True):
            for statement in mutant.statements:
                connection.execute(statement.encode())
            return snapshot(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        return str(error)


def test_each_mutant_changes_what_its_kind_says_and_rolls_back(prepared: Prepared) -> None:
    before = snapshot(prepared.connection)
    wrong: dict[str, object] = {}
    for mutant in prepared.found:
        after = applied(prepared.connection, mutant)
        if isinstance(after, str):
            if mutant.name not in KNOWN_REASONS:
                wrong[mutant.name] = after
            continue
        changed = {aspect for aspect, _ in before.items() ^ after.items()}
        if not changed or changed not in ASPECTS.get(mutant.kind, [changed]):
            wrong[mutant.name] = changed

    assert not wrong
    assert snapshot(prepared.connection) == before


def test_mutants_are_many_of_every_kind_and_their_names_differ(prepared: Prepared) -> None:
    names = [mutant.name for mutant in prepared.found]

    assert len(names) == len(set(names)) > 1000
    assert {mutant.kind for mutant in prepared.found} == set(MutantKind)
    assert prepared.found == mutants(prepared.connection, ACCESS)
    for expected in (
        'policy dropped: "Users see their own events" on public.token_events',
        "row level security disabled: ledger.readings",
        "grant added: truncate on public.token_events to authenticated",
        "grant added: select on public.electricity_readings_mv to PUBLIC",
        "grant added: create on the database to anon",
        "column grant added: insert (reading_id) on public.token_events to authenticated",
        "column grant added: update (kwh_amount) on public.token_events to service_role",
        "default grant added: select on tables in schema ledger to anon",
        "view security_invoker reset: public.electricity_readings_v",
        "filter removed: e.user_id = calculate_user_positions.p_user_id of "
        "public.calculate_user_positions(uuid)",
        "security definer: public.calculate_user_positions(uuid)",
        "guard calling nothing: token_events_guard_update on public.token_events",
        "key without user_id: token_events_tenant_pkey on public.token_events",
        "key without user_id: electricity_readings_mv_key on public.electricity_readings_mv",
        "foreign key without user_id: token_events_void_of_event_tenant_fkey "
        "on public.token_events",
    ):
        assert expected in names


def test_views_whose_filters_are_left_out_can_be_read_by_nobody(prepared: Prepared) -> None:
    views = read_catalog(prepared.connection, ACCESS).views

    assert [view.view_name for view in views if view.is_readable] == ["electricity_readings_v"]
    for view in views:
        name = sql.Identifier(view.schema_name, view.view_name)
        for role in ACCESS.roles() if view.schema_name == "ledger" else ():
            with prepared.connection.transaction(force_rollback=True):
                prepared.connection.execute("select set_config('role', %s, true)", (role,))
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    prepared.connection.execute(sql.SQL("select 1 from {}").format(name))


def test_a_view_with_a_filter_loses_one_conjunct_at_a_time(make_database: MakeDatabase) -> None:
    database = make_database(migrated=True)
    database.rows(
        "create view public.own with (security_barrier = true) as select * from ledger.readings"
        " where user_id = (select auth.uid()) and (kwh_value > 0 or user_id is not null)"
        " and notes <> 'user_id and x'"
    )
    database.rows("grant select on public.own to authenticated")
    with database.connect() as connection:
        filters = [
            mutant
            for mutant in mutants(connection, ACCESS)
            if mutant.kind is MutantKind.FILTER and mutant.subject == "public.own"
        ]
        texts = []
        for mutant in filters:
            with connection.transaction(force_rollback=True):
                connection.execute(mutant.statements[0].encode())
                texts += connection.execute(
                    "select pg_get_viewdef('public.own'::regclass), reloptions from pg_class"
                    " where oid = 'public.own'::regclass"
                ).fetchall()

    assert len(texts) == 2
    assert ["uid()" in text for text, _ in texts] == [False, True]
    assert ["kwh_value > " in text for text, _ in texts] == [True, False]
    assert all("user_id and x" in text for text, _ in texts)
    assert all(options == ["security_barrier=true"] for _, options in texts)
