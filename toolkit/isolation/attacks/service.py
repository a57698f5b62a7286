"""Attacks through the calls of the service layer: each names an event or a batch of Bob's."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

from toolkit.isolation.attacks.base import Attacks
from toolkit.isolation.cast import Household
from toolkit.isolation.probing import Probe, Step, allowed, empty, refused
from toolkit.isolation.statements import compose

_NOT_THERE = "ML204"
_ON_EVENTS = {
    "public.void_event(uuid,text,text)": "select count(*) from public.void_event({})",
    "public.replace_event(uuid,jsonb,text,text)": (
        'select count(*) from public.replace_event({}, \'{{"notes": "probe"}}\')'
    ),
    "public.recalculate(uuid,text)": "select count(*) from public.recalculate({})",
}
_ROLLBACK = "public.rollback_recalculation(uuid,text,text)"
_PREVIEW = "public.preview_backdate(text,numeric,timestamp with time zone,numeric)"


def named_in_calls(attacks: Attacks) -> Iterator[Probe]:
    """What is another's is not there, whoever holds its id."""
    rules, alice = attacks.stage.access.rules, attacks.alice
    mine, theirs = attacks.mine, attacks.theirs
    for name, call in _ON_EVENTS.items():
        if name in rules:
            attack, honest = ((alice.step(compose(call, home.event)),) for home in (theirs, mine))
            title = "a call that names another's event"
            yield from attacks.pair(
                title, name, attack, refused(_NOT_THERE), honest, allowed(exactly=1)
            )
    if _ROLLBACK in rules:
        call = "select count(*) from public.rollback_recalculation({})"
        title = "a call that names another's recalculation"
        recorded, asked = zip(
            *(
                (_recorded(home, batch), alice.step(compose(call, batch)))
                for home, batch in ((theirs, uuid4()), (mine, uuid4()))
            ),
            strict=True,
        )
        yield from attacks.pair(
            title,
            _ROLLBACK,
            (recorded[0], asked[0]),
            refused(_NOT_THERE),
            (recorded[1], asked[1]),
            allowed(exactly=1),
        )
    if _PREVIEW in rules:
        call = (
            "select count(*) from jsonb_array_elements(public.preview_backdate("
            "'ADJUSTMENT', 1, now() - interval '4 hours 1 second') -> 'later') as l (event) "
            "where l.event ->> 'event_id' = {}"
        )
        attack, honest = ((alice.step(compose(call, home.event)),) for home in (theirs, mine))
        title = "a preview that tells another's positions"
        yield from attacks.pair(title, _PREVIEW, attack, empty(), honest, allowed(exactly=1))


def _recorded(home: Household, batch: UUID) -> Step:
    """The owner writes the recalculation of a household's event."""
    return Step(
        compose(
            "insert into public.recalculation_batches (id, user_id, trigger_type, "
            "trigger_event_id, affected_events, events_count) "
            "values ({}, {}, 'BACKDATE_TOPUP', {}, '[]', 0)",
            *(batch, home.user, home.event),
        ),
        returns=False,
    )
