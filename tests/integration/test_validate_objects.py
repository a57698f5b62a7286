"""An object that is gone, switched off or opened turns a check red, and the others still run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.integration.test_validate_rows import FAULTS as ROW_FAULTS
from tests.integration.test_validate_rows import NOTES, PENDING
from tests.support.database import Database
from tests.support.proven import Fault, proven_copy
from tests.support.servers import Databases, default_major
from toolkit.validation.run import validate

VIEW = (
    "create or replace view public.electricity_readings_v with (security_invoker = true) as"
    " select id, user_id, date, kwh_value, token_cost, token_amount, notes, meter_photo_url,"
    " created_at from ledger.readings as r"
)


def switched_off(table: str, trigger: str) -> Fault:
    return Fault(
        f"alter table {table} disable trigger {trigger}",
        {"phases": trigger},
        undo=f"alter table {table} enable trigger {trigger}",
    )


FAULTS = {
    "the view runs with its owner's rights": Fault(
        "alter view public.electricity_readings_v set (security_invoker = false)",
        {"phases": "owner's rights: it leaks"},
        undo="alter view public.electricity_readings_v set (security_invoker = true)",
    ),
    "row level security is off on the projection": Fault(
        "alter table ledger.readings disable row level security",
        {"phases": "row level security is off on ledger.readings"},
        undo="alter table ledger.readings enable row level security",
    ),
    "row level security is off on the events": Fault(
        "alter table public.token_events disable row level security",
        {"phases": "row level security is off on (public.)?token_events"},
        undo="alter table public.token_events enable row level security",
    ),
    "a policy too many lets everybody read": Fault(
        "create policy leak on public.token_events for select to authenticated using (true)",
        {"phases": "policies of .*token_events", "positions_call": "of another user"},
        undo="drop policy leak on public.token_events",
    ),
    "one column of the materialized view is open": Fault(
        "grant select (kwh_value) on public.electricity_readings_mv to authenticated",
        {"phases": "must not have: authenticated on public.electricity_readings_mv"},
        only=("phases",),
        undo="revoke select (kwh_value) on public.electricity_readings_mv from authenticated",
    ),
    "the refresh is open to users": Fault(
        "grant execute on function public.refresh_readings_mv() to authenticated",
        {"phases": r"refresh_readings_mv\(\) is open to an API role"},
        only=("phases",),
        undo="revoke execute on function public.refresh_readings_mv() from authenticated",
    ),
    "a second policy opens the projection": Fault(
        "create policy leak on ledger.readings for select to authenticated using (true)",
        {"phases": "policies of ledger.readings are not the one for select"},
        undo="drop policy leak on ledger.readings",
    ),
    "the private list is open": Fault(
        "grant select on ledger.migrated_readings to authenticated",
        {"phases": "private tables are open to an API role: authenticated on"},
        only=("phases",),
        undo="revoke select on ledger.migrated_readings from authenticated",
    ),
    "a column of the rejects is open to everybody": Fault(
        "grant select (reason) on ledger.migration_rejects to public",
        {"phases": "private tables are open to an API role: anon on"},
        only=("phases",),
        undo="revoke select (reason) on ledger.migration_rejects from public",
    ),
    "a projector trigger is disabled": switched_off(
        "public.token_events", "token_events_project_updates"
    ),
    "an append-only guard is disabled": switched_off(
        "public.token_events", "token_events_guard_update"
    ),
    "the forward sync is disabled": switched_off(
        "public.electricity_readings", "electricity_readings_sync_inserts"
    ),
    "an index of the events is gone": Fault(
        "alter index public.token_events_order rename to other",
        {"phases": "token_events_order is missing"},
        undo="alter index public.other rename to token_events_order",
    ),
    "signed-in users may read the materialized view": Fault(
        "grant select on public.electricity_readings_mv to authenticated",
        {"phases": "authenticated on public.electricity_readings_mv"},
        undo="revoke select on public.electricity_readings_mv from authenticated",
    ),
    "a client may write reading_id": Fault(
        "grant update (reading_id) on public.token_events to authenticated",
        {"phases": "authenticated may write reading_id"},
        undo="revoke update (reading_id) on public.token_events from authenticated",
    ),
    "anon may read events": Fault(
        "grant select on public.token_events to anon",
        {"phases": "anon: select"},
        undo="revoke select on public.token_events from anon",
    ),
    "the materialized view is not the owner's": Fault(
        "alter materialized view public.electricity_readings_mv owner to authenticator",
        {"phases": "one owner", "mv_refresh": "must be owner|permission denied"},
        undo="alter materialized view public.electricity_readings_mv owner to postgres",
    ),
    "the materialized view lost its unique index": Fault(
        "drop index public.electricity_readings_mv_key",
        {"mv_refresh": "concurrently", "phases": "no plain unique index"},
        undo="create unique index electricity_readings_mv_key"
        " on public.electricity_readings_mv (user_id, id)",
    ),
    "the materialized view was emptied": Fault(
        "refresh materialized view public.electricity_readings_mv with no data",
        {"mv_refresh": "(?i)concurrently", "mv_is_projection": "not been populated"},
        undo="refresh materialized view public.electricity_readings_mv",
    ),
    "the materialized view is gone": Fault(
        "drop materialized view public.electricity_readings_mv cascade",
        {"mv_refresh": "does not exist", "mv_is_projection": "electricity_readings_mv"},
    ),
    "the view is gone": Fault(
        "drop view public.electricity_readings_v",
        {"phases": "its view .* is missing", "lossless": "electricity_readings_v"},
    ),
    "the projection is gone": Fault(
        "drop table ledger.readings cascade",
        {"view_query": "ledger.readings", "plan": "ledger.readings", "phases": "is missing"},
    ),
    "the position call is gone": Fault(
        "alter function public.calculate_user_positions(uuid) rename to other",
        {"phases": r"calculate_user_positions\(uuid\) is missing", "positions_call": "calculate_"},
        undo="alter function public.other(uuid) rename to calculate_user_positions",
    ),
    "the view hides rows": Fault(
        VIEW + " where exists (select from ledger.readings as n"
        " where n.user_id = r.user_id and n.date > r.date)",
        {"view_query": "due", "lossless": "back", "positions_call": r"\d+ positions for \d+"},
        undo=VIEW,
    ),
    "the view rounds": Fault(
        VIEW.replace("kwh_value", "round(kwh_value, 1) as kwh_value"),
        {"lossless": "does not give this legacy row back", "kwh_sums": "kWh"},
        undo=VIEW,
    ),
    "nobody has a policy to read by": Fault(
        'drop policy "Users see their own readings" on ledger.readings',
        {"view_query": r"0 rows where \d+ are due"},
        undo='create policy "Users see their own readings" on ledger.readings'
        " for select to authenticated using (user_id = (select auth.uid()))",
    ),
    "signed-in users lost their grant": Fault(
        "revoke select on public.electricity_readings_v from authenticated",
        {"view_query": "permission denied", "plan": "permission denied"},
        undo="grant select on public.electricity_readings_v to authenticated",
    ),
    "the position call runs with its owner's rights": Fault(
        "alter function public.calculate_user_positions(uuid) security definer",
        {"positions_call": r"\d+ positions of another user", "phases": "it would leak"},
        only=("positions_call", "phases"),
        undo="alter function public.calculate_user_positions(uuid) security invoker",
    ),
    "the position call answers for oneself with less": Fault(
        'alter policy "Users see their own events" on public.token_events'
        " using (user_id = (select auth.uid()) and event_type = 'TOPUP')",
        {"positions_call": r"\d+ positions for \d+ readings"},
        only=("positions_call",),
        undo='alter policy "Users see their own events" on public.token_events'
        " using (user_id = (select auth.uid()))",
    ),
    "the projection lost the index of the newest": Fault(
        "drop index ledger.readings_newest",
        {"plan": "the plan is", "phases": "index readings_newest is missing"},
        only=("plan", "phases"),
        undo="create index readings_newest"
        " on ledger.readings (user_id, date desc, created_at desc, id desc)",
    ),
}


@pytest.fixture(scope="module")
def shared(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """A copy of a proven database for faults that can be mended."""
    with proven_copy(databases(default_major())) as copy:
        yield copy


@contextmanager
def spoilt(fault: Fault, shared: Database, owner: Databases) -> Iterator[Database]:
    """The database that a fault is to happen to."""
    if not fault.undo:
        with proven_copy(owner) as copy:
            yield copy
        return
    yield shared
    with shared.admin() as connection:
        connection.execute(fault.undo.encode())


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_turns_its_checks_red(
    databases: Callable[[int], Databases], shared: Database, name: str
) -> None:
    fault = FAULTS[name]
    with spoilt(fault, shared, databases(default_major())) as database:
        with database.admin() as connection:
            fault.happens(connection)

        fault.is_seen(validate(database.url), None)


def test_quiet_at_the_end_and_every_check_has_a_fault_that_it_is_for(shared: Database) -> None:
    report = validate(shared.url)
    faults = [*FAULTS.values(), *ROW_FAULTS.values()]

    assert report.valid
    seen = {name for fault in faults for name in fault.sees}
    # Of a database that was rolled back, and of one that is cut over: tests/migrations.
    elsewhere = {"set_aside", "archive_kept"}
    assert seen == {check.name for check in report.checks} - NOTES - PENDING - elsewhere
