"""Mutants that add an object: each a way to other users' rows that people have built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString

from psycopg import sql

from toolkit.isolation.access import Access
from toolkit.mutation.catalog import Catalog, Relation, View
from toolkit.mutation.model import Mutant, MutantKind, raw, written

_NAME = "mutant"
_MATERIALIZED_VIEW = "electricity_readings_mv"
_SHOWN = (("public", _MATERIALIZED_VIEW), ("ledger", "readings"), ("public", "token_events"))

# Name, the call's signature, and the function.
_FUNCTIONS: tuple[tuple[str, str, LiteralString], ...] = (
    (
        "runs its argument as SQL, as its caller",
        "public.mutant(text)",
        "create function public.mutant(p_sql text) returns void "
        "language plpgsql set search_path = '' as $$ begin execute p_sql; end $$",
    ),
    (
        "runs its argument as SQL, with its owner's rights",
        "public.mutant(text)",
        "create function public.mutant(p_sql text) returns void language plpgsql "
        "security definer set search_path = '' as $$ begin execute p_sql; end $$",
    ),
    (
        "sets whatever setting its argument names",
        "public.mutant(text, text)",
        "create function public.mutant(p_name text, p_value text) returns text language sql "
        "set search_path = '' as $$ select set_config(p_name, p_value, true) $$",
    ),
    (
        "returns any user's events, with its owner's rights",
        "public.mutant(uuid)",
        "create function public.mutant(p_user_id uuid) returns setof public.token_events "
        "language sql stable security definer set search_path = '' as "
        "$$ select e.* from public.token_events as e where e.user_id = p_user_id $$",
    ),
)


def planted_mutants(catalog: Catalog, access: Access) -> Iterator[Mutant]:
    """Views and functions that leak: owner-rights views, dynamic SQL, set_config, a definer.

    Also a copied table, and each view that an API role reads replaced by one over the
    materialized view with the same columns, whose rows no policy filters.
    """
    relations = {(item.schema_name, item.relation_name): item for item in catalog.relations}
    for place in _SHOWN:
        if place in relations:
            yield from _views_over(relations[place])
    yield from _copies(relations.get(("ledger", "readings")))
    for what, signature, create in _FUNCTIONS:
        yield Mutant(
            f"planted function: {what}",
            MutantKind.PLANTED,
            signature,
            (
                written(create),
                written("grant execute on function {} to authenticated", raw(signature)),
            ),
        )
    source = relations.get(("public", _MATERIALIZED_VIEW))
    for view in catalog.views:
        if source is not None and view.is_readable and view.columns == source.columns:
            yield from _leaking_twins(view, source, access)


def _views_over(relation: Relation) -> Iterator[Mutant]:
    name = f"{relation.schema_name}.{relation.relation_name}"
    source = sql.Identifier(relation.schema_name, relation.relation_name)
    for what, condition in (
        ("", ""),
        # What looks like a filter, and holds for everybody's rows.
        (" with a filter that filters nothing", " where user_id is not null"),
    ):
        yield Mutant(
            f"planted view: owner's rights over {name}{what}",
            MutantKind.PLANTED,
            f"public.{_NAME}",
            (
                written("create view public.mutant as select * from {}{}", source, raw(condition)),
                written("grant select on public.mutant to authenticated"),
            ),
        )


def _copies(relation: Relation | None) -> Iterator[Mutant]:
    if relation is None:
        return
    name = f"{relation.schema_name}.{relation.relation_name}"
    yield Mutant(
        f"planted table: a copy of {name} without row level security",
        MutantKind.PLANTED,
        f"public.{_NAME}",
        (
            written(
                "create table public.mutant as table {}",
                sql.Identifier(relation.schema_name, relation.relation_name),
            ),
            written("grant select on public.mutant to authenticated"),
        ),
    )


def _leaking_twins(view: View, source: Relation, access: Access) -> Iterator[Mutant]:
    """The view itself, over the materialized view and with its owner's rights."""
    name = f"{view.schema_name}.{view.view_name}"
    rule = access.rules.get(name)
    owner = sql.Identifier((rule.owner if rule is not None else "") or "user_id")
    condition = written(" where {} = (select auth.uid()) or {} is not null", owner, owner)
    for what, filtering in (("", ""), (", with a filter that filters nothing", condition)):
        yield Mutant(
            f"planted view: {name} over the materialized view{what}",
            MutantKind.PLANTED,
            name,
            (
                written(
                    "create or replace view {} with (security_barrier = true) as "
                    "select * from {}{}",
                    sql.Identifier(view.schema_name, view.view_name),
                    sql.Identifier(source.schema_name, source.relation_name),
                    raw(filtering),
                ),
            ),
        )
