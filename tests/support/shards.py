"""What the catalog says of spreading the tables by user, and versions of rows."""

from __future__ import annotations

from psycopg import sql

from tests.support.database import Connection

# Each table with the column that a distributed Postgres would place its rows by, if it has one.
_SPREAD = """
create temporary view spread as
select c.oid, c.relnamespace::regnamespace::text as schema, c.relname::text as relation,
  format('%s.%s', c.relnamespace::regnamespace, c.relname) as name,
  a.attname::text as user_column, a.attnum, a.attnotnull
from pg_class as c
left join pg_attribute as a
  on a.attrelid = c.oid
  and a.attname = case when c.relname = 'user_profiles' then 'id' else 'user_id' end
where c.relnamespace in ('public'::regnamespace, 'ledger'::regnamespace) and c.relkind = 'r'
"""
_VIOLATIONS = """
select s.name, 'unique without the user: ' || c.relname
from spread as s
inner join pg_index as i on i.indrelid = s.oid
inner join pg_class as c on c.oid = i.indexrelid
where s.attnum is not null and i.indisunique and s.attnum <> all (i.indkey::smallint[])
union all
select s.name, 'the user may be null'
from spread as s where s.attnum is not null and not s.attnotnull
union all
select s.name, 'a number of one sequence: ' || a.attname
from spread as s
inner join pg_attribute as a on a.attrelid = s.oid
left join pg_attrdef as d on d.adrelid = s.oid and d.adnum = a.attnum
where s.attnum is not null
  and (a.attidentity <> '' or pg_get_expr(d.adbin, d.adrelid) like 'nextval(%')
union all
select coalesce(s.name, k.conrelid::regclass::text),
  'a foreign key that leaves the user: ' || k.conname
from pg_constraint as k
left join spread as s on s.oid = k.conrelid
inner join spread as t on t.oid = k.confrelid
where k.contype = 'f' and t.attnum is not null
  and not exists (
    select from unnest(k.conkey, k.confkey) as pair (here, there)
    where pair.here = s.attnum and pair.there = t.attnum
  )
"""
_NAME_NO_USER = r"""
select distinct p.oid::regprocedure::text
from pg_proc as p
cross join coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as body
inner join spread as s on s.attnum is not null
  and body ~* format(
    '(from|join|update|into|using|only)\s+%s\y', replace(s.name, '.', '\.')
  )
where p.pronamespace in ('public'::regnamespace, 'ledger'::regnamespace) and body !~ 'user_id'
"""

Snapshot = dict[str, set[tuple[str, ...]]]


def without_user(connection: Connection) -> set[str]:
    """Tables that have no column to be spread by."""
    return _names(connection, "select name from spread where attnum is null")


def violations(connection: Connection) -> set[tuple[str, str]]:
    """Each table and the rule of a distribution column that it breaks."""
    _spread(connection)
    found = connection.execute(_VIOLATIONS.encode()).fetchall()
    return {(str(table), str(rule)) for table, rule in found}


def functions_that_name_no_user(connection: Connection) -> set[str]:
    """Functions that read or write a table of users and never say user_id."""
    return _names(connection, _NAME_NO_USER)


def snapshot(connection: Connection) -> Snapshot:
    """Each row of each table by its place and version, with its user."""
    _spread(connection)
    tables = connection.execute("select schema, relation, name, user_column from spread").fetchall()
    found: Snapshot = {}
    for schema, relation, name, column in tables:
        user = sql.Identifier(column) if column else sql.SQL("null")
        rows = connection.execute(
            sql.SQL("select xmin::text, ctid::text, {}::text from {}").format(
                user, sql.Identifier(schema, relation)
            )
        )
        found[name] = set(rows.fetchall())
    return found


def changes(before: Snapshot, after: Snapshot) -> Snapshot:
    """Versions of rows that came or went, by table."""
    every = before.keys() | after.keys()
    changed = {name: before.get(name, set()) ^ after.get(name, set()) for name in every}
    return {name: rows for name, rows in changed.items() if rows}


def owners_of(changed: Snapshot) -> set[str]:
    """Whose the rows are; None: nobody's."""
    return {owner for rows in changed.values() for _, _, owner in rows}


def _names(connection: Connection, question: str) -> set[str]:
    _spread(connection)
    return {str(name) for (name,) in connection.execute(question.encode())}


def _spread(connection: Connection) -> None:
    connection.execute("drop view if exists pg_temp.spread")
    connection.execute(_SPREAD.encode())
