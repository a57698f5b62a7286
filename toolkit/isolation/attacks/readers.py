"""Attacks on whatever a user may read: a function in the filter, the words of an error."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.attacks.base import Attacks
from toolkit.isolation.cast import ALICE
from toolkit.isolation.probing import Probe, Step, allowed, empty, refused
from toolkit.isolation.report import Section
from toolkit.isolation.statements import compose, relation

_NOT_A_NUMBER = "22P02"


def on_readers(attacks: Attacks) -> Iterator[Probe]:
    """Whatever a user may read: a function in the filter, error texts, plans."""
    for rule, actor in attacks.readable():
        table, owner = relation(rule), sql.Identifier(rule.owner)
        told = compose(
            "select count(*) from {} as r where pg_temp.meterledger_tell(r.{}::text)", table, owner
        )
        heard = "select position({} in current_setting('meterledger.seen', true)) > 0"
        looks = Step("select set_config('meterledger.seen', '', true) is null")
        steps = [
            (looks, actor.step(told), actor.step(compose(heard, whose)))
            for whose in (actor.other, actor.me)
        ]
        name = "a function of one's own in the filter"
        yield from attacks.pair(
            name, rule.name, steps[0], empty(), steps[1], allowed(exactly="true")
        )
        # An error quotes the value that it stumbles over.
        stumble = "select count(*) from {} as r where r.{} {} {} and r.{}::text::int = 0"
        columns = (table, owner)
        attack = actor.step(compose(stumble, *columns, sql.SQL("<>"), actor.me, owner))
        honest = actor.step(compose(stumble, *columns, sql.SQL("="), actor.me, owner))
        yield Probe(
            key=f"{rule.name} attack an error that quotes rows: honest",
            subject=rule.name,
            identity=ALICE,
            operation="an error that quotes rows",
            what="see one's own value in an error",
            steps=(honest,),
            expected=refused(_NOT_A_NUMBER),
            twin=f"{rule.name} user {actor.me} select: its own rows",
            section=Section.ATTACKS,
        )
        yield Probe(
            key=f"{rule.name} attack an error that quotes rows",
            subject=rule.name,
            identity=ALICE,
            operation="an error that quotes rows",
            what="see another's value in an error",
            steps=(attack,),
            expected=empty(),
            twin=f"{rule.name} attack an error that quotes rows: honest",
            section=Section.ATTACKS,
        )
