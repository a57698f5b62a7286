"""The declared arguments of a function, with what they name made anew for whom they are about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from toolkit.isolation.access import Rule
from toolkit.isolation.api.scene import Resident, Scene
from toolkit.isolation.api.values import UnsendableError, value_of

_EVENT, _BATCH = "{event}", "{batch}"
_EVENTS, _BATCHES = "public.token_events", "public.recalculation_batches"


def names_something(rule: Rule) -> bool:
    """Whether a call names an event or a recalculation of somebody."""
    return bool({_EVENT, _BATCH} & set(rule.row.values()))


def sendable(scene: Scene, rule: Rule) -> bool:
    """Whether the declared arguments can be sent; noted as skipped, where they cannot."""
    try:
        for expression in rule.row.values():
            if expression not in (_EVENT, _BATCH):
                value_of(expression, "", scene.moments)
    except UnsendableError as error:
        scene.record.skip(f"the arguments declared of {rule.name} cannot be sent: {error}")
        return False
    return True


def declared_arguments(scene: Scene, rule: Rule, about: Resident) -> dict[str, Any]:
    """Argument → value; a new event or recalculation of a user stands for {event} or {batch}.

    What could not be made is named by an id that is nobody's.
    """
    made = {_EVENT: _event, _BATCH: _batch}
    return {
        name: made[expression](scene, about)
        if expression in made
        else value_of(expression, about.id, scene.moments)
        for name, expression in rule.row.items()
    }


def written(scene: Scene) -> Iterator[Rule]:
    """The tables that a call may write."""
    for name in (_EVENTS, _BATCHES):
        rule = scene.access.rules.get(name)
        if rule is not None and name not in scene.gone:
            yield rule


def _event(scene: Scene, who: Resident) -> str:
    id_ = str(uuid4())
    rule = scene.access.rules.get(_EVENTS)
    row = None if rule is None else scene.row(rule, who.id)
    if row is not None:
        who.caller.send(who.caller.table(_EVENTS).insert({**row, "id": id_}))
    return id_


def _batch(scene: Scene, who: Resident) -> str:
    """A recalculation that says what a new event of the user changed."""
    id_, event = str(uuid4()), _event(scene, who)
    rule = scene.access.rules.get(_BATCHES)
    row = None if rule is None else scene.row(rule, who.id)
    if row is not None:
        row |= {"id": id_, "trigger_event_id": event}
        who.caller.send(who.caller.table(_BATCHES).insert(row))
    return id_
