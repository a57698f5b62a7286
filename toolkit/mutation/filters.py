"""Removes the filters of a query that keep users apart, one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from toolkit.isolation.access import Access
from toolkit.mutation.conjuncts import where_clauses, without_each, words


def without_filters(query: str, access: Access) -> Iterator[tuple[str, str]]:
    """(conjunct, the query without it) for each conjunct that is about whose row it is.

    That is one which names the owner's column of a declared relation that the query reads, or
    auth.uid(). Others (not is_voided, event_type <> 'VOID') are about correctness: other tests
    hold those, and a proof of isolation need not.

    Args:
        query: a view's definition or a function's body.
        access: the declaration.
    """
    owners = _owners(query, access)
    told: Counter[str] = Counter()
    for clause in where_clauses(query):
        for removed, rest in without_each(clause.text):
            if not words(removed) & (owners | {"uid"}):
                continue
            shown = " ".join(removed.split())
            told[shown] += 1
            if told[shown] > 1:
                shown = f"{shown} (number {told[shown]})"
            yield shown, f"{query[: clause.start]}{rest}\n{query[clause.end :]}"


def _owners(query: str, access: Access) -> frozenset[str]:
    """The owner's columns of the declared relations that a text names."""
    there = words(query)
    return frozenset(
        rule.owner
        for rule in access.of_kind("table", "view", "materialized view")
        if rule.owner and rule.local_name in there
    )
