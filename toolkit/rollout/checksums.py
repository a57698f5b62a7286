"""The checksum ledger: which text of each phase file a database has had, in ledger.deployments.

The Supabase CLI keeps no checksums: to it, an edited file that was applied is up to date. A row
is written before its file is pushed and completed afterwards, so that a deploy that was killed
in between has left its name behind; only completed rows count as recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from toolkit.rollout.phases import Phase

Connection = psycopg.Connection[TupleRow]
UNFINISHED = "unfinished"  # the key in details of a row whose push has not ended
_SHORT = 12


@dataclass(frozen=True)
class Begun:
    """A push that was begun and not completed: it runs, or its deploy was killed.

    Attributes:
        deployment_id: of its row.
        version: the file's.
        deployed_by: who pushed, as user@host.
        begun_at: when.
    """

    deployment_id: int
    version: str
    deployed_by: str
    begun_at: datetime


def checksum(phase: Phase) -> str:
    """SHA-256 of the migration file's bytes, in hexadecimal."""
    return digest(phase.migration.read_bytes())


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def short(value: str) -> str:
    """Enough of a checksum for a person to compare."""
    return value[:_SHORT]


def exists(connection: Connection) -> bool:
    """Whether the database has the ledger yet; phase 0 makes it."""
    row = connection.execute("select to_regclass('ledger.deployments') is not null").fetchone()
    return row == (True,)


def recorded(connection: Connection) -> dict[str, str]:
    """The checksum of each version as it was last pushed; empty before there is a ledger.

    A phase that was rolled back keeps its rows: what is applied now, the CLI's history says.
    """
    if not exists(connection):
        return {}
    rows = connection.execute(
        "select distinct on (d.version) d.version, d.checksum from ledger.deployments as d"
        " where not d.details ? %s order by d.version, d.deployment_id desc",
        (UNFINISHED,),
    ).fetchall()
    return {str(version): str(value) for version, value in rows}


def begun(connection: Connection) -> tuple[Begun, ...]:
    """The pushes that were begun and not completed, oldest first."""
    if not exists(connection):
        return ()
    rows = connection.execute(
        "select d.deployment_id, d.version, d.deployed_by, d.deployed_at"
        " from ledger.deployments as d where d.details ? %s order by d.deployment_id",
        (UNFINISHED,),
    ).fetchall()
    return tuple(Begun(int(number), str(v), str(who), at) for number, v, who, at in rows)


def record(
    connection: Connection, phase: Phase, *, deployed_by: str, details: Mapping[str, Any]
) -> int:
    """Write one row: this text of the phase was pushed; its deployment_id.

    Args:
        connection: as the owner; the caller owns its transaction.
        deployed_by: who pushed, as user@host.
        details: versions, seconds; without secrets.
    """
    row = connection.execute(
        "insert into ledger.deployments (version, name, checksum, deployed_by, details)"
        " values (%s, %s, %s, %s, %s) returning deployment_id",
        (phase.version, phase.name, checksum(phase), deployed_by, Jsonb(dict(details))),
    ).fetchone()
    return int(row[0]) if row is not None else 0


def complete(connection: Connection, deployment_id: int, details: Mapping[str, Any]) -> None:
    """The push that was begun has ended, and its phase holds."""
    connection.execute(
        "update ledger.deployments set details = %s, deployed_at = now() where deployment_id = %s",
        (Jsonb(dict(details)), deployment_id),
    )


def forget(connection: Connection, deployment_id: int) -> None:
    """The push that was begun changed nothing."""
    connection.execute(
        "delete from ledger.deployments where deployment_id = %s and details ? %s",
        (deployment_id, UNFINISHED),
    )
