"""What an attacker would try beyond asking: each attack beside the honest case that must work.

Alice attacks, Bob is attacked; both have rows everywhere. An attack is a probe like any other.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.isolation.attacks.base import EVENTS, Attacks
from toolkit.isolation.attacks.callers import calls, names_elsewhere, shadows
from toolkit.isolation.attacks.events import erasure, forgery, guards, voids
from toolkit.isolation.attacks.keys import oracles
from toolkit.isolation.attacks.readers import on_readers
from toolkit.isolation.attacks.service import named_in_calls
from toolkit.isolation.probing import Probe
from toolkit.isolation.stage import Stage


def attack_probes(stage: Stage) -> Iterator[Probe]:
    """All attacks that the objects that are there allow to try."""
    attacks = Attacks.on(stage)
    yield from on_readers(attacks)
    if EVENTS in stage.access.rules:
        yield from oracles(attacks)
        yield from voids(attacks)
        yield from named_in_calls(attacks)
        yield from forgery(attacks)
        yield from guards(attacks)
        yield from shadows(attacks)
        yield from erasure(attacks)
    yield from calls(attacks)
    yield from names_elsewhere(attacks)
