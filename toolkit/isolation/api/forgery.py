"""Tokens that are expired, forged or raised: none of them may open anything."""

from __future__ import annotations

from collections.abc import Mapping

from toolkit.isolation.access import Rule
from toolkit.isolation.api.record import INVALID_TOKEN, REFUSED, Denial, Probe
from toolkit.isolation.api.scene import EXACT, USER, Scene, only
from toolkit.isolation.api.tokens import expired, forged, sign, user_claims
from toolkit.isolation.api.wire import Answer, Caller, Wire
from toolkit.isolation.report import Kind

NOT_A_UUID = ("22P02",)
DELETED = "deleted"
NO_SECRET = (
    "expired tokens, tokens without a user and those with an odd one were not tried: "
    "only who has the JWT secret can make them"
)
_REJECTED = (401, 403)
Twins = Mapping[str, bool]


def prove_tokens(scene: Scene, wire: Wire, secret: str | None) -> None:
    """Each bad token reads and writes beside the good one that it was made from."""
    good = scene.a.person.token
    twins = _twins(scene, wire, good)
    for name, token in forged(good).items():
        _rejected(scene, wire, name, token, twins)
    if secret is None:
        scene.record.skip(NO_SECRET)
        return
    a = scene.a.id
    # The twin of a token that we sign is one that we sign: the secret must be the server's.
    twins = _twins(scene, wire, sign(user_claims(a), secret))
    _rejected(scene, wire, "an expired token", expired(a, secret), twins)
    role = {"role": "authenticated", "aud": "authenticated"}
    nobody = {
        "a token without a user": role,
        "a token whose user is empty": {**role, "sub": ""},
        "a token whose user is no uuid": {**role, "sub": f"{a}x"},
        "a token whose user is another claim": {**role, "user_id": a, "user": a},
    }
    for name, claims in nobody.items():
        _sees_nothing(scene, wire, name, sign(claims, secret), twins, found=True)
    # Policies of the app's own may go by the user alone, in whatever role; it is the user's row.
    claims = {**user_claims(a), "role": "anon"}
    name = "a token of a user in the role anon"
    _sees_nothing(scene, wire, name, sign(claims, secret), twins, found=False)


def _twins(scene: Scene, wire: Wire, token: str) -> Twins:
    """Relation → whether the good token sees its user's rows there, and no others."""
    caller = wire.bearer(USER, token)
    return {rule.name: only(_read(caller, rule), rule, scene.a.id) for rule in scene.own()}


def _read(caller: Caller, rule: Rule) -> Answer:
    return caller.send(caller.table(rule.name).select("*").limit(5))


def _rejected(scene: Scene, wire: Wire, name: str, token: str, twins: Twins) -> None:
    """As a whole, before anything is looked at: by 401, not as if there were no token."""
    caller = wire.bearer(name, token)
    for rule in scene.own():
        answer = _read(caller, rule)
        probe = Probe(rule.name, name, "select")
        scene.record.verdict(probe, answer, _judged(answer), twin=twins[rule.name])
    for rule in scene.own("insert"):
        row = scene.row(rule, scene.a.id)
        if row is None:
            continue
        answer = caller.send(caller.table(rule.name).insert(row, count=EXACT))
        probe = Probe(rule.name, name, "insert")
        twin = scene.twin_of_any("insert")
        scene.record.verdict(probe, answer, _judged(answer), twin=twin)
        return  # the token is refused before the relation is known: one is enough


def _judged(answer: Answer) -> Kind | None:
    """A gateway before PostgREST may refuse it in words of its own, without a code."""
    if answer.ok:
        return Kind.LEAK if answer.touched else Kind.UNCLEAR
    known = answer.code in INVALID_TOKEN or answer.code in ("", str(answer.status))
    return None if answer.status in _REJECTED and known else Kind.UNCLEAR


def _sees_nothing(
    scene: Scene, wire: Wire, name: str, token: str, twins: Twins, *, found: bool
) -> None:
    """Rightly signed, so it is let in, and names nobody: an error or no row, never data.

    Args:
        scene: the run.
        wire: to ask through.
        name: what the token is.
        token: the one that must see nothing.
        twins: what a good token of the same making sees.
        found: ask the app's own relations too.
    """
    caller = wire.bearer(name, token)
    denial = Denial(codes=(*REFUSED, *NOT_A_UUID), nothing=True)
    for rule in scene.own():
        if rule.found and not found:
            continue
        probe = Probe(rule.name, name, "select")
        scene.record.denied(probe, _read(caller, rule), denial, twin=twins[rule.name])
    for rule in scene.own("insert"):
        if rule.found and not found:
            continue
        if (row := scene.row(rule, scene.a.id)) is not None:
            answer = caller.send(caller.table(rule.name).insert(row, count=EXACT))
            refused = Denial(codes=(*REFUSED, *NOT_A_UUID))
            probe = Probe(rule.name, name, "insert")
            scene.record.denied(probe, answer, refused, twin=scene.twin_of_any("insert"))


def prove_deleted(scene: Scene, seen: dict[str, bool]) -> None:
    """After the users are gone: A's token is still valid, and nothing is left behind it.

    Args:
        scene: the run.
        seen: relation → whether A saw rows there while it existed.
    """
    for rule in scene.own():
        caller = scene.a.caller
        twin = seen.get(rule.name, False)
        answer = caller.send(caller.table(rule.name).select("*").limit(5))
        probe = Probe(rule.name, DELETED, "select")
        scene.record.denied(probe, answer, Denial(nothing=True), twin=twin)
    for rule in scene.own("insert"):
        if (row := scene.row(rule, scene.a.id)) is not None:
            caller = scene.a.caller
            answer = caller.send(caller.table(rule.name).insert(row, count=EXACT))
            denial = Denial(codes=("23503", *REFUSED))
            probe = Probe(rule.name, DELETED, "insert")
            scene.record.denied(probe, answer, denial, twin=scene.twin_of_any("insert"))
    _nothing_left(scene)


def _nothing_left(scene: Scene) -> None:
    """The right to erasure, as the service sees it."""
    service = scene.service
    for rule in scene.relations():
        if service is None or not rule.owner or scene.reach(rule, "select", service.name) != "all":
            continue
        both = [scene.a.id, scene.b.id]
        answer = service.send(service.table(rule.name).select("*").in_(rule.owner, both))
        probe = Probe(rule.name, service.name, "erasure")
        if answer.touched:
            scene.record.weak(probe, answer, "found rows of users who were removed")
        else:
            twin = scene.twin(rule, "select")
            scene.record.denied(probe, answer, Denial(nothing=True), twin=twin)
