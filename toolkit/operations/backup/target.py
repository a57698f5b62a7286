"""The database that a backup is restored into: empty, of Supabase's shape, adding no grants."""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.connection import connect
from toolkit.errors import UsageError
from toolkit.operations.backup.facts import SCHEMAS, occupants
from toolkit.operations.backup.failures import APPLICATION_NAME
from toolkit.operations.backup.footing import require_footing
from toolkit.operations.backup.manifest import Manifest

Connection = psycopg.Connection[TupleRow]
_SHOWN = 20
# Of objects that this role will create: the target's own defaults must not come on top of what
# the dump grants. The dump brings the original's.
_DEFAULT_GRANTS = """
select n.nspname::text, d.defaclobjtype::text, pg_get_userbyid(g.grantee)::text
from pg_catalog.pg_default_acl as d
inner join pg_catalog.pg_namespace as n on n.oid = d.defaclnamespace
cross join lateral pg_catalog.aclexplode(d.defaclacl) as g
where d.defaclrole = (select r.oid from pg_catalog.pg_roles as r where r.rolname = current_user)
  and n.nspname = any(%s) and g.grantee not in (0, d.defaclrole)
group by 1, 2, 3
"""
_KINDS = {
    "r": sql.SQL("tables"),
    "S": sql.SQL("sequences"),
    "f": sql.SQL("functions"),
    "T": sql.SQL("types"),
}


def check_target(url: str, manifest: Manifest) -> None:
    """Whether a backup can be restored there; nothing is changed.

    Raises:
        UsageError: the target is of an older version, holds something already, or lacks what
            the backup stands on.
        OperationalError: it cannot be reached.
    """
    with connect(url, autocommit=True, application_name=APPLICATION_NAME) as connection:
        require_ready(connection, manifest)


def require_ready(connection: Connection, manifest: Manifest) -> None:
    """The same, in a transaction of the caller.

    Raises:
        UsageError: the target is of an older version, holds something already, or lacks what
            the backup stands on.
    """
    ours = connection.info.server_version // 10000
    if ours < manifest.major:
        raise UsageError(
            f"the target is PostgreSQL {ours}, and the backup is of PostgreSQL {manifest.major}",
            next_step=f"restore into PostgreSQL {manifest.major} or newer",
        )
    found = occupants(connection)
    if found:
        raise UsageError(
            f"the target is not empty: {len(found)} objects are in the way",
            next_step="restore into a new project or database, or drop what is there first",
            details=(*found[:_SHOWN], *(("…",) if len(found) > _SHOWN else ())),
        )
    require_footing(connection, manifest.facts)


def drop_default_grants(connection: Connection) -> None:
    """Take back, for what this role creates from now on, what the target would grant by itself."""
    for schema, kind, grantee in connection.execute(_DEFAULT_GRANTS, [list(SCHEMAS)]):
        connection.execute(
            sql.SQL("alter default privileges in schema {} revoke all on {} from {}").format(
                sql.Identifier(schema), _KINDS[kind], sql.Identifier(grantee)
            )
        )
