"""What the declaration denies, tried: on every relation, by everybody, with every operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from postgrest import SyncSelectRequestBuilder

from toolkit.isolation.access import ALL, NONE, ONCE, OWN, Rule
from toolkit.isolation.api.allowed import MINIMAL
from toolkit.isolation.api.record import Denial, Probe
from toolkit.isolation.api.scene import EXACT, USER, Resident, Scene
from toolkit.isolation.api.wire import Caller, Request

TAKEN = ("23505",)


def prove_denied(scene: Scene) -> None:
    """Reading and making first; deleting last, since a leak there takes rows away."""
    for rule in scene.relations():
        _select(scene, rule)
    for prove in (_insert, _update, _other_columns, _delete):
        for rule in scene.relations():
            if prove is _other_columns and rule.update_columns is None:
                continue
            with unchanged(scene, rule, prove.__name__.strip("_"), scene.a, scene.b):
                prove(scene, rule)


@contextmanager
def unchanged(scene: Scene, rule: Rule, operation: str, *who: Resident) -> Iterator[None]:
    """What the block tries must change no row of these users, whatever the answers say."""
    watched = bool(rule.owner) and scene.reach(rule, "select", USER) == OWN
    before = scene.state(rule, *who) if watched else {}
    yield
    if watched:
        probe = Probe(rule.name, USER, operation.replace("_", " "))
        changed = scene.state(rule, *who) != before
        scene.record.changed(probe, changed, twin=all(before.values()))


def _select(scene: Scene, rule: Rule) -> None:
    a, b = scene.a, scene.b
    twin = scene.twin(rule, "select")
    reach = scene.reach(rule, "select", USER)
    probe = Probe(rule.name, USER, "select")
    table = a.caller.table
    if reach == OWN and rule.owner:
        tries: tuple[Request, ...] = (
            table(rule.name).select("*").eq(rule.owner, b.id),
            table(rule.name).select("*").neq(rule.owner, a.id).limit(5),
        )
        for request in tries:
            scene.record.denied(probe, a.caller.send(request), Denial(nothing=True), twin=twin)
    elif reach != ALL:
        answer = a.caller.send(table(rule.name).select("*").limit(5))
        denial = scene.refusal(rule, nothing=reach == NONE)
        scene.record.denied(probe, answer, denial, twin=twin)
    _by_others(scene, rule, "select", lambda caller: caller.table(rule.name).select("*").limit(5))


def _insert(scene: Scene, rule: Rule) -> None:
    a, b = scene.a, scene.b
    reach = scene.reach(rule, "insert", USER)
    probe = Probe(rule.name, USER, "insert")
    twin = scene.twin(rule, "insert")
    denial = scene.refusal(rule, nothing=reach == NONE)
    for owner in {OWN: (b.id,), ONCE: (b.id,), ALL: ()}.get(reach, (a.id, b.id)):
        if (row := scene.row(rule, owner)) is None:
            return
        for returning in (None, MINIMAL):
            answer = a.caller.send(_insertion(a.caller, rule, row, minimal=bool(returning)))
            scene.record.denied(probe, answer, denial, twin=twin)
    if reach == ONCE and (row := scene.row(rule, a.id)) is not None:
        answer = a.caller.send(_insertion(a.caller, rule, row))
        there = bool(scene.rows_of(rule, a))
        scene.record.denied(probe, answer, Denial(codes=TAKEN), twin=there)
    if (row := scene.row(rule, a.id)) is not None:
        _by_others(scene, rule, "insert", lambda caller: _insertion(caller, rule, row))
        _by_others(
            scene, rule, "insert", lambda caller: _insertion(caller, rule, row, minimal=True)
        )


def _insertion(
    caller: Caller, rule: Rule, row: dict[str, Any], *, minimal: bool = False
) -> Request:
    table = caller.table(rule.name)
    if minimal:
        return table.insert(row, count=EXACT, returning=MINIMAL)
    return table.insert(row, count=EXACT)


def _update(scene: Scene, rule: Rule) -> None:
    change = scene.change(rule)
    if not change:
        return

    def change_of(caller: Caller, owner: str, *, minimal: bool = False) -> Request:
        table = caller.table(rule.name)
        request = (
            table.update(change, count=EXACT, returning=MINIMAL)
            if minimal
            else table.update(change, count=EXACT)
        )
        return _aimed(request, rule, owner, next(iter(change)))

    _one_sided(scene, rule, "update", change_of)
    _by_others(scene, rule, "update", lambda caller: change_of(caller, scene.a.id))


def _delete(scene: Scene, rule: Rule) -> None:
    columns = scene.columns(rule)
    if not rule.owner and not columns:
        scene.record.skip(f"no request about {rule.name} can be aimed at two users' rows")
        return

    def removal_of(caller: Caller, owner: str, *, minimal: bool = False) -> Request:
        table = caller.table(rule.name)
        request = (
            table.delete(count=EXACT, returning=MINIMAL) if minimal else table.delete(count=EXACT)
        )
        return _aimed(request, rule, owner, next(iter(columns), ""))

    _one_sided(scene, rule, "delete", removal_of)
    _by_others(scene, rule, "delete", lambda caller: removal_of(caller, scene.a.id))


def _aimed(
    request: SyncSelectRequestBuilder, rule: Rule, owner: str, column: str
) -> SyncSelectRequestBuilder:
    """At the rows of one user; of a relation where rows are nobody's, at none at all."""
    if rule.owner:
        return request.eq(rule.owner, owner)
    return request.is_(column, "null").not_.is_(column, "null")


