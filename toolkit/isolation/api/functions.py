"""Functions through the API: own, the other's and refused calls; and the private schemas."""

from __future__ import annotations

from toolkit.isolation.access import ALL, NONE, OWN, Rule
from toolkit.isolation.api.arguments import (
    declared_arguments,
    names_something,
    sendable,
    written,
)
from toolkit.isolation.api.record import NO_FUNCTION, NO_SCHEMA, REFUSED, Denial, Probe
from toolkit.isolation.api.scene import RELATIONS, USER, Resident, Scene
from toolkit.isolation.api.wire import Answer, Caller
from toolkit.isolation.report import Kind

_READ_ONLY = "25006"  # the call was let in, and stopped at its first write
_NOT_THERE = "ML204"  # an event or a recalculation that is not the caller's
_NOBODY = "28000"  # a call for a user's own ledger, by a token that names nobody
_OPERATION = "execute"


def prove_functions(scene: Scene) -> None:
    """Every declared function of the exposed schemas: first who may, then who may not."""
    rules = [r for r in scene.access.of_kind("function") if r.schema in scene.access.exposed]
    callable_rules = [rule for rule in rules if _takes_known_arguments(scene, rule)]
    for rule in callable_rules:
        _allowed(scene, rule)
    for rule in callable_rules:
        _denied(scene, rule)


def prove_private(scene: Scene) -> None:
    """Nothing of a schema that is not exposed is found, read or called, by whatever header."""
    exposed, proven = scene.access.exposed, scene.access.proven
    private = [schema for schema in proven if schema not in exposed]
    twin = scene.twin_of_any("select")
    denial = Denial(codes=NO_SCHEMA)
    for rule in scene.access.of_kind(*RELATIONS):
        if rule.schema not in private:
            continue
        for name, caller in _everybody(scene):
            answer = caller.send(caller.table(rule.name).select("*").limit(1))
            scene.record.denied(Probe(rule.name, name, "select"), answer, denial, twin=twin)
        caller = scene.service or scene.a.caller
        answer = caller.send(caller.table(rule.name).insert({}))
        probe = Probe(rule.name, caller.name, "insert")
        scene.record.denied(probe, answer, denial, twin=scene.twin_of_any("insert"))
    called = scene.twin_of_any(_OPERATION)
    for rule in scene.access.of_kind("function"):
        if rule.schema in private:
            _private_call(scene, rule, twin=called)


def _private_call(scene: Scene, rule: Rule, *, twin: bool) -> None:
    """By its schema, and as if it were public; reading only, should it be let in."""
    name, caller = _local(rule), scene.service or scene.a.caller
    for one in dict.fromkeys((scene.a.caller, caller)):
        probe = Probe(rule.name, one.name, _OPERATION)
        answer = one.call(f"{rule.schema}.{name}", {}, get=True)
        kind = _let_in(answer) or Denial(codes=NO_SCHEMA).judge(answer)
        scene.record.verdict(probe, answer, kind, twin=twin)
    if name in scene.schema.functions:
        return  # another function of that name, which is public and declared as such
    answer = caller.call(f"public.{name}", {}, get=True)
    # A hint with its name would say that it is there, under other arguments.
    known = answer.code in NO_FUNCTION and f".{name}(" in answer.said
    kind = Kind.UNCLEAR if known else _let_in(answer) or Denial(codes=NO_FUNCTION).judge(answer)
    scene.record.verdict(Probe(rule.name, caller.name, _OPERATION), answer, kind, twin=twin)


def _everybody(scene: Scene) -> list[tuple[str, Caller]]:
    return [(USER, scene.a.caller), *((caller.name, caller) for caller in scene.others())]


def _local(rule: Rule) -> str:
    return rule.local_name.partition("(")[0]


def _types(rule: Rule) -> list[str]:
    inside = rule.local_name.partition("(")[2].rstrip(")")
    return [kind.strip() for kind in inside.split(",") if kind.strip()]


def _takes_known_arguments(scene: Scene, rule: Rule) -> bool:
    """Whether a call can be made up: declared arguments, users for all of them, or none."""
    types = _types(rule)
    if rule.row:
        return sendable(scene, rule)
    if not types:
        return True
    found = scene.schema.functions.get(_local(rule))
    if found is None:
        if not rule.optional:  # else it is not there, or it takes rows, which no request can send
            scene.record.skip(f"the API does not show the arguments of {rule.name}")
        return False
    if set(types) != {"uuid"} or len(found) != len(types):
        scene.record.skip(f"no call of {rule.name} can be made up from its arguments")
        return False
    return True


def _call(scene: Scene, rule: Rule, caller: Caller, user: str | None, *, get: bool) -> Answer:
    names = scene.schema.functions.get(_local(rule), {})
    if rule.row:
        arguments = declared_arguments(scene, rule, scene.b if user == scene.b.id else scene.a)
    else:
        arguments = dict.fromkeys(names, user) if _types(rule) else {}
    return caller.call(f"{rule.schema}.{_local(rule)}", arguments, get=get)


