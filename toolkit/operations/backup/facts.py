"""What a database holds, read in one transaction: what a restored copy must hold as well."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.resources import statement

# What the rollout touches: the app's schema, meterledger's, and the Supabase CLI's history.
SCHEMAS = ("public", "ledger", "supabase_migrations")
# Each of them is compared with the restored copy.
KINDS = ("policies", "grants", "owners", "objects")
_PROVEN = {"proven": list(SCHEMAS)}

# A row's text must come out alike in every session, whatever a role or a database sets.
_PLAIN_OUTPUT: Mapping[str, str] = {
    "search_path": "",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
# The sums of the rows' hashes do not depend on the rows' order, and see a row that is there twice.
_ROWS = """
select
  count(*),
  coalesce(sum(('x' || encode(substr(h.digest, 1, 8), 'hex'))::bit(64)::bigint), 0)::text,
  coalesce(sum(('x' || encode(substr(h.digest, 9, 8), 'hex'))::bit(64)::bigint), 0)::text
from {rows} as t
cross join lateral (select sha256(convert_to((t.*)::text, 'UTF8')) as digest) as h
"""


@dataclass(frozen=True)
class TableFacts:
    """The rows of one table.

    Attributes:
        rows: how many.
        hash: 32 hexadecimal digits that do not depend on the rows' order.
    """

    rows: int
    hash: str


@dataclass(frozen=True)
class Fact:
    """One thing that the catalog says.

    Attributes:
        relation: the table, view or function it belongs to, with its schema.
        name: such as 'policy "x" of public.token_events' or 'public.token_events to anon'.
        definition: what a copy must say under the same name.
    """

    relation: str
    name: str
    definition: str


@dataclass(frozen=True)
class Facts:
    """Everything of a database that a copy is compared by.

    Attributes:
        tables: rows by table, 'schema.table'.
        users: of auth.users, ids and e-mail addresses only; None where there is no such table.
        policies, grants, owners, objects: the catalog's facts.
        sequences: how far each has counted.
    """

    tables: Mapping[str, TableFacts]
    users: TableFacts | None = None
    policies: tuple[Fact, ...] = ()
    grants: tuple[Fact, ...] = ()
    owners: tuple[Fact, ...] = ()
    objects: tuple[Fact, ...] = ()
    sequences: Mapping[str, int] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[Fact, ...]:
        """The facts of one of KINDS."""
        return {
            "policies": self.policies,
            "grants": self.grants,
            "owners": self.owners,
            "objects": self.objects,
        }[kind]

    @property
    def rows(self) -> int:
        """All rows of all tables."""
        return sum(table.rows for table in self.tables.values())


@dataclass(frozen=True)
class Access:
    """Whether the role reads all rows of a table.

    Attributes:
        schema, name: the table.
        bound: row level security binds the role here.
        readable: it may select.
    """

    schema: str
    name: str
    bound: bool
    readable: bool


Connection = psycopg.Connection[TupleRow]


def plain_output(connection: Connection) -> None:
    """Settle, for this transaction, how values are written; and no row may be hidden."""
    for name, value in _PLAIN_OUTPUT.items():
        connection.execute("select pg_catalog.set_config(%s, %s, true)", (name, value))


def read_access(connection: Connection) -> tuple[Access, ...]:
    """The tables that a backup holds rows of; auth.users too, where it is."""
    rows = connection.execute(statement("backup_tables"), _PROVEN).fetchall()
    return tuple(Access(*row) for row in rows)


def read_facts(
    connection: Connection,
    tables: tuple[Access, ...] | None = None,
    told: Callable[[str, int], None] | None = None,
) -> Facts:
    """Read the facts, in the caller's transaction and its snapshot.

    Args:
        connection: in a transaction; how values are written is settled for it.
        tables: to read; all of them if left out.
        told: called with each table and its rows.

    Raises:
        psycopg.Error: among others 42501, where row level security binds the role.
    """
    plain_output(connection)
    rows: dict[str, TableFacts] = {}
    users: TableFacts | None = None
    for table in tables if tables is not None else read_access(connection):
        found = _read_rows(connection, table)
        if told is not None:
            told(f"{table.schema}.{table.name}", found.rows)
        if table.schema == "auth":
            users = found
        else:
            rows[f"{table.schema}.{table.name}"] = found
    facts = {kind: _catalog(connection, f"backup_{kind}") for kind in KINDS}
    counted = connection.execute(statement("backup_sequences"), _PROVEN).fetchall()
    return Facts(tables=rows, users=users, sequences=dict(counted), **facts)


def occupants(connection: Connection) -> tuple[str, ...]:
    """What of the app's schemas is there already and would be in a restore's way."""
    rows = connection.execute(statement("backup_occupants"), _PROVEN).fetchall()
    return tuple(str(name) for (name,) in rows)


def user_triggers(connection: Connection) -> tuple[str, ...]:
    """The statements that create the app's triggers on auth.users."""
    rows = connection.execute(statement("backup_user_triggers"), _PROVEN).fetchall()
    return tuple(str(definition) for _, definition in rows)


def publications(connection: Connection) -> tuple[tuple[str, str, str, bool], ...]:
    """Publication, schema and table of what is published, and whether wholly."""
    rows = connection.execute(statement("backup_publications"), _PROVEN).fetchall()
    return tuple((str(p), str(s), str(t), bool(whole)) for p, s, t, whole in rows)


def _read_rows(connection: Connection, table: Access) -> TableFacts:
    source: sql.Composable = sql.SQL("only {}").format(sql.Identifier(table.schema, table.name))
    if table.schema == "auth":
        # A subquery: its row is what the backup keeps, and nothing that signs anybody in.
        source = sql.SQL("(select id, email from auth.users)")
    row = connection.execute(sql.SQL(_ROWS).format(rows=source)).fetchone()
    count, high, low = row if row is not None else (0, "0", "0")
    digest = hashlib.sha256(f"{high} {low}".encode("ascii")).hexdigest()
    return TableFacts(int(count), digest[:32])


def _catalog(connection: Connection, name: str) -> tuple[Fact, ...]:
    rows = connection.execute(statement(name), _PROVEN).fetchall()
    return tuple(Fact(str(r), str(n), str(d)) for r, n, d in rows)
