"""Gives a plain PostgreSQL the shape of Supabase's, and the shape of a deployed app.

Written from what a Supabase database looks like from outside; one purpose a .sql file.
The connection is the caller's: each call is one transaction of it, or a savepoint of the
transaction that is open.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import resources
from typing import Literal

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import OperationalError

DateType = Literal["date", "timestamptz"]


class DefaultPrivileges(StrEnum):
    """What the API roles get on tables, sequences and functions that postgres makes in public.

    GRANT_ALL: everything, as in older projects. GRANT_NOTHING: nothing, as in newer ones
    (PostgreSQL's own EXECUTE for PUBLIC on functions stays, in both).
    """

    GRANT_ALL = "grant_all"
    GRANT_NOTHING = "grant_nothing"


class StartingPoint(StrEnum):
    """What a database holds before the rollout: nothing, the legacy table, or both tables."""

    EMPTY = "empty"
    LEGACY_ONLY = "legacy_only"
    DUAL_WRITE = "dual_write"


def bootstrap(
    connection: psycopg.Connection[TupleRow],
    regime: DefaultPrivileges = DefaultPrivileges.GRANT_ALL,
) -> None:
    """Give the database Supabase's roles, schemas, auth functions and default privileges.

    Run again, it changes nothing, or the regime alone. Roles belong to the whole server,
    the rest to the connection's database.

    Args:
        connection: of a superuser, named supabase_admin as initdb -U makes it.
        regime: the default privileges of what postgres creates in public from now on.

    Raises:
        OperationalError: the connection is not of the superuser supabase_admin. So this
            never touches a hosted database, where nobody is one.
    """
    with connection.transaction():
        row = connection.execute(
            "select current_user, rolsuper from pg_catalog.pg_roles where rolname = current_user"
        ).fetchone()
        if row != ("supabase_admin", True):
            raise OperationalError(
                "the bootstrap needs the superuser supabase_admin of a server of one's own",
                next_step="make one with meterledger local start, or initdb -U supabase_admin",
            )
        for name in ("roles", "database", "extensions", "auth"):
            _run(connection, name)
        _run(connection, f"default_privileges_{regime.value}")


def create_legacy_app(
    connection: psycopg.Connection[TupleRow],
    starting_point: StartingPoint,
    *,
    date_type: DateType = "date",
    unique_days: bool = False,
) -> None:
    """Create what the deployed app holds before the rollout; EMPTY creates nothing.

    Args:
        connection: of the role postgres, to a database of Supabase's shape.
        starting_point: which of the app's tables there are.
        date_type: the type of electricity_readings.date; some deployments altered it.
        unique_days: add the unique index on (user_id, date) that some deployments have.
    """
    if starting_point is StartingPoint.EMPTY:
        return
    names = ["legacy_user_profiles", "legacy_electricity_readings"]
    if date_type == "timestamptz":
        names.append("legacy_date_as_timestamptz")
    if unique_days:
        names.append("legacy_unique_days")
    if starting_point is StartingPoint.DUAL_WRITE:
        names += ["dual_write_token_events", "dual_write_recalculation_batches"]
    with connection.transaction():
        for name in names:
            _run(connection, name)


def _run(connection: psycopg.Connection[TupleRow], name: str) -> None:
    """Run a file of this package; bytes without parameters may hold many statements."""
    file = resources.files(__package__).joinpath(f"{name}.sql")
    connection.execute(file.read_bytes())
