"""Every key of a table of users names its user: no collision, no probe, ready to be sharded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.database import Database
from tests.support.editions import EDITIONS, database_of, edition_name
from tests.support.servers import Databases

# Unique keys of tables of users without user_id in them, each with its reason.
KEYS_OF_NO_TENANT = {
    "public.electricity_readings_pkey": "the legacy table keeps the key that its clients know",
    "ledger.migration_rejects_pkey": "names a legacy row by the legacy key; it may have no profile",
    "ledger.set_aside_pkey": "a number made by the database; nobody outside writes the table",
}


@pytest.fixture(scope="module", params=EDITIONS, ids=edition_name)
def catalog(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from database_of(databases, request.param)


def test_every_key_of_a_table_of_users_names_the_user(catalog: Database) -> None:
    without = catalog.rows(
        "select format('%%s.%%s', relnamespace::regnamespace, relname)"
        " from pg_index join pg_class on pg_class.oid = indexrelid"
        " join pg_attribute on attrelid = indrelid and attname = 'user_id'"
        " where indisunique and attnum <> all (indkey::smallint[])"
        " and relnamespace in ('public'::regnamespace, 'ledger'::regnamespace)",
        (),
    )

    assert {name for (name,) in without} == set(KEYS_OF_NO_TENANT)


def test_events_and_recalculations_are_keyed_by_user_and_id(catalog: Database) -> None:
    keys = catalog.rows(
        "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint"
        " where contype = 'p' and conrelid in ('public.token_events'::regclass,"
        " 'public.recalculation_batches'::regclass, 'ledger.readings'::regclass)"
    )

    assert {definition for _, definition in keys} == {"PRIMARY KEY (user_id, id)"}
    assert len(keys) == 3


def test_every_foreign_key_between_tables_of_users_carries_the_user(catalog: Database) -> None:
    keys = catalog.rows(
        "select conname::text, convalidated, exists ("
        "   select from unnest(conkey, confkey) as pair (here, there)"
        "   join pg_attribute as h on h.attrelid = conrelid and h.attnum = here"
        "   join pg_attribute as t on t.attrelid = confrelid and t.attnum = there"
        "   where h.attname = 'user_id' and t.attname = 'user_id')"
        " from pg_constraint where contype = 'f'"
        " and exists (select from pg_attribute where attrelid = conrelid and attname = 'user_id')"
        " and exists (select from pg_attribute where attrelid = confrelid and attname = 'user_id')"
    )

    assert keys, "void_of_event refers to an event"
    assert {(valid, carries) for _, valid, carries in keys} == {(True, True)}


def test_the_profile_is_what_a_users_rows_hang_on(catalog: Database) -> None:
    keys = catalog.rows(
        "select conrelid::regclass::text, convalidated, confdeltype::text from pg_constraint"
        " where contype = 'f' and confrelid = 'public.user_profiles'::regclass"
        " and conrelid in ('public.token_events'::regclass,"
        " 'public.recalculation_batches'::regclass)"
    )

    assert sorted(keys) == [("recalculation_batches", True, "c"), ("token_events", True, "c")]
