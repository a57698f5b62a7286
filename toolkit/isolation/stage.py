"""What the probes of one proof are made from: the declaration, the users, the live catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.isolation.access import Access, Rule
from toolkit.isolation.cast import ALICE, Actor, Cast, existing_pair
from toolkit.isolation.catalog import Catalog
from toolkit.isolation.statements import compose, relation


@dataclass(frozen=True)
class Stage:
    """Everything that the probes are made from.

    Attributes:
        access: the declaration, without the rules whose object is gone.
        cast: the made-up users.
        catalog: what there is.
        pairs: relation → two users who both have rows in it, made-up ones where they do; missing
            where nobody has.
        existing: relation → two users of the app's who have rows in it.
        held: (relation, user) → how many rows a made-up user has.
        truncatable: relations that a signed-in user could truncate.
        may_shadow: whether signed-in users can make temporary tables.
    """

    access: Access
    cast: Cast
    catalog: Catalog
    pairs: Mapping[str, tuple[UUID, UUID]]
    existing: Mapping[str, tuple[UUID, UUID]]
    held: Mapping[tuple[str, UUID], int]
    truncatable: frozenset[str] = frozenset()
    may_shadow: bool = True

    def actors(self, rule: Rule) -> Iterator[Actor]:
        """Everybody, with two users who have rows in the relation."""
        pair = self.pairs.get(rule.name)
        alice, bob = self.cast.alice.user, self.cast.bob.user
        for actor in self.cast.actors(self.access):
            if pair is None or pair == (alice, bob):
                yield actor
            elif actor.identity.name == ALICE:
                # Existing users: they only look, since their rows are in views alone.
                me, other = pair if actor.me == alice else pair[::-1]
                yield Actor(actor.identity, me, other, True)
            else:
                rowless = replace(actor.identity, owns=False)
                yield Actor(rowless, actor.me, pair[0], actor.signed_in)

    def bystanders(self, rule: Rule) -> Iterator[Actor]:
        """Two of the app's users, who only look, and are only counted."""
        pair = self.existing.get(rule.name)
        if pair is not None and pair != self.pairs.get(rule.name):
            identity = self.access.identity(ALICE)
            yield Actor(identity, pair[0], pair[1], True)
            yield Actor(identity, pair[1], pair[0], True)

    def is_first(self, actor: Actor) -> bool:
        """Whether it is the first of its role: grants on columns are the role's, not the user's."""
        return not actor.identity.like and actor.me != self.cast.bob.user


def set_stage(
    connection: psycopg.Connection[TupleRow], access: Access, cast: Cast, catalog: Catalog
) -> Stage:
    """Find out, as the owner, who has rows where."""
    pairs, existing, held = {}, {}, {}
    owned = [rule for rule in access.of_kind("table", "view", "materialized view") if rule.owner]
    if any(rule.owner_rights for rule in owned):
        _fill_empty(connection, access)
    both = (cast.alice.user, cast.bob.user)
    for rule in owned:
        seen = access.rules.get(rule.over, rule)
        for user in (*cast.users.values(), cast.bob.user):
            held[rule.name, user] = _count(connection, seen, user)
        made_up = all(held[rule.name, user] for user in both)
        there = existing_pair(connection, seen, (*cast.users.values(), cast.bob.user))
        if there is not None:
            existing[rule.name] = there
        if made_up or there is not None:
            pairs[rule.name] = both if made_up or there is None else there
    tables = [rule.name for rule in access.of_kind("table")]
    rows = connection.execute(
        "select t.name from unnest(%s::text[]) as t (name) "
        "where has_table_privilege('authenticated', t.name, 'truncate')",
        (tables,),
    )
    open_to_truncate = frozenset(name for (name,) in rows)
    shadow = connection.execute(
        "select has_database_privilege('authenticated', current_database(), 'temporary')"
    ).fetchone()
    return Stage(
        *(access, cast, catalog, pairs, existing, held, open_to_truncate), shadow == (True,)
    )


def _fill_empty(connection: psycopg.Connection[TupleRow], access: Access) -> None:
    """Materialized views that hold nobody yet, so that a view over one has somebody to show.

    One that holds somebody is left alone: to refresh it would keep its readers waiting.
    """
    for rule in access.of_kind("materialized view"):
        if existing_pair(connection, rule, ()) is None:
            connection.execute(
                sql.SQL("refresh materialized view {}").format(relation(rule)),
            )


def _count(connection: psycopg.Connection[TupleRow], rule: Rule, user: UUID) -> int:
    query = compose(
        "select count(*) from {} as r where r.{} = {}",
        *(relation(rule), sql.Identifier(rule.owner), user),
    )
    try:
        with connection.transaction():
            row = connection.execute(query.encode()).fetchone()
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return 0  # a materialized view that was never filled; its phase says so
    return int(row[0]) if row else 0
