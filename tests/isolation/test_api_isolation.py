"""The whole proof through the real PostgREST: what a sound database says of itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.support.database import Connection, Database
from tests.support.events import TOPUP, insert, record, shared_database
from tests.support.postgrest import Rest, postgrest
from tests.support.servers import Databases, Template
from toolkit.bootstrap import DefaultPrivileges, StartingPoint
from toolkit.isolation.access import Access
from toolkit.isolation.api import probes
from toolkit.isolation.api.people import DatabasePeople, email_of, throwaways
from toolkit.isolation.api.probes import NO_NAMELESS, NO_SERVICE, prove_api
from toolkit.isolation.api.target import ApiTarget
from toolkit.isolation.api.wire import Wire
from toolkit.isolation.api.writing import UNFILTERED
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import Part

DUAL = Template(StartingPoint.DUAL_WRITE, migrated=True, time_zone="UTC")
BARE = Template(migrated=True)
DUAL_15 = replace(DUAL, regime=DefaultPrivileges.GRANT_NOTHING)
TABLES = ("public.token_events", "public.electricity_readings")
KWH = {"kwh_value": 3}
STATE = (
    "select 'event', to_jsonb(e) from token_events e union all"
    " select 'batch', to_jsonb(b) from recalculation_batches b union all"
    " select 'legacy', to_jsonb(r) from electricity_readings r union all"
    " select 'shown', to_jsonb(v) from electricity_readings_v v union all"
    " select 'profile', to_jsonb(p) from user_profiles p union all"
    " select 'user', to_jsonb(u) from auth.users u order by 1, 2"
)


def target(rest: Rest, *, scratch: bool = False, refresh: bool = False) -> ApiTarget:
    keys = rest.keys
    return ApiTarget(rest.url, keys.anon, keys.service, keys.secret, refresh, scratch)


def resident(database: Database) -> None:
    """Somebody who lives there and must not notice anything."""
    user = database.add_user()
    with database.as_user(user) as request:
        record(request, user, TOPUP, 50, created_by=user)
        told = {"trigger_type": "EDIT_TOPUP", "affected_events": [], "events_count": 0}
        insert(request, "recalculation_batches", {"user_id": user, **told})
        insert(request, "electricity_readings", {"user_id": user, "date": "2026-01-01"} | KWH)


@contextmanager
def served(databases: Databases, template: Template) -> Iterator[tuple[Rest, Connection]]:
    """PostgREST over a database of its own with a resident, and a connection of the owner's."""
    for database in shared_database(databases, template):
        resident(database)
        with postgrest(database) as rest, database.connect(autocommit=True) as owner:
            yield rest, owner


def narrowed(*names: str) -> Access:
    """The declaration of a few objects, for speed."""
    access = load_access()
    rules = {name: rule for name, rule in access.rules.items() if name in names}
    assert len(rules) == len(names)
    return replace(access, rules=rules, proven=access.exposed)


def people(rest: Rest, owner: Connection) -> DatabasePeople:
    return DatabasePeople(owner, rest.keys.secret)


@pytest.fixture(scope="module")
def house(databases: Callable[[int], Databases]) -> Iterator[tuple[Rest, Connection]]:
    with served(databases(17), DUAL) as found:
        yield found


def proves(part: Part, *, at_least: int) -> None:
    assert [f"{f.kind} {f.subject}: {f.text}" for f in part.findings] == []
    assert (part.tally.vacuous, part.tally.failed) == (0, 0)
    assert part.tally.denials >= at_least
    assert part.tally.allowed > 150


@pytest.mark.parametrize(
    ("major", "template"),
    [(17, BARE), (15, DUAL_15)],
    ids=["pg17 from nothing, granting all", "pg15 from dual write, granting nothing"],
)
def test_a_migrated_database_is_isolated_through_the_api(
    databases: Callable[[int], Databases], major: int, template: Template
) -> None:
    with served(databases(major), template) as (rest, owner):
        before = owner.execute(STATE).fetchall()
        # Unfiltered writes find the resident's rows too, if isolation is broken.
        part = prove_api(
            target(rest, scratch=True, refresh=True), load_access(), people(rest, owner)
        )

        proves(part, at_least=600)
        assert part.skipped == ""
        assert owner.execute(STATE).fetchall() == before


