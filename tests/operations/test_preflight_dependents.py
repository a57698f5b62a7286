"""Items about dependents and rows: quiet, the fault planted, one finding, quiet again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.database import Database
from tests.support.preflight import (
    OPTIONS,
    PASS,
    STRANGER,
    WARN,
    Fault,
    perform,
    shared_households,
)
from tests.support.servers import Databases
from toolkit.operations.preflight.run import look


def event(columns: str, values: str) -> str:
    """Insert an event of the first profile's user, with more columns."""
    return (
        f"insert into token_events (id, user_id, event_type, event_date, kwh_amount{columns})"  # noqa: S608
        f" select '{STRANGER}', (select id from user_profiles order by id limit 1), {values}"
    )


UNDO_EVENT = f"delete from token_events where id = '{STRANGER}'"  # noqa: S608


FAULTS = [
    Fault(
        "legacy_dependents",
        "create table bills (id uuid constraint bills_reading references electricity_readings)",
        "foreign key bills_reading of bills",
        "drop table bills",
        verdict=WARN,
    ),
    Fault(
        "legacy_dependents",
        "create view monthly as select user_id from electricity_readings",
        "view monthly reads",
        "drop view monthly",
        verdict=WARN,
    ),
    Fault(
        "legacy_dependents",
        "create function tidy() returns void language plpgsql as"
        " 'begin delete from public.electricity_readings; end'",
        "function tidy() names",
        "drop function tidy()",
        verdict=WARN,
    ),
    Fault(
        "legacy_dependents",
        "create function total() returns bigint language sql"
        " begin atomic select count(user_id) from public.electricity_readings; end",
        "function total() names",
        "drop function total()",
        verdict=WARN,
    ),
    Fault(
        "legacy_dependents",
        "create publication supabase_realtime for table electricity_readings",
        "to Realtime's subscribers",
        "drop publication supabase_realtime",
        verdict=WARN,
    ),
    Fault(
        "legacy_dependents",
        "create function told() returns trigger language plpgsql as 'begin return new; end';"
        "create trigger tell after insert on electricity_readings for each row"
        " execute function told()",
        "trigger tell of electricity_readings calls told()",
        "drop trigger tell on electricity_readings; drop function told()",
        verdict=WARN,
    ),
    Fault(
        "legacy_dependents",
        'create policy "with readings" on user_profiles for select using'
        " (exists (select from electricity_readings))",
        'policy "with readings" of user_profiles',
        'drop policy "with readings" on user_profiles',
        verdict=WARN,
    ),
    Fault(
        "event_dependents",
        "create table photos (event uuid constraint photos_event references token_events)",
        "foreign key photos_event on photos",
        "drop table photos",
    ),
    Fault(
        "event_dependents",
        "create view by_event as select id, notes from token_events group by id",
        "view by_event depends on the key of id alone",
        "drop view by_event",
    ),
    Fault(
        "event_dependents",
        "create view amounts as select kwh_amount from token_events",
        "kwh_amount of token_events, whose limit goes",
        "drop view amounts",
    ),
    Fault(
        "event_dependents",
        "create table notes (batch uuid constraint notes_batch references recalculation_batches)",
        "foreign key notes_batch on notes",
        "drop table notes",
    ),
    Fault(
        "rejects",
        "insert into electricity_readings (user_id, date, kwh_value)"
        " values ('11111111-1111-4111-8111-111111111111', '2024-01-01', 1)",
        "1 rows: no profile owns it",
        "delete from electricity_readings where user_id = '11111111-1111-4111-8111-111111111111'",
        verdict=WARN,
        replica=True,
    ),
    Fault(
        "event_references",
        event(", void_of_event", "'VOID', now(), 0, '22222222-2222-4222-8222-222222222222'"),
        "1 events point with void_of_event at no event of the same user",
        UNDO_EVENT,
        replica=True,
    ),
    Fault(
        "event_references",
        event(
            ", void_of_event",
            "'VOID', now(), 0, (select id from token_events where user_id <>"
            " (select id from user_profiles order by id limit 1) limit 1)",
        ),
        "1 events point with void_of_event at no event of the same user",
        UNDO_EVENT,
    ),
    Fault(
        "event_references",
        "insert into token_events (id, user_id, event_type, event_date, kwh_amount)"
        " select s, s, 'TOPUP', now(), 1 from uuid('11111111-1111-4111-8111-111111111111') as s",
        "1 events belong to no profile",
        UNDO_EVENT,
        replica=True,
    ),
    Fault(
        "impossible_events",
        event("", "'TOPUP', now(), 0"),
        "1 events: a top-up of nothing",
        UNDO_EVENT,
    ),
    Fault(
        "impossible_events",
        event("", "'METER_READING', 'infinity', 1"),
        "1 events: event_date out of range",
        UNDO_EVENT,
    ),
    Fault(
        "impossible_events",
        event("", "'METER_READING', now(), 'NaN'"),
        "1 events: kwh_amount out of range",
        UNDO_EVENT,
    ),
    Fault(
        "impossible_events",
        event(", is_voided", "'VOID', now(), 3, null"),
        "1 events: a void that has an amount",
        UNDO_EVENT,
    ),
]
CASES = [
    # What reads the catalog may differ from version to version.
    pytest.param(fault, major, id=f"{fault.item}: {fault.says[:40]} on {major}")
    for fault in FAULTS
    for major in ((17, 15) if "dependents" in fault.item else (17,))
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
