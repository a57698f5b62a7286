"""The proof through the API, from the first request to the removal of its users."""

from __future__ import annotations

import time
from collections.abc import Callable

from toolkit.errors import OperationalError, UsageError
from toolkit.isolation.access import Access
from toolkit.isolation.api.allowed import prove_allowed
from toolkit.isolation.api.denied import prove_denied
from toolkit.isolation.api.forgery import prove_deleted, prove_tokens
from toolkit.isolation.api.functions import prove_functions, prove_private
from toolkit.isolation.api.people import People, Person, throwaways
from toolkit.isolation.api.reading import prove_reading
from toolkit.isolation.api.record import INVALID_TOKEN, NO_RELATION, REFUSED, Record
from toolkit.isolation.api.scene import RELATIONS, USER, Resident, Scene
from toolkit.isolation.api.schema import ApiSchema, read_schema
from toolkit.isolation.api.target import ApiTarget
from toolkit.isolation.api.tokens import sign
from toolkit.isolation.api.wire import Answer, Caller, Wire
from toolkit.isolation.api.writing import prove_writing
from toolkit.isolation.report import Part, Section

NAMELESS = "nameless"
NO_SERVICE = "nothing was tried as service_role: there is no service key"
NO_NAMELESS = "nothing was tried as nameless: only who has the JWT secret can make its token"
NO_SCHEMA = "columns and arguments are not known: the API does not describe itself"


def prove_api(
    target: ApiTarget,
    access: Access,
    people: People | Callable[[ApiTarget, Wire], People],
) -> Part:
    """Drive the declaration through the REST API with two users who exist for this only.

    Args:
        target: whose API, and the keys.
        access: the declaration.
        people: how users are made, or what makes that for a target, as AdminPeople does.

    Returns:
        Findings, each with a curl command that holds placeholders and no key, and the tally.

    Raises:
        UsageError: the URL or a key is wrong.
        OperationalError: nothing answers, or the users cannot be made or removed.
    """
    started = time.monotonic()
    target.check()
    record = Record()
    with Wire(target) as wire:
        _check_keys(wire, access)
        made = people(target, wire) if callable(people) else people
        with throwaways(made) as (first, second):
            scene = _scene(wire, access, record, first, second)
            _prove(scene, wire)
            seen = {rule.name: bool(scene.rows_of(rule, scene.a)) for rule in scene.own()}
        prove_deleted(scene, seen)
    return Part(
        section=Section.API,
        tally=record.tally,
        findings=tuple(record.findings),
        skipped="; ".join(record.skipped),
        seconds=time.monotonic() - started,
        facts=tuple(record.facts),
    )


def _prove(scene: Scene, wire: Wire) -> None:
    """What is allowed comes first: it makes the rows, and the twins, of all that follows."""
    prove_allowed(scene)
    prove_functions(scene)
    prove_denied(scene)
    prove_private(scene)
    prove_writing(scene)
    prove_reading(scene)
    prove_tokens(scene, wire, wire.target.jwt_secret)


def _scene(wire: Wire, access: Access, record: Record, first: Person, second: Person) -> Scene:
    target = wire.target
    wire.name(first.id, "USER_A")
    wire.name(second.id, "USER_B")
    service = wire.service(target.service_key) if target.service_key else None
    a = Resident(first, wire.bearer(USER, first.token, "TOKEN_A"))
    schema = read_schema(wire, service or a.caller)
    if schema is None:
        record.skip(NO_SCHEMA)
    else:
        record.facts.append(f"PostgREST {schema.version}")
    nameless = None
    if service is None:
        record.skip(NO_SERVICE)
    if target.jwt_secret is None:
        record.skip(NO_NAMELESS)
    else:
        claims = {"role": "authenticated", "aud": "authenticated"}
        nameless = wire.bearer(NAMELESS, sign(claims, target.jwt_secret), "TOKEN_NAMELESS")
    return Scene(
        access=access,
        record=record,
        schema=schema or ApiSchema(),
        a=a,
        b=Resident(second, wire.bearer(USER, second.token, "TOKEN_B")),
        anon=wire.anon(),
        service=service,
        nameless=nameless,
        refresh=target.refresh,
        scratch=target.scratch,
    )


def _check_keys(wire: Wire, access: Access) -> None:
    """One request with each key, before anything is made."""
    rule = next(r for r in access.of_kind(*RELATIONS) if r.schema in access.exposed)
    callers: list[tuple[str, Caller]] = [("anon key", wire.anon())]
    if wire.target.service_key is not None:
        callers.append(("service key", wire.service(wire.target.service_key)))
    if wire.target.jwt_secret is not None:
        token = sign({"role": "anon"}, wire.target.jwt_secret)
        callers.append(("token signed with the JWT secret", wire.bearer("anon", token)))
    for name, caller in callers:
        answer = caller.send(caller.table(rule.name).select("*").limit(1))
        if answer.code in INVALID_TOKEN or _by_gateway(answer):
            raise UsageError(
                f"the API refuses the {name}",
                next_step="take URL, keys and secret from the same project's API settings",
            )
        odd = any("" in row for row in answer.rows)  # a page, not rows
        if odd or (not answer.ok and answer.code not in (*REFUSED, *NO_RELATION)):
            raise OperationalError(
                f"{wire.target.base} answers {answer.told}, not as Supabase's REST API",
                next_step="check the URL: it is the project's, without a path",
            )


def _by_gateway(answer: Answer) -> bool:
    """A gateway before PostgREST refuses a key in words of its own, without a code."""
    return answer.status in (401, 403) and answer.code in ("", str(answer.status))
