"""An object that is gone, switched off or opened turns a check red, and the others still run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.integration.test_validate_rows import FAULTS as ROW_FAULTS
from tests.integration.test_validate_rows import NOTES
from tests.support.database import Database
from tests.support.proven import Fault, proven_copy
from tests.support.servers import Databases, default_major
from toolkit.validation.run import validate

VIEW = (
    "create or replace view public.electricity_readings_v with (security_invoker = true) as"
    " select id, user_id, date, kwh_value, token_cost, token_amount, notes, meter_photo_url,"
    " created_at from ledger.readings as r"
)


FAULTS = {
    "the view runs with its owner's rights": Fault(
        "alter view public.electricity_readings_v set (security_invoker = false)",
        {"phases": "owner's rights: it leaks"},
    ),
    "row level security is off on the projection": Fault(
        "alter table ledger.readings disable row level security",
        {"phases": "row level security is off on ledger.readings"},
    ),
    "row level security is off on the events": Fault(
        "alter table public.token_events disable row level security",
        {"phases": "row level security is off on (public.)?token_events"},
    ),
    "a policy too many lets everybody read": Fault(
        "create policy leak on public.token_events for select to authenticated using (true)",
        {"phases": "policies of .*token_events", "positions_call": "of another user"},
    ),
    "a projector trigger is disabled": Fault(
        "alter table public.token_events disable trigger token_events_project_updates",
        {"phases": "token_events_project_updates"},
    ),
    "an append-only guard is dropped": Fault(
        "drop trigger token_events_guard_update on public.token_events",
        {"phases": "token_events_guard_update"},
    ),
    "the forward sync is disabled": Fault(
        "alter table public.electricity_readings disable trigger electricity_readings_sync_inserts",
        {"phases": "electricity_readings_sync_inserts"},
    ),
    "an index of the events is dropped": Fault(
        "drop index public.token_events_order", {"phases": "token_events_order is missing"}
    ),
    "signed-in users may read the materialized view": Fault(
        "grant select on public.electricity_readings_mv to authenticated",
        {"phases": "authenticated on public.electricity_readings_mv"},
    ),
    "a client may write reading_id": Fault(
        "grant update (reading_id) on public.token_events to authenticated",
        {"phases": "authenticated may write reading_id"},
    ),
    "anon may read events": Fault(
        "grant select on public.token_events to anon", {"phases": "anon: select"}
    ),
    "the materialized view is not the owner's": Fault(
        "alter materialized view public.electricity_readings_mv owner to authenticator",
        {"phases": "one owner", "mv_refresh": "must be owner|permission denied"},
    ),
    "the materialized view lost its unique index": Fault(
        "drop index public.electricity_readings_mv_key",
        {"mv_refresh": "concurrently", "phases": "no plain unique index"},
    ),
    "the materialized view was emptied": Fault(
        "refresh materialized view public.electricity_readings_mv with no data",
        {"mv_refresh": "(?i)concurrently", "mv_is_projection": "not been populated"},
    ),
    "the materialized view is gone": Fault(
        "drop materialized view public.electricity_readings_mv cascade",
        {"mv_refresh": "does not exist", "mv_is_projection": "electricity_readings_mv"},
    ),
    "the view is gone": Fault(
        "drop view public.electricity_readings_v cascade",
        {"phases": "its view .* is missing", "lossless": "electricity_readings_v"},
    ),
    "the projection is gone": Fault(
        "drop table ledger.readings cascade",
        {"view_query": "ledger.readings", "plan": "ledger.readings", "phases": "is missing"},
    ),
    "the position call is gone": Fault(
        "drop function public.calculate_user_positions(uuid) cascade",
        {"phases": r"calculate_user_positions\(uuid\) is missing", "positions_call": "calculate_"},
    ),
    "the view hides rows": Fault(
        VIEW + " where exists (select from ledger.readings as n"
        " where n.user_id = r.user_id and n.date > r.date)",
        {"view_query": "due", "lossless": "back", "positions_call": r"\d+ positions for \d+"},
    ),
    "the view rounds": Fault(
        VIEW.replace("kwh_value", "round(kwh_value, 1) as kwh_value"),
        {"lossless": "does not give this legacy row back", "kwh_sums": "kWh"},
    ),
    "nobody has a policy to read by": Fault(
        'drop policy "Users see their own readings" on ledger.readings',
        {"view_query": r"0 rows where \d+ are due"},
    ),
    "signed-in users lost their grant": Fault(
        "revoke select on public.electricity_readings_v from authenticated",
        {"view_query": "permission denied", "plan": "permission denied"},
    ),
    "the position call runs with its owner's rights": Fault(
        "alter function public.calculate_user_positions(uuid) security definer",
        {"positions_call": r"\d+ positions of another user", "phases": "it would leak"},
        only=("positions_call", "phases"),
    ),
    "the position call answers for oneself with less": Fault(
        'drop policy "Users see their own events" on public.token_events;'
        'create policy "Users see their own events" on public.token_events for select'
        " to authenticated using (user_id = (select auth.uid()) and event_type = 'TOPUP')",
        {"positions_call": r"\d+ positions for \d+ readings"},
        only=("positions_call",),
    ),
    "the projection lost the index of the newest": Fault(
        "drop index ledger.readings_newest", {"plan": "the plan is"}, only=("plan",)
    ),
}


@pytest.fixture
def database(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """A copy of a proven database, to spoil."""
    with proven_copy(databases(default_major())) as copy:
        yield copy


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_turns_its_checks_red(database: Database, name: str) -> None:
    with database.admin() as connection:
        spoilt = FAULTS[name].happens(connection)

    FAULTS[name].is_seen(validate(database.url), spoilt)


def test_every_check_has_a_fault_that_it_is_for(database: Database) -> None:
    names = {check.name for check in validate(database.url).checks}
    faults = [*FAULTS.values(), *ROW_FAULTS.values()]

    assert {name for fault in faults for name in fault.sees} == names - NOTES
