"""What every attack is made of: Alice, who attacks, and Bob, who is attacked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from toolkit.isolation.access import OWN, Rule
from toolkit.isolation.cast import ALICE, Actor, Household
from toolkit.isolation.probing import Expected, Probe, Step, allowed
from toolkit.isolation.report import Section
from toolkit.isolation.stage import Stage
from toolkit.isolation.statements import compose

EVENTS = "public.token_events"
BATCHES = "public.recalculation_batches"
TAKEN = "23505"
# An event of a user's own; the rest of its columns follow.
_EVENT = (
    "insert into public.token_events (user_id, event_type, event_date, kwh_amount, {columns}) "
    "values ({user}, {kind}, now(), {kwh}, {values}) {tail}"
)


@dataclass(frozen=True)
class Attacks:
    """The attacks on one database.

    Attributes:
        stage: of the proof.
        alice: who attacks, signed in.
        mine: her household.
        theirs: Bob's.
    """

    stage: Stage
    alice: Actor
    mine: Household
    theirs: Household

    @classmethod
    def on(cls, stage: Stage) -> Attacks:
        """The attacks of Alice on Bob."""
        cast = stage.cast
        identity = stage.access.identity(ALICE)
        actor = Actor(identity, cast.alice.user, cast.bob.user, True)
        return cls(stage, actor, cast.alice, cast.bob)

    def pair(
        self,
        name: str,
        subject: str,
        attack: tuple[Step, ...],
        denied: Expected,
        honest: tuple[Step, ...],
        fine: Expected,
    ) -> Iterator[Probe]:
        """An attack and the honest case beside it."""
        for key, what, steps, expected in (
            (f"{name}: honest", f"{name}, honestly", honest, fine),
            (name, name, attack, denied),
        ):
            yield Probe(
                key=f"{subject} attack {key}",
                subject=subject,
                identity=ALICE,
                operation=name,
                what=what,
                steps=steps,
                expected=expected,
                twin=f"{subject} attack {name}: honest",
                section=Section.ATTACKS,
            )

    def event(
        self, columns: dict[str, object], *, kind: str = "TOPUP", kwh: int = 1, tail: str = ""
    ) -> Step:
        """Alice inserts an event of her own."""
        return self.alice.step(
            compose(
                _EVENT,
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                values=sql.SQL(", ").join(map(_value, columns.values())),
                user=self.mine.user,
                kind=kind,
                kwh=kwh,
                tail=sql.SQL(tail),
            ),
            returns=False,
        )

    def readable(self) -> Iterator[tuple[Rule, Actor]]:
        """Each relation of which a user reads its own rows, and a user who has some."""
        user = self.stage.access.identity(ALICE)
        for rule in self.stage.access.of_kind("table", "view", "materialized view"):
            if rule.owner and self.stage.access.reach(rule, "select", user) == OWN:
                me, other = self.stage.pairs.get(rule.name, (self.mine.user, self.theirs.user))
                yield rule, Actor(user, me, other, True)


def free(subject: str, name: str, free: tuple[Step, ...], own: tuple[Step, ...]) -> Iterator[Probe]:
    """What another holds is as free as what nobody holds: both must succeed."""
    for key, what, steps in ((f"{name}: honest", f"{name}, honestly", own), (name, name, free)):
        yield Probe(
            key=f"{subject} attack {key}",
            subject=subject,
            identity=ALICE,
            operation=name,
            what=f"use {what}, which is free to her",
            steps=steps,
            expected=allowed(exactly=1),
            section=Section.ATTACKS,
        )


def _value(value: object) -> sql.Composable:
    return value if isinstance(value, sql.Composable) else sql.Literal(str(value))
