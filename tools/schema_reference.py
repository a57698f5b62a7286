"""What docs/reference/schema.md says: the database's own comments, with keys, rights and types."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

import psycopg
from psycopg.rows import TupleRow

Connection = psycopg.Connection[TupleRow]

_HEADER = (
    "# Schema\n\n"
    "Written by `make reference` from the comments of a database that the migrations were pushed "
    "to; a test compares.\n\n"
    "Who may do what is declared in [`supabase/access.toml`](../../supabase/access.toml) and "
    "proven by [`meterledger isolation`](../isolation.md); here is what the catalog says. A role "
    "that is not named may do nothing; the owner (`postgres`) may do everything. `→` names the "
    "table that a foreign key points at.\n"
)
_ABOUT = {
    "public": "What the REST API may reach.",
    "ledger": "Private: never exposed through the REST API.",
}
# A default, whose type its argument says already.
_DEFAULT = re.compile(r" DEFAULT ('[^']*'|\w+)(?:::[\w ]+(?:\[\])?)?", re.A)
_KINDS = {"r": "table", "v": "view", "m": "materialized view"}
_RELATIONS = """
select c.oid, c.relkind::text, c.relname::text, obj_description(c.oid, 'pg_class')
from pg_catalog.pg_class as c
where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'v', 'm')
order by array_position('{r,v,m}', c.relkind::text), c.relname
"""
_COLUMNS = """
select a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  coalesce(pg_get_expr(d.adbin, d.adrelid), case when a.attidentity <> '' then 'identity' end),
  col_description(a.attrelid, a.attnum),
  (
    select k.confrelid::regclass::text from pg_catalog.pg_constraint as k
    where k.conrelid = a.attrelid and k.contype = 'f' and k.conkey[cardinality(k.conkey)] = a.attnum
  )
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on c.oid = a.attrelid
left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'v', 'm')
  and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""
_KEYS = """
select i.indrelid,
  case when i.indisprimary then 'primary key ' else 'unique ' end
  || '(' || (
    select string_agg(pg_get_indexdef(i.indexrelid, n, true), ', ' order by n)
    from generate_series(1, i.indnkeyatts) as n
  ) || ')'
  || coalesce(' where ' || pg_get_expr(i.indpred, i.indrelid, true), '')
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indrelid
where c.relnamespace = %s::regnamespace and i.indisunique
order by i.indrelid, i.indisprimary desc, i.indexrelid::regclass::text
"""
# A right on columns stands beside one on the whole.
_RIGHTS = """
with rights as (
  select c.oid, g.grantee, lower(g.privilege_type) as privilege, null::text as columns
  from pg_catalog.pg_class as c
  cross join aclexplode(c.relacl) as g
  where c.relnamespace = %(schema)s::regnamespace and c.relkind in ('r', 'v', 'm')
    and g.grantee <> c.relowner
  union all
  select c.oid, g.grantee, lower(g.privilege_type),
    string_agg(a.attname, ', ' order by a.attnum)
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid
  cross join aclexplode(a.attacl) as g
  where c.relnamespace = %(schema)s::regnamespace and g.grantee <> c.relowner
  group by c.oid, g.grantee, lower(g.privilege_type)
)

select oid, coalesce(pg_catalog.pg_get_userbyid(nullif(grantee, 0::oid))::text, 'everybody'),
  string_agg(privilege || coalesce(' (' || columns || ')', ''), ', ' order by privilege, columns)
from rights
group by oid, grantee
order by oid, 2
"""
_POLICIES = """
select p.polrelid, p.polname::text from pg_catalog.pg_policy as p
inner join pg_catalog.pg_class as c on c.oid = p.polrelid
where c.relnamespace = %s::regnamespace
order by p.polrelid, p.polname
"""
_FUNCTIONS = """
select p.oid::regprocedure::text, p.proname::text, pg_get_function_arguments(p.oid),
  pg_get_function_result(p.oid), p.prosecdef, obj_description(p.oid, 'pg_proc'),
  (
    select string_agg(
      coalesce(pg_catalog.pg_get_userbyid(nullif(g.grantee, 0::oid))::text, 'everybody'), ', '
      order by g.grantee::regrole::text
    )
    from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
    where g.grantee <> p.proowner
  )
from pg_catalog.pg_proc as p
where p.pronamespace = %s::regnamespace
order by p.proname, p.oid::regprocedure::text
"""


def schema_reference(connection: Connection) -> str:
    """The whole page.

    Args:
        connection: to a migrated database of PostgreSQL 17, whose words are always the same.
    """
    connection.execute("set search_path = ''")
    parts = [_HEADER]
    for schema, about in _ABOUT.items():
        parts += [f"## {schema}\n", f"{about}\n"]
        parts += _relations(connection, schema)
        parts += [f"### Functions of {schema}\n", _functions(connection, schema)]
    return "\n".join(parts)


def _relations(connection: Connection, schema: str) -> list[str]:
    columns = _by_table(connection.execute(_COLUMNS, (schema,)))
    keys = _by_table(connection.execute(_KEYS, (schema,)))
    policies = _by_table(connection.execute(_POLICIES, (schema,)))
    rights = _by_table(connection.execute(_RIGHTS, {"schema": schema}))
    parts = []
    for oid, kind, name, comment in connection.execute(_RELATIONS, (schema,)).fetchall():
        parts += [f"### {name}\n", f"{_KINDS[kind].capitalize()}. {comment}.\n"]
        notes = [f"- Keys: {'; '.join(f'`{key}`' for (key,) in keys[oid])}"] if keys[oid] else []
        notes += [f"- `{role}` may {what}" for role, what in rights[oid]]
        if policies[oid]:
            notes.append(f"- Policies: {'; '.join(name for (name,) in policies[oid])}")
        parts += ["| column | type | | |", "|---|---|---|---|"]
        parts += [_column(*row) for row in columns[oid]]
        parts += ["", *([*notes, ""] if notes else [])]
    return parts


def _column(
    name: str,
    type_: str,
    not_null: bool,
    default: str | None,
    comment: str | None,
    target: str | None,
) -> str:
    facts = [
        *(["not null"] if not_null else []),
        *([_default(default)] if default else []),
        *([f"→ {target}"] if target else []),
    ]
    return f"| `{name}` | {_short(type_)} | {', '.join(facts)} | {_escaped(comment or '')} |"


def _default(default: str) -> str:
    return default if default == "identity" else f"default `{_escaped(default)}`"


def _functions(connection: Connection, schema: str) -> str:
    lines = ["| function | returns | runs as, callable by | |", "|---|---|---|---|"]
    rows = connection.execute(_FUNCTIONS, (schema,)).fetchall()
    for _, name, arguments, returns, definer, comment, callers in rows:
        who = f"{'owner' if definer else 'caller'}; {callers or 'owner alone'}"
        lines.append(
            f"| `{_short(f'{name}({arguments})')}` | {_short(returns)} | {who} |"
            f" {_escaped(comment or '')} |"
        )
    return "\n".join([*lines, ""])


def _by_table(rows: Iterable[TupleRow]) -> defaultdict[int, list[TupleRow]]:
    found: defaultdict[int, list[TupleRow]] = defaultdict(list)
    for oid, *rest in rows:
        found[oid].append(tuple(rest))
    return found


def _short(text: str) -> str:
    """Types and defaults in fewer words."""
    text = _DEFAULT.sub(r" default \1", text).replace("TABLE(", "table(")
    return _escaped(text.replace("timestamp with time zone", "timestamptz"))


def _escaped(text: str) -> str:
    """For a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
