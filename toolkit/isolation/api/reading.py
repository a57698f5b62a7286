"""Ways to read more than one asked for: counts, filters, pages, orders, embedded relations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from postgrest import SyncSelectRequestBuilder

from toolkit.isolation.access import Rule
from toolkit.isolation.api.record import NO_RELATION, REFUSED, Denial, Probe
from toolkit.isolation.api.scene import EXACT, USER, Scene, only
from toolkit.isolation.api.wire import Answer
from toolkit.isolation.report import Kind

PAGE = 2
NO_RELATIONSHIP = ("PGRST200", "PGRST201")
NO_SUCH_PAGE = ("PGRST103",)
_LOWEST = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class _Whose:
    """The owner's column, and the two users' ids."""

    column: str
    own: str
    other: str


Filter = Callable[[SyncSelectRequestBuilder, _Whose], SyncSelectRequestBuilder]

# Own rows must come, and no others.
_BROAD: Mapping[str, Filter] = {
    "filter or": lambda r, w: r.or_(f"{w.column}.eq.{w.other},{w.column}.eq.{w.own}"),
    "filter in": lambda r, w: r.in_(w.column, [w.other, w.own]),
    "filter not null": lambda r, w: r.not_.is_(w.column, "null"),
    "filter from the lowest": lambda r, w: r.gte(w.column, _LOWEST),
    "order ascending": lambda r, w: r.order(w.column),
    "order descending": lambda r, w: r.order(w.column, desc=True),
}
# No rows must come.
_FOREIGN: Mapping[str, Filter] = {
    "filter eq": lambda r, w: r.eq(w.column, w.other),
    "filter neq": lambda r, w: r.neq(w.column, w.own),
    "filter not eq": lambda r, w: r.not_.eq(w.column, w.own),
    "filter or of others": lambda r, w: r.or_(f"{w.column}.eq.{w.other},{w.column}.neq.{w.own}"),
}


def prove_reading(scene: Scene) -> None:
    """As the user A, on every relation in which users see their own rows."""
    for rule in scene.own():
        _filters(scene, rule)
        _counts(scene, rule)
        _pages(scene, rule)
    _embeddings(scene)


def _filters(scene: Scene, rule: Rule) -> None:
    a, b = scene.a, scene.b
    twin = scene.twin(rule, "select") and bool(scene.rows_of(rule, b))
    whose = _Whose(rule.owner, a.id, b.id)
    for name, narrow in _BROAD.items():
        request = a.caller.table(rule.name).select("*").limit(200)
        answer = a.caller.send(narrow(request, whose))
        foreign = {row.get(rule.owner) for row in answer.rows} - {a.id}
        probe = Probe(rule.name, USER, name)
        own = only(answer, rule, a.id)
        scene.record.both(probe, answer, own=own, foreign=bool(foreign), twin=twin)
    for name, narrow in _FOREIGN.items():
        request = a.caller.table(rule.name).select("*").limit(5)
        answer = a.caller.send(narrow(request, whose))
        scene.record.denied(Probe(rule.name, USER, name), answer, Denial(nothing=True), twin=twin)


def _counts(scene: Scene, rule: Rule) -> None:
    """Exact ones, without the rows: of everything it must be the own, of the other's nothing."""
    a, b = scene.a, scene.b
    probe = Probe(rule.name, USER, "count")
    held, foreign = len(scene.rows_of(rule, a)), len(scene.rows_of(rule, b))
    answer = a.caller.send(a.caller.table(rule.name).select("*", count=EXACT, head=True))
    more = (answer.count or 0) > held
    own = answer.ok and answer.count == held > 0
    twin = scene.record.both(probe, answer, own=own, foreign=more, twin=bool(foreign))
    request = a.caller.table(rule.name).select("*", count=EXACT, head=True)
    answer = a.caller.send(request.eq(rule.owner, b.id))
    told = answer.ok and answer.count is not None
    kind = Denial(nothing=True).judge(answer) if told else Kind.UNCLEAR
    scene.record.verdict(probe, answer, kind, twin=twin)


def _pages(scene: Scene, rule: Rule) -> None:
    """Page by page to the end and one page beyond it."""
    a, b = scene.a, scene.b
    probe = Probe(rule.name, USER, "paging")
    held = len(scene.rows_of(rule, a))
    twin = bool(held) and bool(scene.rows_of(rule, b))
    for first in range(0, held, PAGE):
        request = a.caller.table(rule.name).select("*", count=EXACT).order(rule.owner)
        answer = a.caller.send(request.range(first, first + PAGE - 1))
        foreign = {row.get(rule.owner) for row in answer.rows} - {a.id}
        own = only(answer, rule, a.id) and answer.count == held
        scene.record.both(probe, answer, own=own, foreign=bool(foreign), twin=twin)
    beyond = Denial(codes=NO_SUCH_PAGE, nothing=True)
    for counted in (None, EXACT):
        request = a.caller.table(rule.name).select("*", count=counted).order(rule.owner)
        answer = a.caller.send(request.range(held, held + PAGE - 1))
        # The count of a page beyond the end is of all rows, and told by another probe.
        rows_only = Answer(answer.status, answer.code, answer.said, answer.rows, curl=answer.curl)
        scene.record.denied(probe, rows_only, beyond, twin=twin)


def _embeddings(scene: Scene) -> None:
    """Every pair of relations that the API can join, in both directions, and narrowed by it."""
    found = 0
    for outer in scene.own():
        for inner in scene.relations():
            found += _embedded(scene, outer, inner)
    scene.record.facts.append(f"{found} pairs of relations embed in each other through the API")


def _embedded(scene: Scene, outer: Rule, inner: Rule) -> int:
    a, b = scene.a, scene.b
    name = inner.local_name
    request = a.caller.table(outer.name).select(f"*,{name}(*)").limit(50)
    answer = a.caller.send(request)
    if answer.code in (*NO_RELATIONSHIP, *NO_RELATION):
        return 0
    probe = Probe(inner.name, USER, f"embedded in {outer.local_name}")
    twin = scene.twin(outer, "select") and bool(scene.rows_of(outer, b))
    if inner not in tuple(scene.own()):
        scene.record.denied(probe, answer, scene.refusal(inner), twin=twin)
        return 1
    children = [child for row in answer.rows for child in nested(row.get(name))]
    owners = {row.get(outer.owner) for row in answer.rows}
    owners |= {child.get(inner.owner) for child in children}
    own, foreign = answer.ok and bool(children), bool(owners - {a.id})
    scene.record.both(probe, answer, own=own, foreign=foreign, twin=twin)
    # Rows of one's own, chosen by what another's rows say, would tell what they say.
    request = a.caller.table(outer.name).select(f"*,{name}!inner(*)")
    answer = a.caller.send(request.eq(f"{name}.{inner.owner}", b.id).limit(5))
    scene.record.denied(probe, answer, Denial(codes=REFUSED, nothing=True), twin=twin)
    request = a.caller.table(outer.name).select(f"*,{name}!inner(*)")
    answer = a.caller.send(request.eq(f"{name}.{inner.owner}", a.id).limit(5))
    scene.record.allowed(probe, answer, only(answer, outer, a.id))
    return 1


def nested(value: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - JSON
    """The embedded rows: a list of them, or one."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item
