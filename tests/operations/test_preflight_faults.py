"""Each item of the checklist about the server and the role: quiet, faulty, quiet again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.database import Database
from tests.support.preflight import (
    EMPTY,
    LEGACY,
    OPTIONS,
    PASS,
    WARN,
    Fault,
    perform,
    shared_households,
)
from tests.support.servers import Databases
from toolkit.operations.preflight.run import look

FAULTS = [
    Fault(
        "writable",
        "alter database {db} set default_transaction_read_only = on",
        "default_transaction_read_only is on by default",
        "alter database {db} reset default_transaction_read_only",
    ),
    Fault(
        "extensions",
        "create schema keep; alter extension plpgsql set schema pg_catalog;"
        "update pg_extension set extname = 'gone' where extname = 'plpgsql'",
        "plpgsql is not installed",
        "update pg_extension set extname = 'plpgsql' where extname = 'gone'; drop schema keep",
        start=EMPTY,
    ),
    Fault(
        "extensions",
        "update pg_extension set extname = 'citus' where extname = 'pgcrypto'",
        "never tried beside it",
        "update pg_extension set extname = 'pgcrypto' where extname = 'citus'",
        verdict=WARN,
    ),
    Fault(
        "settings",
        "alter database {db} set statement_timeout = '30s'",
        "statement_timeout is 30000 ms",
        "alter database {db} reset statement_timeout",
        verdict=WARN,
    ),
    Fault(
        "settings",
        "alter database {db} set lock_timeout = '10ms'",
        "lock_timeout is 10 ms",
        "alter database {db} reset lock_timeout",
        verdict=WARN,
    ),
    Fault(
        "settings",
        "alter database {db} set default_transaction_isolation = 'serializable'",
        "may fail with 40001",
        "alter database {db} reset default_transaction_isolation",
        verdict=WARN,
    ),
    Fault(
        "settings",
        "alter database {db} set session_replication_role = 'replica'",
        "triggers would not fire",
        "alter database {db} reset session_replication_role",
    ),
    Fault(
        "connections",
        "alter database {db} connection limit 4",
        "allows 4 connections",
        "alter database {db} connection limit -1",
    ),
    Fault(
        "permissions",
        "alter table token_events owner to supabase_admin",
        "public.token_events belongs to supabase_admin, of which postgres is no member",
        "alter table token_events owner to postgres",
    ),
    Fault(
        "permissions",
        "alter table token_events owner to service_role",
        "what the phases make would belong to postgres",
        "alter table token_events owner to postgres",
        verdict=WARN,
    ),
    Fault(
        "permissions",
        "alter database {db} owner to supabase_admin; grant connect on database {db} to postgres",
        "may not create schemas",
        "alter database {db} owner to postgres",
    ),
    Fault(
        "permissions",
        "alter schema public owner to supabase_admin",
        "may not create objects in public",
        "alter schema public owner to pg_database_owner",
    ),
    Fault(
        "permissions",
        "create schema supabase_migrations",
        "may not use and create in supabase_migrations",
        "drop schema supabase_migrations",
    ),
    Fault(
        "permissions",
        "create schema supabase_migrations authorization postgres;"
        "create table supabase_migrations.schema_migrations (version text);"
        "grant select, insert, delete on supabase_migrations.schema_migrations to postgres",
        "may not update in the history",
        "drop schema supabase_migrations cascade",
    ),
    Fault(
        "permissions",
        "revoke references on auth.users from postgres",
        "may not use auth.users for references",
        "grant references on auth.users to postgres",
        start=EMPTY,
    ),
    Fault(
        "dependencies",
        "alter schema auth rename to elsewhere",
        "no table auth.users",
        "alter schema elsewhere rename to auth",
    ),
    Fault(
        "dependencies",
        "alter table user_profiles rename id to key",
        "public.user_profiles.id: expected uuid, found no column",
        "alter table user_profiles rename key to id",
    ),
    Fault(
        "dependencies",
        "alter table user_profiles drop constraint user_profiles_pkey cascade",
        "id of public.user_profiles is no key",
        "alter table user_profiles add primary key (id);"
        "alter table electricity_readings add foreign key (user_id)"
        " references user_profiles on delete cascade",
        start=LEGACY,
    ),
    Fault(
        "dependencies",
        "alter table electricity_readings rename kwh_value to kwh",
        "kwh_value: expected numeric, found no column",
        "alter table electricity_readings rename kwh to kwh_value",
    ),
    Fault(
        "dependencies",
        "alter table token_events alter column metadata type text",
        "public.token_events.metadata: expected jsonb, found text",
        "alter table token_events alter column metadata type jsonb using metadata::jsonb",
    ),
]
CASES = [
    # What reads the catalog may differ from version to version.
    pytest.param(fault, major, id=f"{fault.item}: {fault.says[:40]} on {major}")
    for fault in FAULTS
    for major in ((17,) if fault.item == "dependencies" else (17, 15))
]


@pytest.fixture(scope="module")
def households(databases: Callable[[int], Databases]) -> Iterator[Callable[..., Database]]:
    """One database of each starting point and version, with two users; faults are undone."""
    yield from shared_households(databases)


@pytest.mark.parametrize(("fault", "major"), CASES)
def test_an_item_sees_its_fault(
    households: Callable[..., Database], fault: Fault, major: int
) -> None:
    database = households(fault.start, major)
    quiet = look(database.url, OPTIONS, fault.item)
    assert quiet.verdict is PASS, quiet

    perform(database, fault.plant, replica=fault.replica)
    try:
        seen = look(database.url, OPTIONS, fault.item)
    finally:
        perform(database, fault.undo, replica=fault.replica)

    assert fault.says in seen.detail
    assert seen.verdict is fault.verdict
    assert seen.next_step
    assert look(database.url, OPTIONS, fault.item) == quiet