def _one_sided(scene: Scene, rule: Rule, operation: str, request: Callable[..., Request]) -> None:
    """A's requests about B's rows, and about its own where it may not do this at all."""
    a, b = scene.a, scene.b
    reach = scene.reach(rule, operation, USER)
    probe = Probe(rule.name, USER, operation)
    twin = scene.twin(rule, operation)
    if reach == OWN:
        denial = Denial(nothing=True)
        twin = twin and bool(scene.rows_of(rule, b))
    else:
        denial = scene.refusal(rule, nothing=reach == NONE)
    for owner in {OWN: (b.id,), ALL: ()}.get(reach, (b.id, a.id)):
        for minimal in (False, True):
            answer = a.caller.send(request(a.caller, owner, minimal=minimal))
            scene.record.denied(probe, answer, denial, twin=twin)


def _other_columns(scene: Scene, rule: Rule) -> None:
    """Columns that no API role may update, set to what they are: only a right can refuse that."""
    rows = scene.rows_of(rule, scene.a) if rule.update_columns is not None else []
    if rule.update_columns is None:
        return
    twin = scene.twin(rule, "update") and bool(rows)
    for column, value in (rows[0] if rows else {}).items():
        if column in rule.update_columns:
            continue
        for caller in (scene.a.caller, scene.service):
            if caller is None:
                continue
            request = caller.table(rule.name).update({column: value}, count=EXACT)
            answer = caller.send(request.eq(rule.owner, scene.a.id).eq("id", rows[0]["id"]))
            name = USER if caller is scene.a.caller else caller.name
            probe = Probe(rule.name, name, f"update {column}")
            scene.record.denied(probe, answer, scene.refusal(rule), twin=twin)


def _by_others(
    scene: Scene, rule: Rule, operation: str, request: Callable[[Caller], Request]
) -> None:
    """The same by whoever is neither of the two users, where it may not."""
    twin = scene.twin(rule, operation)
    for caller in scene.others():
        reach = scene.reach(rule, operation, caller.name)
        if reach == ALL:
            continue
        # Who owns nothing and reaches its own finds nothing; an insert is refused all the same.
        finds = reach == NONE or (reach in (OWN, ONCE) and operation != "insert")
        denial = scene.refusal(rule, nothing=finds)
        answer = caller.send(request(caller))
        scene.record.denied(Probe(rule.name, caller.name, operation), answer, denial, twin=twin)
