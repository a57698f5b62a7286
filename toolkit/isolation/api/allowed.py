"""What the declaration allows, done: it seeds both users' rows, and is each denial's twin."""

from __future__ import annotations

from postgrest.types import ReturnMethod

from toolkit.isolation.access import ALL, ONCE, OWN, Rule
from toolkit.isolation.api.record import NO_RELATION, Probe
from toolkit.isolation.api.scene import EXACT, USER, Resident, Scene, only
from toolkit.isolation.api.wire import Answer, Caller

MINIMAL = ReturnMethod.minimal
_NO_PROFILE = "no_profile"
_SEEDS = 3  # one is deleted by its user, one by the service, one stays


def prove_allowed(scene: Scene) -> None:
    """Every allowed case of every relation: made, seen, changed, and some of it deleted."""
    _find_relations(scene)
    for rule in scene.relations():
        _start_over(scene, rule)
    for rule in scene.relations():
        _insert(scene, rule)
    for rule in scene.relations():
        _select(scene, rule)
        _update(scene, rule)
        _delete(scene, rule)


def _find_relations(scene: Scene) -> None:
    """Which relations there are: one that is not known is told from one that is refused."""
    for rule in list(scene.relations()):
        answer = scene.a.caller.send(scene.a.caller.table(rule.name).select("*").limit(1))
        if answer.code in NO_RELATION:
            scene.gone.add(rule.name)
            if not rule.optional:
                scene.record.gone(Probe(rule.name, USER, "select"), answer)


def _start_over(scene: Scene, rule: Rule) -> None:
    """Where each user has its one row from the start: removed and made again while it is empty."""
    service, b = scene.service, scene.b
    once = ONCE in rule.reach.get("insert", {}).values()
    if not once or service is None or scene.reach(rule, "delete", service.name) != ALL:
        return
    makers: list[tuple[str, Caller]] = []
    if _NO_PROFILE in rule.reach.get("insert", {}):
        makers.append((_NO_PROFILE, b.caller))
    if scene.reach(rule, "insert", service.name) == ALL:
        makers.append((service.name, service))
    for identity, maker in makers:
        row = scene.row(rule, b.id)
        if row is None:
            return
        request = service.table(rule.name).delete(count=EXACT).eq(rule.owner, b.id)
        answer = service.send(request)
        probe = Probe(rule.name, service.name, "delete")
        if not scene.done(probe, answer, answer.ok and answer.touched == 1):
            return
        answer = maker.send(maker.table(rule.name).insert(row, count=EXACT))
        scene.done(Probe(rule.name, identity, "insert"), answer, only(answer, rule, b.id))


def _insert(scene: Scene, rule: Rule) -> None:
    """Returning the row and not, as the user and as the service."""
    if scene.reach(rule, "insert", USER) == OWN:
        for who in (scene.a, scene.b):
            for _ in range(_SEEDS):
                _insert_for(scene, rule, who.caller, USER, who)
    service = scene.service
    once = ONCE in rule.reach.get("insert", {}).values()
    if service and not once and scene.reach(rule, "insert", service.name) == ALL:
        for who in (scene.a, scene.b):
            _insert_for(scene, rule, service, service.name, who)


def _insert_for(scene: Scene, rule: Rule, caller: Caller, identity: str, who: Resident) -> None:
    row = scene.row(rule, who.id)
    minimal = scene.row(rule, who.id)
    if row is None or minimal is None:
        return
    probe = Probe(rule.name, identity, "insert")
    answer = caller.send(caller.table(rule.name).insert(row, count=EXACT))
    scene.done(probe, answer, only(answer, rule, who.id) and answer.touched == 1)
    request = caller.table(rule.name).insert(minimal, count=EXACT, returning=MINIMAL)
    answer = caller.send(request)
    scene.done(probe, answer, answer.ok and answer.count == 1 and not answer.rows)


def _select(scene: Scene, rule: Rule) -> None:
    """Where rows are nobody's, or everybody's, that they can be read is all there is to show."""
    service = scene.service
    open_to = [(USER, scene.a.caller), ("anon", scene.anon)]
    if service and not rule.owner:
        open_to.append((service.name, service))
    for identity, caller in open_to:
        if scene.reach(rule, "select", identity) == ALL:
            answer = caller.send(caller.table(rule.name).select("*").limit(1))
            scene.done(Probe(rule.name, identity, "select"), answer, answer.ok)
    if not rule.owner:
        return
    if scene.reach(rule, "select", USER) == OWN:
        for who in (scene.a, scene.b):
            request = who.caller.table(rule.name).select("*").eq(rule.owner, who.id)
            answer = who.caller.send(request)
            scene.done(Probe(rule.name, USER, "select"), answer, only(answer, rule, who.id))
    if service and scene.reach(rule, "select", service.name) == ALL:
        both = (scene.a.id, scene.b.id)
        answer = service.send(service.table(rule.name).select("*").in_(rule.owner, both))
        seen = {row.get(rule.owner) for row in answer.rows}
        scene.done(Probe(rule.name, service.name, "select"), answer, seen == set(both))


def _update(scene: Scene, rule: Rule) -> None:
    change = scene.change(rule)
    if change is None or not rule.owner:
        return
    askers: list[tuple[str, Caller, Resident]] = []
    if scene.reach(rule, "update", USER) == OWN:
        askers += [(USER, who.caller, who) for who in (scene.a, scene.b)]
    if scene.service and scene.reach(rule, "update", scene.service.name) == ALL:
        askers.append((scene.service.name, scene.service, scene.b))
    for identity, caller, who in askers:
        probe = Probe(rule.name, identity, "update")
        request = caller.table(rule.name).update(change, count=EXACT).eq(rule.owner, who.id)
        answer = caller.send(request)
        scene.done(probe, answer, only(answer, rule, who.id))
        request = caller.table(rule.name).update(change, count=EXACT, returning=MINIMAL)
        answer = caller.send(request.eq(rule.owner, who.id))
        scene.done(probe, answer, answer.ok and bool(answer.count) and not answer.rows)


def _delete(scene: Scene, rule: Rule) -> None:
    """One row of A's at a time, so that there are others left to be denied."""
    if not rule.owner or ONCE in rule.reach.get("insert", {}).values():
        return
    askers = [(USER, scene.a.caller)] if scene.reach(rule, "delete", USER) == OWN else []
    if scene.service and scene.reach(rule, "delete", scene.service.name) == ALL:
        askers.append((scene.service.name, scene.service))
    for identity, caller in askers:
        answer = _delete_one(scene, rule, caller)
        scene.done(Probe(rule.name, identity, "delete"), answer, answer.ok and answer.touched == 1)


def _delete_one(scene: Scene, rule: Rule, caller: Caller) -> Answer:
    """The first of A's rows, by all of its columns that say which one it is."""
    rows = scene.rows_of(rule, scene.a)
    request = caller.table(rule.name).delete(count=EXACT).eq(rule.owner, scene.a.id)
    if rows and "id" in rows[0]:
        request = request.eq("id", rows[0]["id"])
    return caller.send(request)
