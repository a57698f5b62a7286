"""Attacks on whatever a user may read: a function in the filter, the words of an error."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.attacks.base import Attacks
from toolkit.isolation.cast import ALICE
from toolkit.isolation.probing import Probe, allowed, empty, refused
from toolkit.isolation.report import Section
from toolkit.isolation.statements import compose, relation

_NOT_A_NUMBER = "22P02"
# An index that finds one's own rows alone would hide that nothing else keeps the others' back.
_NO_INDEX = (
    "select count(set_config(s.name, 'off', true)) from unnest(array["
    "'enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan']) as s (name)"
)


def on_readers(attacks: Attacks) -> Iterator[Probe]:
    """Whatever a user may read: a function in the filter, error texts, plans."""
    for rule, actor in attacks.readable():
        table, owner = relation(rule), sql.Identifier(rule.owner)
        told = compose(
            "select count(*) from {} as r where pg_temp.meterledger_tell(r.{}, {})",
            *(table, owner, actor.me),
        )
        saw = "select current_setting({}, true) is not distinct from 'yes'"
        attack, honest = (
            (actor.step(_NO_INDEX), actor.step(told), actor.step(compose(saw, setting)))
            for setting in ("meterledger.saw_other", "meterledger.saw_own")
        )
        yield from attacks.pair(
            "a function of one's own in the filter",
            rule.name,
            attack,
            empty(),
            honest,
            allowed(exactly="true"),
        )
        # An error quotes the value that it stumbles over.
        stumble = "select count(*) from {} as r where r.{} {} {} and r.{}::text::int = 0"
        columns = (table, owner)
        strangers = actor.step(compose(stumble, *columns, sql.SQL("<>"), actor.me, owner))
        own = actor.step(compose(stumble, *columns, sql.SQL("="), actor.me, owner))
        yield Probe(
            key=f"{rule.name} attack an error that quotes rows: honest",
            subject=rule.name,
            identity=ALICE,
            operation="an error that quotes rows",
            what="see one's own value in an error",
            steps=(own,),
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
            steps=(strangers,),
            expected=empty(),
            twin=f"{rule.name} attack an error that quotes rows: honest",
            section=Section.ATTACKS,
        )
