"""Finds triggers that would fail here, because their functions use what only Supabase has.

A trigger that calls supabase_functions.http_request() cannot even be made. One whose
function calls net.http_post() in its body can: it would fail on the first row that the
rollout writes, which says nothing about the rollout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from psycopg import sql

from toolkit.rehearse.report import LeftOut
from toolkit.rehearse.scratch import ScratchDatabase
from toolkit.rehearse.select import MANAGED_SCHEMAS

_SCHEMAS = "|".join(sorted(MANAGED_SCHEMAS))
# A call, or a relation where only a relation can stand: 'net.amount' may be a variable's field.
_USE = re.compile(
    rf'\b(?:from|join|into|update|only)\s+"?(?P<schema>{_SCHEMAS})"?\."?(?P<name>\w+)"?'
    rf'|"?\b(?P<called_schema>{_SCHEMAS})"?\."?(?P<called>\w+)"?\s*\(',
    re.IGNORECASE,
)

_FUNCTIONS = """
select p.oid::pg_catalog.int8, p.proname::text, p.prosrc
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
inner join pg_catalog.pg_language as l on l.oid = p.prolang
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and l.lanname in ('plpgsql', 'sql')
"""

_KNOWN = """
select n.nspname::text || '.' || p.proname::text
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where n.nspname = any(%(schemas)s)
union
select n.nspname::text || '.' || c.relname::text
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(schemas)s)
"""

_TRIGGERS = """
select n.nspname::text, c.relname::text, t.tgname::text, t.tgfoid::pg_catalog.int8
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_class as c on c.oid = t.tgrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where not t.tgisinternal and t.tgparentid = 0
order by 1, 2, 3
"""


@dataclass(frozen=True)
class Function:
    """A function that users wrote.

    Attributes:
        oid: its id in the catalog.
        name: without its schema.
        body: its source text.
    """

    oid: int
    name: str
    body: str


def drop_unusable_triggers(scratch: ScratchDatabase) -> list[LeftOut]:
    """Drop the triggers that would fail; returns them with what they miss."""
    execute = scratch.connection.execute
    known = {row[0] for row in execute(_KNOWN, {"schemas": sorted(MANAGED_SCHEMAS)})}
    functions = [Function(*row) for row in execute(_FUNCTIONS)]
    missing = unusable(functions, known)
    dropped: list[LeftOut] = []
    for schema, table, name, oid in execute(_TRIGGERS).fetchall():
        if oid not in missing:
            continue
        execute(
            sql.SQL("drop trigger {} on {}").format(
                sql.Identifier(name), sql.Identifier(schema, table)
            )
        )
        why = f"its function uses {missing[oid]}, which this server does not have"
        dropped.append(LeftOut(f"{schema}.{table} {name}", "TRIGGER", why))
    return dropped


def unusable(functions: Iterable[Function], known: AbstractSet[str]) -> dict[int, str]:
    """Functions that use something missing, also through each other; by id, with its name.

    Args:
        known: the functions and relations of Supabase's schemas that are here.
    """
    everything = list(functions)
    missing: dict[int, str] = {}
    names: dict[str, str] = {}
    for function in everything:
        for use in _USE.finditer(function.body):
            schema, name = use["schema"] or use["called_schema"], use["name"] or use["called"]
            thing = f"{schema}.{name}".lower()
            if thing not in known:
                missing[function.oid] = names[function.name] = thing
                break
    grown = bool(names)
    while grown:
        grown = False
        calls = re.compile(rf"\b({'|'.join(map(re.escape, names))})\"?\s*\(")
        for function in everything:
            found = calls.search(function.body) if function.oid not in missing else None
            if found is not None:
                missing[function.oid] = names[function.name] = names[found[1]]
                grown = True
    return missing
