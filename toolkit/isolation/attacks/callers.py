"""Attacks through calls: shadowed names, smuggled statements, becoming somebody else."""

from __future__ import annotations

import json
from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.access import OWN
from toolkit.isolation.attacks.base import Attacks
from toolkit.isolation.cast import ALICE
from toolkit.isolation.probing import Probe, Step, allowed, empty, refused
from toolkit.isolation.report import Section
from toolkit.isolation.statements import compose

_NOT_A_UUID = "22P02"


def shadows(attacks: Attacks) -> Iterator[Probe]:
    """Temporary tables under the ledger's names, and a search_path that finds them first."""
    stage = attacks.stage
    if "public.calculate_user_positions(uuid)" not in stage.access.rules or not stage.may_shadow:
        return
    alice, user = attacks.alice, attacks.mine.user
    decoys = [
        alice.step(f"create temporary table {name} (user_id uuid, id uuid)", returns=False)
        for name in ("token_events", "readings", "heads", "settings", "user_profiles")
    ]
    decoys.append(
        alice.step("select set_config('search_path', 'pg_temp, ledger, public', true) is not null")
    )
    count = alice.step(
        compose("select count(*) from public.calculate_user_positions({})", attacks.theirs.user)
    )
    own = alice.step(compose("select count(*) from public.calculate_user_positions({})", user))
    yield from attacks.pair(
        "temporary tables under the ledger's names",
        "public.calculate_user_positions(uuid)",
        (*decoys, count),
        empty(),
        (*decoys, own),
        allowed(),
    )
    write = attacks.event({"notes": "shadowed"})
    caught = alice.step(
        "select (select count(*) from pg_temp.readings) + (select count(*) from pg_temp.heads)"
    )
    shown = alice.step(
        "select count(*) from public.electricity_readings_v where notes = 'shadowed'"
    )
    yield from attacks.pair(
        "a search_path that shadows the definers' tables",
        "ledger.readings",
        (*decoys, write, caught),
        empty(),
        (*decoys, write, shown),
        allowed(exactly=1),
    )


def calls(attacks: Attacks) -> Iterator[Probe]:
    """Exposed functions must leave who is asking alone, whatever they are handed."""
    access, alice = attacks.stage.access, attacks.alice
    user = access.identity(ALICE)
    still = alice.step(
        compose(
            "select current_user = {} and current_setting('request.jwt.claims') = {} "
            "and current_setting('meterledger.told', true) is not distinct from 'clean'",
            *(user.role, alice.step("").claims),
        )
    )
    clean = Step("select set_config('meterledger.told', 'clean', true) is null")
    for rule in access.of_kind("function"):
        if access.reach(rule, "execute", user) != OWN or not rule.call:
            continue
        call = rule.call.replace("{user}", compose("{}", attacks.mine.user))
        smuggled = rule.call.replace(
            "{user}",
            compose("{}", "'); select set_config('meterledger.told', 'smuggled', true); --"),
        )
        yield Probe(
            key=f"{rule.name} attack changing who asks",
            subject=rule.name,
            identity=ALICE,
            operation="changing who asks",
            what=f"call {rule.name} and still be who asked",
            steps=(
                clean,
                alice.step(
                    compose("with called as ({}) select count(*) from called", sql.SQL(call))
                ),
                still,
            ),
            expected=allowed(exactly="true"),
            section=Section.ATTACKS,
        )
        yield from attacks.pair(
            "statements smuggled in an argument",
            rule.name,
            (alice.step(smuggled),),
            refused(_NOT_A_UUID),
            (alice.step(call),),
            allowed(),
        )


def names_elsewhere(attacks: Attacks) -> Iterator[Probe]:
    """Bob's name in everything that a client or its user can write must not make her Bob."""
    bob = str(attacks.theirs.user)
    words = ("sub", "user_id", "id", "uid", "acting_as", "impersonate", "role_user")
    inner = dict.fromkeys(words, bob)
    claims = json.loads(attacks.alice.step("").claims) | {
        "user_metadata": inner,
        "app_metadata": inner,
        "raw_user_meta_data": inner,
        "user_id": bob,
        "email": bob,
    }
    written = json.dumps({f"x-{word}": bob for word in words} | inner)
    setting = "select set_config({}, {}, true) is null"
    steps = [
        Step(compose(setting, f"request.{place}", written), role, json.dumps(claims))
        for role in [attacks.alice.identity.role]
        for place in ("headers", "cookies", "path", "method")
    ]
    who = "select auth.uid() = {}"
    asked = Step(compose(who, bob), attacks.alice.identity.role, json.dumps(claims))
    honest = Step(compose(who, attacks.mine.user), asked.role, asked.claims)
    yield from attacks.pair(
        "another's name in metadata, headers and cookies",
        "auth.uid()",
        (*steps, asked),
        empty(),
        (*steps, honest),
        allowed(exactly="true"),
    )