def test_a_database_from_dual_write_is_isolated_and_keeps_no_trace(
    house: tuple[Rest, Connection],
) -> None:
    rest, owner = house
    before, log = owner.execute(STATE).fetchall(), "select count(*) from ledger.refresh_log"
    refreshed = owner.execute(log).fetchall()
    part = prove_api(target(rest), load_access(), people(rest, owner))

    proves(part, at_least=600)
    assert UNFILTERED in part.facts
    assert any("read-only transaction only" in fact for fact in part.facts)
    assert "8 pairs of relations embed in each other through the API" in part.facts
    assert owner.execute(STATE).fetchall() == before
    assert owner.execute(log).fetchall() == refreshed


def test_without_the_secrets_it_proves_what_it_can_and_says_what_it_cannot(
    house: tuple[Rest, Connection],
) -> None:
    rest, owner = house
    bare = ApiTarget(rest.url, rest.keys.anon)
    part = prove_api(bare, narrowed(*TABLES), people(rest, owner))

    assert part.findings == ()
    assert NO_SERVICE in part.skipped
    assert NO_NAMELESS in part.skipped
    assert part.tally.denials > 100


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("step", ["prove_denied", "prove_tokens"])
def test_the_users_are_gone_when_the_proof_breaks_off(
    house: tuple[Rest, Connection],
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    step: str,
) -> None:
    rest, owner = house
    before = owner.execute(STATE).fetchall()
    made: list[int] = []

    def break_off(*_: object) -> None:
        made.extend(owner.execute("select count(*)::int from auth.users").fetchall()[0])
        raise error

    for later in ("prove_functions", "prove_denied", "prove_private", "prove_writing"):
        monkeypatch.setattr(probes, later, lambda *_: None)
    monkeypatch.setattr(probes, "prove_reading", lambda *_: None)
    monkeypatch.setattr(probes, step, break_off)
    with pytest.raises(error):
        prove_api(target(rest), load_access(), people(rest, owner))

    assert made == [3]  # the resident and both
    assert owner.execute(STATE).fetchall() == before


def test_a_finding_can_be_repeated_by_its_command(house: tuple[Rest, Connection]) -> None:
    rest, owner = house
    with Wire(target(rest)) as wire, throwaways(people(rest, owner), 1) as (person,):
        wire.name(person.id, "USER_A")
        caller = wire.bearer("user", person.token, "TOKEN_A")
        row = {"user_id": person.id, "event_type": "TOPUP", "kwh_amount": 1, "notes": "it's $HOME"}
        made = caller.send(
            caller.table("public.token_events").insert({**row, "event_date": "2026-02-03"})
        )
        asked = caller.send(
            caller.table("token_events").select("*").eq("user_id", person.id).order("id").limit(9)
        )
        known = {
            "URL": rest.url,
            "ANON_KEY": rest.keys.anon,
            "TOKEN_A": person.token,
            "USER_A": person.id,
        }
        for answer in (made, asked):
            assert not [value for value in known.values() if value in answer.curl]
            done = subprocess.run(
                ["bash", "-c", f"{answer.curl} --silent --show-error"],
                env={**known, "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=True,
            )
            assert "it's $HOME" in done.stdout
        assert owner.execute(
            "select count(*) from token_events where user_id = %s", (person.id,)
        ).fetchall() == [(2,)]


def test_leftovers_of_a_killed_run_go_after_an_hour_and_others_stay(
    house: tuple[Rest, Connection],
) -> None:
    rest, owner = house
    old, young, strange = (uuid4() for _ in range(3))
    for user, email, age in (
        (old, email_of(str(old)), "2 hours"),
        (young, email_of(str(young)), "2 minutes"),
        (strange, f"{strange}@example.invalid", "2 days"),
    ):
        owner.execute(
            "insert into auth.users (id, email, created_at) values (%s, %s, now() - %s::interval)",
            (user, email, age),
        )
    left = "select id from auth.users where id = any (%s)"
    assert people(rest, owner).sweep() == 1
    assert {row[0] for row in owner.execute(left, ([old, young, strange],))} == {young, strange}
    owner.execute("delete from auth.users where id = any (%s)", ([young, strange],))
