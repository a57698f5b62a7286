"""Mutants of functions: search_path free, definer's rights, filters removed."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.isolation.access import Access
from toolkit.mutation.catalog import Catalog
from toolkit.mutation.filters import without_filters
from toolkit.mutation.model import Mutant, MutantKind, raw, written


def search_path_mutants(catalog: Catalog, _: Access) -> Iterator[Mutant]:
    """Each pinned search_path reset, so that names mean what the caller likes."""
    for function in catalog.functions:
        if function.pins_search_path:
            yield Mutant(
                f"search_path reset: {function.signature}",
                MutantKind.SEARCH_PATH,
                function.signature,
                (written("alter function {} reset search_path", raw(function.signature)),),
            )


def definer_mutants(catalog: Catalog, _: Access) -> Iterator[Mutant]:
    """Each function that an API role can call, run with its owner's rights."""
    for function in catalog.functions:
        if function.is_callable and not function.is_definer:
            yield Mutant(
                f"security definer: {function.signature}",
                MutantKind.DEFINER,
                function.signature,
                (written("alter function {} security definer", raw(function.signature)),),
            )


def function_filter_mutants(catalog: Catalog, access: Access) -> Iterator[Mutant]:
    """Each filter by owner of each SQL function that an API role can call, one at a time."""
    for function in catalog.functions:
        if not function.is_callable or function.language_name != "sql":
            continue
        for removed, body in without_filters(function.body, access):
            yield Mutant(
                f"filter removed: {removed} of {function.signature}",
                MutantKind.FILTER,
                function.signature,
                (with_body(function.definition, function.body, body),),
            )


def with_body(definition: str, body: str, other: str) -> str:
    """A function's definition, as Postgres writes it, with another body."""
    # The body comes last: what stands before it may hold the same words.
    before, _, after = definition.rpartition(body)
    return f"{before}{other}{after}"
