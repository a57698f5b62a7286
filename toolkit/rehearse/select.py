"""Which entries of a dump a rehearsal needs, and which of them it cannot do without."""

from __future__ import annotations

import re
from enum import Enum

from toolkit.rehearse.toc import Header

# A dump without these is not of the app.
NEEDED_TABLES = ("electricity_readings", "user_profiles")
# The tables that the phases read and write.
ESSENTIAL_TABLES = frozenset(
    {"electricity_readings", "user_profiles", "token_events", "recalculation_batches"}
)
# Ours and the Supabase CLI's: what a rollout that has begun left behind.
OWN_SCHEMAS = frozenset({"ledger", "supabase_migrations"})
# What Supabase owns and fills. The bootstrap made the little of it that the phases touch;
# a user's own schemas are restored, for their functions are called from public, and a
# database with some phases applied has schema ledger.
MANAGED_SCHEMAS = frozenset(
    {
        "_analytics",
        "_realtime",
        "_supavisor",
        "auth",
        "cron",
        "dbdev",
        "extensions",
        "graphql",
        "graphql_public",
        "net",
        "pgbouncer",
        "pgmq",
        "pgmq_public",
        "pgsodium",
        "pgsodium_masks",
        "pgtle",
        "realtime",
        "repack",
        "storage",
        "supabase_functions",
        "tiger",
        "tiger_data",
        "topology",
        "vault",
    }
)
# Part of PostgreSQL, or as harmless: extensions that neither reach outside nor run programs.
EXTENSIONS = frozenset(
    {
        "btree_gin",
        "btree_gist",
        "citext",
        "cube",
        "dict_int",
        "earthdistance",
        "fuzzystrmatch",
        "hstore",
        "insert_username",
        "intarray",
        "isn",
        "lo",
        "ltree",
        "moddatetime",
        "pg_trgm",
        "pgcrypto",
        "refint",
        "seg",
        "tablefunc",
        "tcn",
        "unaccent",
        "uuid-ossp",
    }
)
_OUTSIDE_TYPES = frozenset(
    {"FOREIGN DATA WRAPPER", "SERVER", "USER MAPPING", "FOREIGN TABLE", "SUBSCRIPTION"}
)
# Entries of no schema that belong to the user's tables all the same.
_SCHEMALESS = frozenset({"CAST", "DEFAULT ACL", "EVENT TRIGGER", "PUBLICATION", "TRANSFORM"})
# Without these an essential table is not the one that was dumped.
_BACKBONE = frozenset(
    {
        "CHECK CONSTRAINT",
        "CONSTRAINT",
        "DEFAULT",
        "FK CONSTRAINT",
        "TABLE",
        "TABLE ATTACH",
        "TABLE DATA",
    }
)
_INDEXED = re.compile(rb' ON (?:ONLY )?"?public"?\."?(?P<table>[a-z_]+)"? USING ')
# These can hang on what only Supabase has; then, and only then, they may stay out.
_DETACHABLE = frozenset({"INDEX", "POLICY", "ROW SECURITY", "RULE", "INDEX ATTACH"})


class Action(Enum):
    """What is done with an entry."""

    RUN = "run its statements"
    ROWS = "load its rows"
    EXTENSION = "make the extension if it can be had"
    AUTH_TABLE = "make auth.users' twin, for its rows"
    AUTH_ROWS = "load auth.users' rows into the twin"
    OUTSIDE = "leave out: it reaches outside this machine"
    SKIP = "leave to the bootstrap"


class Weight(Enum):
    """How bad it is when an entry cannot be restored."""

    ESSENTIAL = "the rehearsal stops"
    DETACHABLE = "it stops, unless something is missing that only Supabase has"
    OPTIONAL = "it is listed"


def decide(header: Header) -> Action:
    """What to do with an entry, by its header alone."""
    if header.type in _OUTSIDE_TYPES:
        return Action.OUTSIDE
    if header.type == "EXTENSION":
        return Action.EXTENSION
    if header.schema == "-":
        return _schemaless(header)
    if header.schema == "auth":
        return _auth(header)
    if header.schema in MANAGED_SCHEMAS or header.type in {"STATISTICS DATA", "BLOBS", "BLOB"}:
        return Action.SKIP
    return Action.ROWS if header.type == "TABLE DATA" else Action.RUN


def weigh(header: Header, statements: bytes = b"") -> Weight:
    """What a failure of the entry means.

    Args:
        statements: the entry's SQL: an index's header does not name its table.
    """
    if header.schema in OWN_SCHEMAS:
        return Weight.OPTIONAL if header.type in {"ACL", "COMMENT"} else Weight.ESSENTIAL
    if header.schema != "public":
        return Weight.OPTIONAL
    if header.type == "INDEX":
        found = _INDEXED.search(statements)
        table = found["table"].decode() if found else ""
    else:
        table = header.table
    if table not in ESSENTIAL_TABLES:
        return Weight.OPTIONAL
    if header.type in _BACKBONE:
        return Weight.ESSENTIAL
    return Weight.DETACHABLE if header.type in _DETACHABLE else Weight.OPTIONAL


def _schemaless(header: Header) -> Action:
    if header.type == "SCHEMA":
        return Action.SKIP if header.name in {"public", *MANAGED_SCHEMAS} else Action.RUN
    if header.type in {"ACL", "COMMENT"}:
        kind, _, name = header.name.partition(" ")
        return Action.RUN if kind == "SCHEMA" and name not in MANAGED_SCHEMAS else Action.SKIP
    if header.type == "EVENT TRIGGER" and header.owner == "supabase_admin":
        return Action.SKIP
    return Action.RUN if header.type in _SCHEMALESS else Action.SKIP


def _auth(header: Header) -> Action:
    """Of schema auth: the users, the functions that users added, and their triggers."""
    if header.type == "TABLE DATA" and header.name == "users":
        return Action.AUTH_ROWS
    if header.type == "TABLE" and header.name == "users":
        return Action.AUTH_TABLE
    if header.type == "FUNCTION" or (header.type == "TRIGGER" and header.table == "users"):
        return Action.RUN
    return Action.SKIP
