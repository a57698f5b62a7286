"""Writes that aim at another's rows by detours: upserts, gifts, borrowed names, forged columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from postgrest import SyncSelectRequestBuilder

from toolkit.isolation.access import OWN, Rule
from toolkit.isolation.api.allowed import MINIMAL
from toolkit.isolation.api.denied import TAKEN, unchanged
from toolkit.isolation.api.record import REFUSED, Denial, Probe
from toolkit.isolation.api.scene import EXACT, USER, Scene, only
from toolkit.isolation.api.wire import Answer, Caller, Request

# Hosted databases refuse an update or delete without a condition by an extension of their own.
_NO_CONDITION = ("21000", *REFUSED)
_NO_TARGET = ("23503",)
_BY, _TARGET, _METADATA, _MIGRATED = "created_by", "void_of_event", "metadata", "migrated_from"
UNFILTERED = "writes without a filter were not sent: the database is not said to be a scratch one"


def prove_writing(scene: Scene) -> None:
    """As the user A, in every relation that users write."""
    for rule in scene.own("update"):
        with unchanged(scene, rule, "gift", scene.b):
            _gifts(scene, rule)
        with unchanged(scene, rule, "mass update", scene.b):
            _mass_update(scene, rule)
    # After the gifts: an upsert may leave A an id that B holds too, which a gift would run into.
    for rule in scene.own("insert"):
        if scene.row(rule, scene.a.id) is not None:
            with unchanged(scene, rule, "upsert", scene.b):
                _upserts(scene, rule)
            with unchanged(scene, rule, "forged insert", scene.b):
                _names(scene, rule)
                _provenance(scene, rule)
                _references(scene, rule)
    for rule in scene.own("delete"):
        with unchanged(scene, rule, "mass delete", scene.b):
            _mass_delete(scene, rule)
    if not scene.scratch:
        scene.record.facts.append(UNFILTERED)


def _upsert(caller: Caller, rule: Rule, row: dict[str, Any], *, ignore: bool) -> Answer:
    table = caller.table(rule.name)
    return caller.send(table.upsert(row, count=EXACT, ignore_duplicates=ignore))


def _upserts(scene: Scene, rule: Rule) -> None:
    """Onto the other's row, in its name and in one's own; both ways to treat a conflict."""
    a, b = scene.a, scene.b
    theirs, own = scene.rows_of(rule, b), scene.rows_of(rule, a)
    if not theirs or not own:
        scene.record.verdict(Probe(rule.name, USER, "upsert"), Answer(0), None, twin=False)
        return
    keyed = "id" in own[0] and rule.owner != "id"
    for ignore in (True, False):
        probe = Probe(rule.name, USER, f"upsert, {'ignore' if ignore else 'merge'} duplicates")
        row = scene.row(rule, a.id) or {}
        row |= {"id": own[0]["id"]} if keyed else {}
        answer = _upsert(a.caller, rule, row, ignore=ignore)
        # Merging rewrites every column that is sent, so it needs the right to each of them.
        merges = ignore or rule.update_columns is None
        if merges:
            twin = scene.record.allowed(probe, answer, answer.ok)
        else:
            twin = scene.twin(rule, "insert")
            scene.record.denied(probe, answer, scene.refusal(rule), twin=twin)
        row = scene.row(rule, b.id) or {}
        row |= {"id": theirs[0]["id"]} if keyed else {}
        answer = _upsert(a.caller, rule, row, ignore=ignore)
        scene.record.denied(probe, answer, Denial(about=rule.local_name), twin=twin)
        if keyed and merges:
            row = {**(scene.row(rule, a.id) or {}), "id": theirs[0]["id"]}
            _take_id(scene, rule, probe, _upsert(a.caller, rule, row, ignore=ignore), twin=twin)


def _take_id(scene: Scene, rule: Rule, probe: Probe, answer: Answer, *, twin: bool) -> None:
    """An id that the other holds: free where keys carry the owner, else nothing comes of it."""
    if rule.keys:
        denial = Denial(codes=(*REFUSED, *TAKEN), about=rule.local_name, nothing=True)
        scene.record.denied(probe, answer, denial, twin=twin)
    else:
        scene.record.allowed(probe, answer, only(answer, rule, scene.a.id))


def _insert(scene: Scene, rule: Rule, caller: Caller, **columns: object) -> Answer:
    row = {**(scene.row(rule, scene.a.id) or {}), **columns}
    return caller.send(caller.table(rule.name).insert(row, count=EXACT))


def _names(scene: Scene, rule: Rule) -> None:
    """A row of one's own that says that the other made it."""
    if _BY not in scene.names(rule) or scene.reach(rule, "insert", USER) != OWN:
        return
    probe = Probe(rule.name, USER, f"insert {_BY}")
    caller = scene.a.caller
    answer = _insert(scene, rule, caller, created_by=scene.a.id)
    twin = scene.record.allowed(probe, answer, only(answer, rule, scene.a.id))
    answer = _insert(scene, rule, caller, created_by=scene.b.id)
    scene.record.denied(probe, answer, Denial(about=rule.local_name), twin=twin)