def _let_in(answer: Answer) -> Kind | None:
    return Kind.LEAK if answer.code == _READ_ONLY or answer.ok else None


def _reads_only(rule: Rule) -> bool:
    return rule.volatility != "volatile"


def _allowed(scene: Scene, rule: Rule) -> None:
    if scene.reach(rule, _OPERATION, USER) == OWN:
        for who in (scene.a, scene.b):
            answer = _call(scene, rule, who.caller, who.id, get=False)
            scene.done(Probe(rule.name, USER, _OPERATION), answer, _own(answer, who))
    service = scene.service
    if service is None or scene.reach(rule, _OPERATION, service.name) != ALL:
        return
    # What changes everybody's rows is called in earnest only if that is wished for; otherwise
    # in a transaction that can only read: it is let in, and stopped at its first write.
    earnest = _reads_only(rule) or scene.refresh
    answer = _call(scene, rule, service, scene.b.id, get=not earnest)
    holds = answer.ok or (not earnest and answer.code == _READ_ONLY)
    scene.done(Probe(rule.name, service.name, _OPERATION), answer, holds)
    if not earnest:
        scene.record.facts.append(
            f"{rule.name} was called as {service.name} in a read-only transaction only, "
            "which shows the right and changes nothing"
        )


def _own(answer: Answer, who: Resident) -> bool:
    """Whether rows came, or an object of rows, and all of them are this user's."""
    found = [part for row in answer.rows for part in (row, *row.values())]
    owners = {part.get("user_id", who.id) for part in found if isinstance(part, dict)}
    return answer.ok and owners == {who.id}


def _denied(scene: Scene, rule: Rule) -> None:
    a, b = scene.a, scene.b
    twin = scene.twin(rule, _OPERATION)
    if scene.reach(rule, _OPERATION, USER) == OWN:
        probe = Probe(rule.name, USER, _OPERATION)
        if rule.row:
            _calls_on_others(scene, rule, probe, twin=twin)
        for user in (b.id, None) if _types(rule) and not rule.row else ():
            for get in (False, True) if _reads_only(rule) and user else (False,):
                answer = _call(scene, rule, a.caller, user, get=get)
                scene.record.denied(probe, answer, Denial(nothing=True), twin=twin)
    else:
        _refused(scene, rule, USER, a.caller, twin=twin)
    for caller in scene.others():
        reach = scene.reach(rule, _OPERATION, caller.name)
        if reach == OWN:
            answer = _call(scene, rule, caller, a.id, get=False)
            probe = Probe(rule.name, caller.name, _OPERATION)
            denial = Denial(codes=(*REFUSED, _NOBODY), nothing=True)
            scene.record.denied(probe, answer, denial, twin=twin)
        elif reach != ALL:
            _refused(scene, rule, caller.name, caller, twin=twin)


def _calls_on_others(scene: Scene, rule: Rule, probe: Probe, *, twin: bool) -> None:
    """A call that names what is the other's: not there for the caller, and left as it was."""
    if not names_something(rule):
        return
    for mine, theirs in ((scene.a, scene.b), (scene.b, scene.a)):
        arguments = declared_arguments(scene, rule, theirs)
        before = [scene.state(other, theirs) for other in written(scene)]
        answer = mine.caller.call(f"{rule.schema}.{_local(rule)}", arguments)
        scene.record.denied(probe, answer, Denial(codes=(_NOT_THERE,)), twin=twin)
        after = [scene.state(other, theirs) for other in written(scene)]
        scene.record.changed(probe, after != before, twin=twin)


def _refused(scene: Scene, rule: Rule, identity: str, caller: Caller, *, twin: bool) -> None:
    """Asked in a read-only transaction, so that a leak does no harm.

    A trigger function is no function to the API: it is not found, whoever asks.
    """
    reach = scene.reach(rule, _OPERATION, identity)
    answer = _call(scene, rule, caller, scene.a.id, get=True)
    shown = _local(rule) in scene.schema.functions
    nobody = all(how in (NONE, "no") for how in rule.reach.get(_OPERATION, {}).values())
    hidden = (
        nobody
        and not shown
        and answer.code in NO_FUNCTION
        and f".{_local(rule)}(" not in (answer.said)
    )
    denial = Denial(
        codes=NO_FUNCTION if hidden else REFUSED,
        about="" if hidden else _local(rule),
        nothing=reach == NONE and answer.ok and not answer.touched,
    )
    kind = _let_in(answer) if reach != NONE else None
    probe = Probe(rule.name, identity, _OPERATION)
    scene.record.verdict(probe, answer, kind or denial.judge(answer), twin=twin)
