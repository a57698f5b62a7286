"""Mutants of views: options lost, filters removed."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.access import Access
from toolkit.mutation.catalog import Catalog, View
from toolkit.mutation.filters import without_filters
from toolkit.mutation.model import Mutant, MutantKind, raw, written

_GUARDING = ("security_invoker", "security_barrier")
_ON = ("true", "on", "yes", "1")


def view_option_mutants(catalog: Catalog, _: Access) -> Iterator[Mutant]:
    """Of each view: security_invoker and security_barrier off, and lost by a replacement."""
    for view in catalog.views:
        options = dict(option.split("=", 1) for option in view.options)
        for option in _GUARDING:
            if options.get(option, "") in _ON:
                yield _mutant(
                    view,
                    f"{option} off",
                    written("alter view {} set ({} = false)", _name(view), raw(option)),
                )
                yield _mutant(
                    view,
                    f"{option} reset",
                    written("alter view {} reset ({})", _name(view), raw(option)),
                )
        if options:
            yield _mutant(view, "replaced without its options", _replaced(view, view.definition))


def view_filter_mutants(catalog: Catalog, access: Access) -> Iterator[Mutant]:
    """Each filter by owner of each view that an API role can read, one at a time.

    Views that no API role can read (those of ledger) are left out: without a grant, or without
    usage on their schema, their filters keep nobody from anything.
    """
    for view in catalog.views:
        if not view.is_readable:
            continue
        options = _options(view)
        for removed, definition in without_filters(view.definition, access):
            yield Mutant(
                f"filter removed: {removed} of {view.schema_name}.{view.view_name}",
                MutantKind.FILTER,
                f"{view.schema_name}.{view.view_name}",
                (_replaced(view, definition, options),),
            )


def _options(view: View) -> str:
    """The options as CREATE VIEW takes them, so that only the filter differs."""
    return f"with ({', '.join(view.options)}) " if view.options else ""


def _mutant(view: View, what: str, statement: str) -> Mutant:
    name = f"{view.schema_name}.{view.view_name}"
    return Mutant(f"view {what}: {name}", MutantKind.VIEW_OPTION, name, (statement,))


def _replaced(view: View, definition: str, options: str = "") -> str:
    return written(
        "create or replace view {} {}as {}",
        _name(view),
        raw(options),
        raw(definition.strip().rstrip(";")),
    )


def _name(view: View) -> sql.Identifier:
    return sql.Identifier(view.schema_name, view.view_name)
