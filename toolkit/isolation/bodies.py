"""Function bodies as the migrations wrote them: a definer's body decides what its caller gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import psycopg
from psycopg.rows import TupleRow

from toolkit.isolation.access import Access
from toolkit.rollout.phases import phases

_FUNCTION = re.compile(
    r"create or replace function (?P<name>[a-z_]+\.[a-z_]+)\s*\("
    r"(?:(?!create or replace function).)*?\bas (?P<tag>\$[a-z_]*\$)(?P<body>.*?)(?P=tag)",
    re.S,
)


@cache
def written_bodies() -> dict[str, str]:
    """Name → body of each function that the migrations make; the last one of a name stands."""
    found = {}
    for phase in phases():
        for match in _FUNCTION.finditer(phase.migration.read_text("utf-8")):
            found[match["name"]] = match["body"]
    return found


def changed_bodies(
    connection: psycopg.Connection[TupleRow], access: Access
) -> Iterator[tuple[str, str, str]]:
    """Functions of the rollout whose body is not the one that its migration wrote.

    Args:
        connection: as the owner, with an empty search_path.
        access: the declaration; the app's own functions (found) are the app's affair.

    Returns:
        Subject, finding, next step.
    """
    written = written_bodies()
    rows = connection.execute(
        "select p.oid::pg_catalog.regprocedure::text, n.nspname || '.' || p.proname, p.prosrc "
        "from pg_catalog.pg_proc as p "
        "inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace "
        "where n.nspname = any (%s) and p.prosqlbody is null order by 1",
        (list(access.proven),),
    )
    for signature, name, body in rows:
        rule = access.rules.get(signature)
        if rule is None or rule.found or name not in written or written[name] == body:
            continue
        yield (
            signature,
            f"the body of {signature} is not the one that its migration wrote",
            "compare it with the migration, and push that again",
        )
