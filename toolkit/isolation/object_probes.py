"""The probes that the declaration demands of functions, sequences, schemas, and later objects."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.access import ALL, NO, NONE, OWN, Rule
from toolkit.isolation.cast import Actor
from toolkit.isolation.probing import (
    REFUSED,
    Expected,
    Probe,
    Step,
    allowed,
    empty,
    nothing,
    refused,
)
from toolkit.isolation.stage import Stage
from toolkit.isolation.statements import compose

_NOT_A_TRIGGER = "0A000"  # 'trigger functions can only be called as triggers'
_LATER = "meterledger_later"


def function_probes(stage: Stage, rule: Rule, held: frozenset[str]) -> Iterator[Probe]:
    """Everybody calls a function, for itself and for another.

    Args:
        stage: of the proof.
        rule: of the function.
        held: roles that hold EXECUTE; where one of them must not, the call is only explained,
            since nobody knows what it would do.
    """
    twin = f"{rule.name} owner execute"
    explained = Step("explain " + _call(rule, stage.cast.alice.user, declared=False))
    yield Probe(
        twin, rule.name, "owner", "execute", f"call {rule.name}", (explained,), allowed(least=0)
    )
    for actor in stage.cast.actors(stage.access):
        yield from _calls(stage, rule, actor, twin, safe=actor.identity.role not in held)


def _calls(stage: Stage, rule: Rule, actor: Actor, twin: str, *, safe: bool) -> Iterator[Probe]:
    reach = stage.access.reach(rule, "execute", actor.identity)
    key = f"{rule.name} {actor.identity.name} {actor.me} execute"
    if rule.call and OWN in (reach, *rule.reach["execute"].values()):
        for what, whose in (("its own", actor.me), ("another's", actor.other)):
            wanted = _answer(reach, actor, is_own=what == "its own")
            own = f"{rule.name} user {stage.cast.alice.user} execute: its own"
            step = actor.step(_call(rule, whose, declared=True))
            yield _probe(rule, actor, f"{key}: {what}", f"for {what} rows", step, wanted, own)
        return
    call = _call(rule, actor.me, declared=reach == ALL)
    is_trigger = rule.name in stage.catalog.triggers
    # A call that nobody wrote down is not made by who may: nobody knows what it would do.
    harmless = safe or is_trigger or (reach == ALL and rule.call)
    step = actor.step(call if harmless else f"explain {call}")
    wanted = allowed() if reach == ALL else refused()
    if reach == NONE:
        wanted = nothing(REFUSED, _NOT_A_TRIGGER)
    yield _probe(rule, actor, key, "a call", step, wanted, twin)


def _probe(
    rule: Rule, actor: Actor, key: str, what: str, step: Step, expected: Expected, twin: str
) -> Probe:
    return Probe(
        key=key,
        subject=rule.name,
        identity=actor.identity.name,
        operation="execute",
        what=f"execute {rule.name}: {what}",
        steps=(step,),
        expected=expected,
        twin=twin,
    )


def _answer(reach: str, actor: Actor, *, is_own: bool) -> Expected:
    if reach == ALL or (reach == OWN and is_own and actor.identity.owns):
        return allowed()
    if reach == NONE:
        return nothing()
    return refused() if reach == NO else empty()


def _call(rule: Rule, user: object, *, declared: bool) -> str:
    """A call as declared, or one with nulls: who may not call gets no further than the name."""
    if declared and rule.call:
        return rule.call.replace("{user}", compose("{}", user))
    name, _, types = rule.local_name.partition("(")
    arguments = [f"null::{type_}" for type_ in types.rstrip(")").split(",") if type_]
    return compose(
        "select {}({})",
        sql.Identifier(rule.schema, name),
        sql.SQL(", ").join(map(sql.SQL, arguments)),
    )


def sequence_probes(stage: Stage, rule: Rule, held: frozenset[str]) -> Iterator[Probe]:
    """Everybody asks a sequence how many there are; who may is not let to step it."""
    name = sql.Identifier(rule.schema, rule.local_name)
    look = compose("select last_value from {}", name)
    step_on = compose("select nextval({})", compose("{}", name))
    twin = f"{rule.name} owner usage"
    yield Probe(
        twin, rule.name, "owner", "usage", f"usage of {rule.name}", (Step(look),), allowed(0)
    )
    for actor in stage.cast.actors(stage.access):
        key = f"{rule.name} {actor.identity.name} {actor.me} usage"
        tries = {"its last value": look}
        if actor.identity.role not in held:
            tries["its next value"] = step_on
        for what, statement in tries.items():
            yield Probe(
                key=f"{key}: {what}",
                subject=rule.name,
                identity=actor.identity.name,
                operation="usage",
                what=f"usage of {rule.name}: {what}",
                steps=(actor.step(statement),),
                expected=refused()
                if stage.access.reach(rule, "usage", actor.identity) == NO
                else allowed(0),
                twin=twin,
            )


def schema_probes(stage: Stage, rule: Rule) -> Iterator[Probe]:
    """Everybody looks a name up in a schema, and tries to create something there."""
    inside = next(
        name
        for kind, name in stage.catalog.objects
        if kind == "table" and name.startswith(f"{rule.name}.")
    )
    look = compose("select {}::regclass is not null", inside)
    create = compose("create table {} ()", sql.Identifier(rule.name, "meterledger_probe"))
    for operation, statement in (("usage", look), ("create", create)):
        twin = f"{rule.name} owner {operation}"
        returns = operation == "usage"
        yield Probe(
            *(twin, rule.name, "owner", operation, f"{operation} of schema {rule.name}"),
            steps=(Step(statement, returns=returns),),
            expected=allowed(0),
        )
        for actor in stage.cast.actors(stage.access):
            reach = stage.access.reach(rule, operation, actor.identity)
            yield Probe(
                key=f"{rule.name} {actor.identity.name} {actor.me} {operation}",
                subject=rule.name,
                identity=actor.identity.name,
                operation=operation,
                what=f"{operation} of schema {rule.name}",
                steps=(actor.step(statement, returns=returns),),
                expected=refused() if reach == NO else allowed(0),
                twin=twin,
            )


_MADE_LATER = {
    "tables": (
        "create table {} as select 1 as one",
        "select count(*) from {}",
    ),
    "sequences": ("create sequence {}", "select last_value from {}"),
    "functions": ("create function {}() returns int language sql as 'select 1'", "select {}()"),
}


def later_probes(stage: Stage) -> Iterator[Probe]:
    """Objects that are made after the rollout: nothing may open by itself where nothing should."""
    for schema, kinds in stage.access.later.items():
        name = sql.Identifier(schema, _LATER)
        for kind, how in kinds.items():
            if how != NO:
                continue
            make, use = (compose(template, name) for template in _MADE_LATER[kind])
            made = Step(make, returns=False)
            what = f"use what is made later in {schema}: {kind}"
            twin = f"later {schema} {kind} owner"
            subject = f"{schema} (later)"
            yield Probe(twin, subject, "owner", kind, what, (made, Step(use)), allowed())
            for actor in stage.cast.actors(stage.access):
                yield Probe(
                    key=f"later {schema} {kind} {actor.identity.name} {actor.me}",
                    subject=subject,
                    identity=actor.identity.name,
                    operation=kind,
                    what=what,
                    steps=(made, actor.step(use)),
                    expected=refused(),
                    twin=twin,
                )


def database_probes(stage: Stage) -> Iterator[Probe]:
    """Nobody makes schemas: an object there would be out of sight."""
    make = "create schema meterledger_probe"
    twin = "database owner create"
    subject = "database"
    owner = (Step(make, returns=False),)
    yield Probe(twin, subject, "owner", "create", "create a schema", owner, allowed(0))
    for actor in stage.cast.actors(stage.access):
        yield Probe(
            key=f"database {actor.identity.name} {actor.me} create",
            subject=subject,
            identity=actor.identity.name,
            operation="create",
            what="create a schema",
            steps=(actor.step(make, returns=False),),
            expected=refused(),
            twin=twin,
        )
