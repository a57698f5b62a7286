"""The probes that the declaration demands of tables and views, for each identity and operation."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.access import ALL, NO, NONE, ONCE, OWN, Rule
from toolkit.isolation.cast import ALICE, Actor
from toolkit.isolation.probing import (
    NO_SUCH_PARENT,
    REFUSED,
    Expected,
    Probe,
    Step,
    allowed,
    empty,
    nothing,
    refused,
)
from toolkit.isolation.rights_probes import rights_probes
from toolkit.isolation.stage import Stage
from toolkit.isolation.statements import compose, insert, relation, sample_row

# Stops a mass write that should not have got so far, without reading a column: reading one would
# call in the policies for reading, which hide a loose policy for writing.
_FEW = (
    "set_config('meterledger.met', (coalesce(nullif(current_setting('meterledger.met', true), ''),"
    " '0')::int + 1)::text, true)::int <= 50"
)
_OWNER = "owner"
_TAKEN = "23505"
_NOT_WRITABLE = "55000"


def relation_probes(stage: Stage, rule: Rule) -> Iterator[Probe]:
    """Everything that is tried on a table, a view or a materialized view."""
    yield from _twins(stage, rule)
    yield from rights_probes(stage, rule)
    for actor in stage.bystanders(rule) if rule.owner else ():
        yield from _select(stage, rule, actor)
    for actor in stage.actors(rule):
        yield from _select(stage, rule, actor)
        if rule.kind == "materialized view":
            continue  # nobody can write one
        yield from _insert(stage, rule, actor)
        yield from _update(stage, rule, actor)
        yield from _delete(stage, rule, actor)


def _probe(
    rule: Rule,
    actor: Actor,
    operation: str,
    what: str,
    step: Step,
    expected: Expected,
    twin: str = "",
) -> Probe:
    return Probe(
        key=f"{rule.name} {actor.identity.name} {actor.me} {operation}: {what}",
        subject=rule.name,
        identity=actor.identity.name,
        operation=operation,
        what=f"{operation} {rule.name}: {what}",
        steps=(step,),
        expected=expected,
        twin=twin,
    )


def _twin(rule: Rule, operation: str) -> str:
    return f"{rule.name} {_OWNER} {operation}"


def _own(stage: Stage, rule: Rule, operation: str, what: str) -> str:
    """The key of the case that must be allowed beside a denial: the user's own rows.

    Where no user has any right, it is the owner's same statement, which shows that the
    statement is a sound one.
    """
    reach = stage.access.reach(rule, operation, stage.access.identity(ALICE))
    me = stage.pairs.get(rule.name, (stage.cast.alice.user,))[0]
    if reach == OWN:
        return f"{rule.name} {ALICE} {me} {operation}: {what}"
    return _twin(rule, operation)


def _twins(stage: Stage, rule: Rule) -> Iterator[Probe]:
    """The owner does each thing once, so that a denial is not a statement that cannot work."""
    first = sql.Identifier(stage.catalog.columns.get(rule.name, ("ctid",))[0])
    steps = {
        "select": Step(compose("select count(*) >= 0 from {} where false", relation(rule))),
        "insert": Step(
            compose("explain insert into {} default values", relation(rule)), returns=True
        ),
        "update": Step(
            compose("update {} set {} = default where false", relation(rule), first), returns=False
        ),
        "delete": Step(compose("delete from {} where false", relation(rule)), returns=False),
    }
    for operation, step in steps.items():
        if rule.kind == "materialized view" and operation != "select":
            continue
        # A view that cannot be written at all refuses the owner too, with another word.
        sound = steps["select"] if rule.kind == "view" else step
        yield Probe(
            key=_twin(rule, operation),
            subject=rule.name,
            identity=_OWNER,
            operation=operation,
            what=f"{operation} {rule.name}, as its owner",
            steps=(sound,),
            expected=allowed(least=0),
        )


def _select(stage: Stage, rule: Rule, actor: Actor) -> Iterator[Probe]:
    reach = stage.access.reach(rule, "select", actor.identity)
    if not rule.owner or reach == NO:
        # Naming no column: a right on any one of them would do.
        step = actor.step(compose("select count(*) from {}", relation(rule)))
        wanted = allowed(0) if reach == ALL else refused() if reach == NO else nothing()
        yield _probe(rule, actor, "select", "any row", step, wanted, _twin(rule, "select"))
    if not rule.owner:
        return
    count = "select count(*) from (select from {} where {} {} {} limit 1000) as few"
    owner = sql.Identifier(rule.owner)
    for what, sign, whose in (
        ("its own rows", "=", actor.me),
        ("another user's rows", "=", actor.other),
        ("everybody else's rows", "<>", actor.me),
    ):
        step = actor.step(compose(count, relation(rule), owner, sql.SQL(sign), whose))
        wanted = _seen(reach, actor, is_own=what == "its own rows")
        yield _probe(
            rule, actor, "select", what, step, wanted, _own(stage, rule, "select", "its own rows")
        )


def _seen(reach: str, actor: Actor, *, is_own: bool) -> Expected:
    if reach == ALL:
        return allowed()
    if reach == OWN and is_own and actor.identity.owns:
        return allowed()
    if reach == NO:
        return refused()
    return nothing() if reach == NONE else empty()


def _insert(stage: Stage, rule: Rule, actor: Actor) -> Iterator[Probe]:
    reach = stage.access.reach(rule, "insert", actor.identity)
    if not rule.row:
        step = actor.step(compose("insert into {} default values", relation(rule)), returns=False)
        wanted = _closed(rule)
        yield _probe(rule, actor, "insert", "a row", step, wanted, _twin(rule, "insert"))
        return
    once = stage.access.reach(rule, "insert", stage.access.identity(ALICE)) == ONCE
    own = _own(stage, rule, "insert", "a row of its own")
    if once:
        own = _once_twin(stage, rule)
    whose = stage.cast.users["no_profile"] if once and reach == ALL else actor.me
    for what, tail in (("a row of its own", ""), ("a row of its own, returning it", "returning *")):
        step = actor.step(insert(rule, sample_row(rule, whose), tail), returns=False)
        yield _probe(rule, actor, "insert", what, step, _written(rule, reach, actor), own)
    for what, tail in (
        ("a row of another user", ""),
        ("a row of another user, on conflict do nothing", "on conflict do nothing"),
    ):
        step = actor.step(insert(rule, sample_row(rule, actor.other), tail), returns=False)
        if reach == ALL:
            continue
        yield _probe(rule, actor, "insert", what, step, refused(), own)
    for column in rule.insert_except if stage.is_first(actor) else ():
        row = {**sample_row(rule, actor.me), column: "default"}
        step = actor.step(insert(rule, row), returns=False)
        yield _probe(rule, actor, "insert", f"{column} of a row", step, refused(), own)


def _once_twin(stage: Stage, rule: Rule) -> str:
    """Who has its one row already cannot show that an insert is allowed; who has none can."""
    for actor in stage.cast.actors(stage.access):
        if stage.access.reach(rule, "insert", actor.identity) == OWN and actor.signed_in:
            return f"{rule.name} {actor.identity.name} {actor.me} insert: a row of its own"
    return _twin(rule, "insert")


def _written(rule: Rule, reach: str, actor: Actor) -> Expected:
    """What must come of an insert of a row that the actor calls its own."""
    by_name = actor.identity.name in rule.reach["insert"]
    if reach == ALL or (reach == OWN and (actor.identity.owns or by_name)):
        return allowed(1)
    if reach == ONCE and actor.identity.owns:
        return refused(_TAKEN)
    return refused(REFUSED, NO_SUCH_PARENT) if reach in (OWN, ONCE) else refused()


def _update(stage: Stage, rule: Rule, actor: Actor) -> Iterator[Probe]:
    reach = stage.access.reach(rule, "update", actor.identity)
    table = relation(rule)
    own = _own(stage, rule, "update", "its own rows")
    for column in _closed_columns(stage, rule, reach) if stage.is_first(actor) else ():
        step = actor.step(
            compose("update {} set {} = default where false", table, sql.Identifier(column)),
            returns=False,
        )
        yield _probe(rule, actor, "update", f"column {column}", step, _closed(rule), own)
    if not rule.touch:
        return
    owner, touch = sql.Identifier(rule.owner), sql.SQL(rule.touch)
    for what, whose in (("its own rows", actor.me), ("another user's rows", actor.other)):
        step = actor.step(
            compose("update {} set {} where {} = {}", table, touch, owner, whose), returns=False
        )
        yield _probe(rule, actor, "update", what, step, _changed(reach, actor, what), own)
    if reach == ALL:
        return
    step = actor.step(
        compose("update {} set {} where {}", table, touch, sql.SQL(_FEW)), returns=False
    )
    yield _probe(rule, actor, "update", "everything", step, _mass(stage, rule, reach, actor), own)
    step = actor.step(
        compose("update {} set {} = {} where {}", table, owner, actor.other, sql.SQL(_FEW)),
        returns=False,
    )
    wanted = refused() if reach != NONE and actor.identity.owns else nothing()
    yield _probe(rule, actor, "update", "whose its rows are", step, wanted, own)


def _closed(rule: Rule) -> Expected:
    """Nobody may; and who may not, cannot write a view that cannot be written at all."""
    return refused(REFUSED, _NOT_WRITABLE) if rule.kind == "view" else refused()


def _closed_columns(stage: Stage, rule: Rule, reach: str) -> tuple[str, ...]:
    columns = stage.catalog.columns.get(rule.name, ())
    if reach == NO:
        return columns
    if rule.update_columns is None:
        return ()
    return tuple(column for column in columns if column not in rule.update_columns)


def _changed(reach: str, actor: Actor, what: str) -> Expected:
    if reach == ALL or (reach == OWN and actor.identity.owns and what == "its own rows"):
        return allowed(1)
    return refused() if reach == NO else empty() if reach == OWN else nothing()


def _mass(stage: Stage, rule: Rule, reach: str, actor: Actor) -> Expected:
    """A write without a condition: own rows, and not one more."""
    if reach != OWN or not actor.identity.owns:
        return refused() if reach == NO else nothing()
    return allowed(exactly=stage.held[rule.name, actor.me])


def _delete(stage: Stage, rule: Rule, actor: Actor) -> Iterator[Probe]:
    reach = stage.access.reach(rule, "delete", actor.identity)
    table = relation(rule)
    if not rule.owner:
        step = actor.step(compose("delete from {} where {}", table, sql.SQL(_FEW)), returns=False)
        yield _probe(rule, actor, "delete", "any row", step, _closed(rule), _twin(rule, "delete"))
        return
    own = _own(stage, rule, "delete", "its own rows")
    owner = sql.Identifier(rule.owner)
    for what, whose in (("its own rows", actor.me), ("another user's rows", actor.other)):
        step = actor.step(
            compose("delete from {} where {} = {}", table, owner, whose), returns=False
        )
        wanted = _closed(rule) if reach == NO else _changed(reach, actor, what)
        yield _probe(rule, actor, "delete", what, step, wanted, own)
    if reach == ALL:
        return
    step = actor.step(compose("delete from {} where {}", table, sql.SQL(_FEW)), returns=False)
    wanted = _closed(rule) if reach == NO else _mass(stage, rule, reach, actor)
    yield _probe(rule, actor, "delete", "everything", step, wanted, own)
