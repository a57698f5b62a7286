"""What the proof needs before it can begin: a role that may act as the others."""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import OperationalError
from toolkit.isolation.access import Access


def require_roles(connection: psycopg.Connection[TupleRow], access: Access) -> None:
    """Refuse a role that cannot act as those whom the declaration names.

    Raises:
        OperationalError: the message says which role is missing, or which grant.
    """
    right = "set" if connection.info.server_version >= 160000 else "member"
    rows = connection.execute(
        "select r.name, g.oid is not null, "
        "g.oid is not null and pg_has_role(current_user, g.oid, %s), current_user::text "
        "from unnest(%s::text[]) with ordinality as r (name, number) "
        "left join pg_catalog.pg_roles as g on g.rolname = r.name order by r.number",
        (right, list(access.roles())),
    ).fetchall()
    for name, there, may_act, who in rows:
        if not there:
            raise OperationalError(
                f"the server has no role {name}",
                next_step="this is no Supabase database; to try one: meterledger local start",
            )
        if not may_act:
            raise OperationalError(
                f"{who} may not act as {name}",
                next_step=f"grant {name} to {who}; or prove as postgres, who may",
            )
    row = connection.execute(
        "select current_user::text, r.rolbypassrls or r.rolsuper, "
        "c.relowner = r.oid or pg_has_role(r.oid, c.relowner, 'usage'), "
        "c.relowner::pg_catalog.regrole::text "
        "from pg_catalog.pg_roles as r, pg_catalog.pg_class as c "
        "where r.rolname = current_user and c.oid = to_regclass('public.token_events')"
    ).fetchone()
    if row is not None and not (row[1] and row[2]):
        raise OperationalError(
            f"{row[0]} does not own the ledger or is bound by row level security, so it cannot "
            "see what it must compare",
            next_step=f"prove as {row[3]}, who owns public.token_events",
        )
