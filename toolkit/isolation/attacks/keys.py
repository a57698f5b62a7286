"""Attacks on keys: what another user holds must be as free as what nobody holds."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

from toolkit.isolation.attacks.base import BATCHES, EVENTS, TAKEN, Attacks, free
from toolkit.isolation.probing import NO_SUCH_PARENT, Probe, allowed, refused
from toolkit.isolation.statements import compose


def oracles(attacks: Attacks) -> Iterator[Probe]:
    """Keys that tell whether another user's row exists: an id or a key that Bob holds is free."""
    mine, theirs, pair = attacks.mine, attacks.theirs, attacks.pair
    name = "an id that another holds"
    there = (attacks.event({"id": theirs.event}, tail="on conflict do nothing"),)
    own = (attacks.event({"id": uuid4()}, tail="on conflict do nothing"),)
    yield from free(EVENTS, name, there, own)
    name = "an idempotency key that another holds"
    there = (attacks.event({"idempotency_key": theirs.key}),)
    own = (attacks.event({"idempotency_key": str(uuid4())}),)
    yield from free(EVENTS, name, there, own)
    taken = (attacks.event({"idempotency_key": mine.key}),)
    yield from pair(
        "an idempotency key of one's own, twice", EVENTS, taken, refused(TAKEN), own, allowed()
    )
    # Her own event under the id of Bob's voided one, then its VOID event.
    same = attacks.event({"id": theirs.voided})
    void = attacks.event({"void_of_event": theirs.voided}, kind="VOID", kwh=0)
    fresh = uuid4()
    honest_void = (
        attacks.event({"id": fresh}),
        attacks.event({"void_of_event": fresh}, kind="VOID", kwh=0),
    )
    yield from free(EVENTS, "a void of an id that another voided", (same, void), honest_void)
    # The same refusal whether the other's event is there or not.
    for name, target in (
        ("a VOID event for another's event", theirs.event),
        ("a VOID event for an event that is not there", uuid4()),
    ):
        attack = (attacks.event({"void_of_event": target}, kind="VOID", kwh=0),)
        honest = (attacks.event({"void_of_event": mine.event}, kind="VOID", kwh=0),)
        yield from pair(name, EVENTS, attack, refused(NO_SUCH_PARENT), honest, allowed())
    upsert = (
        "insert into public.token_events (id, user_id, event_type, event_date, kwh_amount) "
        "values ({}, {}, 'TOPUP', now(), 1) on conflict (user_id, id) "
        "do update set voided_reason = 'mine'"
    )
    attack = (attacks.alice.step(compose(upsert, theirs.event, theirs.user), returns=False),)
    honest = (attacks.alice.step(compose(upsert, mine.event, mine.user), returns=False),)
    yield from pair("an upsert of another's event", EVENTS, attack, refused(), honest, allowed())
    if BATCHES in attacks.stage.access.rules:
        batch = (
            "insert into public.recalculation_batches (id, user_id, trigger_type, "
            "affected_events, events_count) values ({}, {}, 'EDIT_TOPUP', '[]', 0) "
            "on conflict do nothing"
        )
        there, own = (
            (attacks.alice.step(compose(batch, id_, mine.user), returns=False),)
            for id_ in (theirs.batch, uuid4())
        )
        yield from free(BATCHES, "an id that another holds", there, own)
