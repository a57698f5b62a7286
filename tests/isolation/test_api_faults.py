"""Each planted fault turns the proof through the API red, and harms nobody who lives there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from tests.isolation.test_api_isolation import DUAL, STATE, narrowed, people, served, target
from tests.support.database import Connection
from tests.support.postgrest import Rest, postgrest
from tests.support.servers import Databases
from toolkit.isolation.api.probes import prove_api
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import Kind, Part
from toolkit.rollout import phases

EVENTS, BATCHES = "public.token_events", "public.recalculation_batches"
LEGACY, PROFILES = "public.electricity_readings", "public.user_profiles"
VIEW, MV = "public.electricity_readings_v", "public.electricity_readings_mv"
POSITIONS, REFRESH = "public.calculate_user_positions(uuid)", "public.refresh_readings_mv()"
VOID_EVENT, CALLS = "public.void_event(uuid,text,text)", "20261101000700"
# Legacy rows are the only ones that may be deleted: the twin of each refused deletion.
USUAL = (EVENTS, LEGACY)


@dataclass(frozen=True)
class Fault:
    """What is broken, how it is mended, what must be found (and also), and with which rules."""

    do: str
    undo: str
    found: tuple[Kind, str, str, str]
    rules: tuple[str, ...] = USUAL
    scratch: bool = False
    also: tuple[Kind, str, str, str] | None = None


FAULTS = {
    "view with its owner's rights": Fault(
        f"alter view {VIEW} set (security_invoker = false)",
        f"alter view {VIEW} set (security_invoker = true)",
        (Kind.LEAK, VIEW, "user", "select"),
        (*USUAL, VIEW),
    ),
    "policy that lets everybody see": Fault(
        f"create policy leak on {EVENTS} for select to authenticated using (true)",
        f"drop policy leak on {EVENTS}",
        (Kind.LEAK, EVENTS, "user", "select"),
    ),
    "the same, found by an exact count": Fault(
        f"create policy leak on {BATCHES} for select to authenticated using (true)",
        f"drop policy leak on {BATCHES}",
        (Kind.LEAK, BATCHES, "user", "count"),
        (*USUAL, BATCHES),
    ),
    "the same, found by an embedded relation": Fault(
        f"create policy leak on {PROFILES} for select to authenticated using (true)",
        f"drop policy leak on {PROFILES}",
        (Kind.LEAK, EVENTS, "user", "embedded in user_profiles"),
        (*USUAL, PROFILES),
    ),
    "materialized view that users may read": Fault(
        f"grant select on {MV} to authenticated",
        "revoke select on public.electricity_readings_mv from authenticated",
        (Kind.LEAK, MV, "user", "select"),
        (*USUAL, MV),
    ),
    "row level security off": Fault(
        f"alter table {EVENTS} disable row level security",
        f"alter table {EVENTS} enable row level security",
        (Kind.LEAK, EVENTS, "user", "update"),
    ),
    "function with its owner's rights": Fault(
        f"alter function {POSITIONS} security definer",
        f"alter function {POSITIONS} security invoker",
        (Kind.LEAK, POSITIONS, "user", "execute"),
        (*USUAL, POSITIONS),
    ),
    "call that voids whatever event it is told": Fault(
        "create or replace function public.void_event(p_event_id uuid, p_reason text default null,"
        " p_idempotency_key text default null) returns jsonb language sql security definer"
        " set search_path = '' as $$ update public.token_events as e set is_voided = true"
        " where e.id = p_event_id returning jsonb_build_object('void', to_jsonb(e)) $$",
        next(p.migration.read_text("utf-8") for p in phases() if p.version == CALLS),
        (Kind.LEAK, VOID_EVENT, "user", "execute"),
        (*USUAL, VOID_EVENT),
    ),
    "function that anybody may call": Fault(
        f"grant execute on function {REFRESH} to anon",
        f"revoke execute on function {REFRESH} from anon",
        (Kind.LEAK, REFRESH, "anon", "execute"),
        (*USUAL, POSITIONS, REFRESH),
    ),
    "column that clients may forge": Fault(
        f"grant insert (reading_id) on {EVENTS} to authenticated",
        f"revoke insert (reading_id) on {EVENTS} from authenticated",
        (Kind.LEAK, EVENTS, "user", "insert reading_id"),
    ),
    "column that the service may forge": Fault(
        f"grant insert (legacy_token_amount) on {EVENTS} to service_role",
        f"revoke insert (legacy_token_amount) on {EVENTS} from service_role",
        (Kind.LEAK, EVENTS, "service_role", "insert legacy_token_amount"),
    ),
    "column that clients may rewrite": Fault(
        f"grant update (notes) on {EVENTS} to authenticated",
        f"revoke update (notes) on {EVENTS} from authenticated",
        (Kind.LEAK, EVENTS, "user", "update notes"),
    ),
    "right to delete that row level security still holds": Fault(
        f"grant delete on {EVENTS} to authenticated",
        f"revoke delete on {EVENTS} from authenticated",
        (Kind.UNCLEAR, EVENTS, "user", "delete"),
    ),
    "inserts for anybody": Fault(
        f"create policy leak on {BATCHES} for insert to authenticated with check (true)",
        f"drop policy leak on {BATCHES}",
        (Kind.LEAK, BATCHES, "user", "insert"),
        (*USUAL, BATCHES),
    ),
    "inserts in anybody's name": Fault(
        f"create policy leak on {EVENTS} for insert to authenticated"
        " with check (user_id = auth.uid())",
        f"drop policy leak on {EVENTS}",
        (Kind.LEAK, EVENTS, "user", "insert created_by"),
    ),
    "provenance that clients may claim": Fault(
        f"create policy leak on {EVENTS} for insert to authenticated"
        " with check (user_id = auth.uid() and created_by is null)",
        f"drop policy leak on {EVENTS}",
        (Kind.LEAK, EVENTS, "user", "insert metadata.migrated_from"),
    ),
    "updates and deletions of anybody's rows": Fault(
        f"create policy leak on {LEGACY} for all to authenticated using (true)",
        f"drop policy leak on {LEGACY}",
        (Kind.LEAK, LEGACY, "user", "update"),
    ),
    "rows that can be given away, without a condition": Fault(
        f"create policy leak on {BATCHES} for update to authenticated"
        " using (user_id = auth.uid()) with check (true)",
        f"drop policy leak on {BATCHES}",
        (Kind.LEAK, BATCHES, "user", "update user_id"),
        (*USUAL, BATCHES),
        scratch=True,
    ),
    "policy of the app's own that lets anybody see": Fault(
        f"grant select on {PROFILES} to anon;"
        f" create policy leak on {PROFILES} for select to anon using (true)",
        f"drop policy leak on {PROFILES}",
        (Kind.LEAK, PROFILES, "anon", "select"),
        (*USUAL, PROFILES),
    ),
    "users who cannot see their own": Fault(
        f'drop policy "Users see their own events" on {EVENTS}',
        f'create policy "Users see their own events" on {EVENTS}'
        " for select to authenticated using (user_id = (select auth.uid()))",
        (Kind.LOST, EVENTS, "user", "select"),
        also=(Kind.VACUOUS, EVENTS, "anon", "select"),
    ),
    "service that may not see": Fault(
        "revoke select on public.token_events from service_role",
        f"grant select on {EVENTS} to service_role",
        (Kind.LOST, EVENTS, "service_role", "select"),
    ),
    "projection that outlives its user": Fault(
        f"alter table {PROFILES} disable trigger user_profiles_erase_user",
        "alter table public.user_profiles enable trigger user_profiles_erase_user;"
        " delete from ledger.readings as r where not exists"
        " (select from public.user_profiles as p where p.id = r.user_id);"
        " delete from ledger.heads as r where not exists"
        " (select from public.user_profiles as p where p.id = r.user_id)",
        (Kind.WEAK, VIEW, "service_role", "erasure"),
        (*USUAL, VIEW),
    ),
    "relation that is gone": Fault(
        f"alter table {BATCHES} rename to batches_elsewhere",
        "alter table public.batches_elsewhere rename to recalculation_batches",
        (Kind.GONE, BATCHES, "user", "select"),
        (*USUAL, BATCHES),
    ),
}


@pytest.fixture(scope="module")
def house(databases: Callable[[int], Databases]) -> Iterator[tuple[Rest, Connection]]:
    with served(databases(17), DUAL) as (rest, owner):
        owner.execute("refresh materialized view public.electricity_readings_mv")
        yield rest, owner


@contextmanager
def planted(owner: Connection, fault: Fault) -> Iterator[None]:
    owner.execute(fault.do.encode())
    try:
        yield
    finally:
        owner.execute(fault.undo.encode())


def found(part: Part) -> set[tuple[Kind, str, str, str]]:
    return {(f.kind, f.subject, f.identity, f.operation) for f in part.findings}


def test_without_a_fault_the_least_proof_finds_nothing(house: tuple[Rest, Connection]) -> None:
    """Beside the whole one on a database of the same making, which is another test."""
    rest, owner = house
    part = prove_api(target(rest), narrowed(*USUAL), people(rest, owner))
    assert found(part) == set()
    assert part.tally.denials > 150


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_nobody_is_harmed(house: tuple[Rest, Connection], name: str) -> None:
    rest, owner = house
    fault = FAULTS[name]
    before = owner.execute(STATE).fetchall()
    with planted(owner, fault):
        # Without the secret, for speed: other tests forge the tokens that need it.
        given = replace(target(rest, scratch=fault.scratch), jwt_secret=None)
        part = prove_api(given, narrowed(*fault.rules), people(rest, owner))

    assert {fault.found, fault.also or fault.found} <= found(part), part.findings
    # Only what the fault touches is found, and by a command without a secret.
    touched = {fault.found[1], *(r for r in fault.rules if r not in USUAL), EVENTS}
    assert {finding.subject for finding in part.findings} <= touched | {LEGACY}
    shown = repr(part)
    assert "eyJ" not in shown
    assert rest.keys.secret not in shown
    assert rest.keys.service not in shown
    assert owner.execute(STATE).fetchall() == before


def test_a_private_schema_that_is_exposed_is_found(house: tuple[Rest, Connection]) -> None:
    rest, owner = house
    access = load_access()
    private = {n: r for n, r in access.rules.items() if n.startswith("ledger.")}
    kept = {**narrowed(*USUAL, POSITIONS).rules, **private}
    before = owner.execute(STATE).fetchall()
    with postgrest(rest.database, schemas="public,ledger", keys=rest.keys) as exposed:
        part = prove_api(target(exposed), replace(access, rules=kept), people(exposed, owner))

    assert (Kind.LEAK, "ledger.readings", "user", "select") in found(part)
    assert (Kind.UNCLEAR, "ledger.heads", "anon", "select") in found(part)
    assert (Kind.UNCLEAR, "ledger.undo_data_migration()", "service_role", "execute") in found(part)
    assert {f.subject.partition(".")[0] for f in part.findings} == {"ledger"}
    assert owner.execute(STATE).fetchall() == before


@pytest.mark.parametrize("what", ["filters", "rows"])
def test_a_malformed_request_is_never_a_denial(house: tuple[Rest, Connection], what: str) -> None:
    """A declaration that no request can be made from proves nothing, and says so."""
    rest, owner = house
    access = narrowed(*USUAL)
    rules = {
        name: replace(rule, owner="no_such_column")
        if what == "filters"
        else replace(rule, row={"user_id": "{user}", "notes": "'misses all that it must have'"})
        for name, rule in access.rules.items()
    }
    before = owner.execute(STATE).fetchall()
    part = prove_api(target(rest), replace(access, rules=rules), people(rest, owner))

    assert part.tally.denials == 0, "something was taken for a denial"
    assert {Kind.LOST, Kind.VACUOUS} <= {f.kind for f in part.findings}
    assert owner.execute(STATE).fetchall() == before