def _provenance(scene: Scene, rule: Rule) -> None:
    """Columns that only the migration or a void may fill, each with a value that fits."""
    columns, twin = scene.columns(rule), scene.twin(rule, "insert")
    for column in rule.insert_except:
        if column not in columns:
            scene.record.skip(f"the API does not show the type of {rule.name}.{column}")
            continue
        value = _forged(columns[column], scene)
        for caller in (scene.a.caller, scene.service):
            if caller is None:
                continue
            name = USER if caller is scene.a.caller else caller.name
            answer = _insert(scene, rule, caller, **{column: value})
            probe = Probe(rule.name, name, f"insert {column}")
            scene.record.denied(probe, answer, Denial(about=rule.local_name), twin=twin)
    if rule.insert_except and _METADATA in scene.names(rule):
        probe = Probe(rule.name, USER, f"insert {_METADATA}.{_MIGRATED}")
        caller = scene.a.caller
        answer = _insert(scene, rule, caller, metadata={"made_by": "isolation probe"})
        twin = scene.record.allowed(probe, answer, only(answer, rule, scene.a.id))
        answer = _insert(scene, rule, caller, metadata={_MIGRATED: "electricity_readings"})
        scene.record.denied(probe, answer, Denial(about=rule.local_name), twin=twin)


def _references(scene: Scene, rule: Rule) -> None:
    """A void of the other's event: refused as if there were no such event, which tells nothing."""
    own, theirs = scene.rows_of(rule, scene.a), scene.rows_of(rule, scene.b)
    if _TARGET not in scene.names(rule) or not own or not theirs:
        return
    probe = Probe(rule.name, USER, f"insert {_TARGET}")
    void = {"event_type": "VOID", "kwh_amount": 0}
    answer = _insert(scene, rule, scene.a.caller, **void, **{_TARGET: own[0]["id"]})
    twin = scene.record.allowed(probe, answer, only(answer, rule, scene.a.id))
    mine = {row["id"] for row in own}
    for target in (next(row["id"] for row in theirs if row["id"] not in mine), str(uuid4())):
        answer = _insert(scene, rule, scene.a.caller, **void, **{_TARGET: target})
        scene.record.denied(probe, answer, Denial(codes=_NO_TARGET), twin=twin)


def _forged(kind: str, scene: Scene) -> object:
    if kind.startswith("timestamp"):
        return scene.moments.next()
    values: Mapping[str, object] = {"uuid": scene.b.id, "boolean": True, "numeric": -1}
    return values.get(kind, "isolation probe")


def _gifts(scene: Scene, rule: Rule) -> None:
    """A row of one's own made the other's: loose checks of new rows let that pass."""
    a, twin = scene.a, scene.twin(rule, "update")
    probe = Probe(rule.name, USER, f"update {rule.owner}")
    for minimal in (False, True):
        request = _change(a.caller, rule, {rule.owner: scene.b.id}, minimal=minimal)
        answer = a.caller.send(request.eq(rule.owner, a.id))
        scene.record.denied(probe, answer, Denial(about=rule.local_name), twin=twin)
    if scene.scratch:
        # Without a condition nothing is read, so that no policy but the update's can object.
        answer = a.caller.send(_change(a.caller, rule, {rule.owner: scene.b.id}, minimal=True))
        about = rule.local_name if answer.code in REFUSED else ""
        denial = Denial(codes=_NO_CONDITION, about=about)
        scene.record.denied(probe, answer, denial, twin=twin)


def _change(
    caller: Caller, rule: Rule, change: Mapping[str, Any], *, minimal: bool = False
) -> SyncSelectRequestBuilder:
    table = caller.table(rule.name)
    if minimal:
        return table.update(change, count=EXACT, returning=MINIMAL)
    return table.update(change, count=EXACT)


def _mass_update(scene: Scene, rule: Rule) -> None:
    """Of both users' rows in one request; on a scratch database of everybody's."""
    change = scene.change(rule)
    if not change:
        return
    caller, both = scene.a.caller, [scene.a.id, scene.b.id]
    _own_alone(scene, rule, "mass update", _change(caller, rule, change).in_(rule.owner, both))
    if scene.scratch:
        request = _change(caller, rule, change)
        _own_alone(scene, rule, "mass update", request.not_.is_(rule.owner, "null"))
        _own_alone(scene, rule, "mass update without a filter", _change(caller, rule, change))


def _mass_delete(scene: Scene, rule: Rule) -> None:
    """As above; each request finds rows of A's, which are made again."""
    caller, both = scene.a.caller, [scene.a.id, scene.b.id]

    def removal() -> SyncSelectRequestBuilder:
        return caller.table(rule.name).delete(count=EXACT)

    _own_alone(scene, rule, "mass delete", removal().in_(rule.owner, both))
    _insert(scene, rule, caller)
    if scene.scratch:
        _own_alone(scene, rule, "mass delete", removal().not_.is_(rule.owner, "null"))
        _insert(scene, rule, caller)
        _own_alone(scene, rule, "mass delete without a filter", removal())
        _insert(scene, rule, caller)


def _own_alone(scene: Scene, rule: Rule, operation: str, request: Request) -> None:
    """It takes all own rows and no others, or is refused for want of a condition."""
    probe = Probe(rule.name, USER, operation)
    held = len(scene.rows_of(rule, scene.a))
    twin = bool(held) and bool(scene.rows_of(rule, scene.b))
    answer = scene.a.caller.send(request)
    foreign = {row.get(rule.owner) for row in answer.rows} - {scene.a.id}
    if answer.code in _NO_CONDITION and operation.endswith("filter"):
        scene.record.denied(probe, answer, Denial(codes=_NO_CONDITION), twin=twin)
        return
    own = only(answer, rule, scene.a.id) and answer.touched == held
    scene.record.both(probe, answer, own=own, foreign=bool(foreign), twin=twin)
