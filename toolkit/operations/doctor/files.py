"""The checksum ledger against the phase files: edited ones, and deploys that never ended."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg.rows import TupleRow

from toolkit.operations.doctor.model import ENVIRONMENT, Question, Trouble
from toolkit.rollout.checksums import begun, checksum, recorded, short
from toolkit.rollout.phases import phases

_LOCK_IS_HELD = (
    "select exists (select from pg_locks as l where l.locktype = 'advisory' and l.granted "
    "and l.objsubid = 1 and (l.classid::bigint << 32) | l.objid::bigint "
    "= hashtextextended('meterledger.deploy', 0) and l.database = "
    "(select d.oid from pg_database as d where d.datname = current_database()))"
)


def look_at_files(connection: psycopg.Connection[TupleRow], _: Question) -> Iterator[Trouble]:
    """Files that are not, byte for byte, what this database has had."""
    known = recorded(connection)
    for phase in phases():
        had = known.get(phase.version)
        if had is None or had == checksum(phase):
            continue
        yield Trouble(
            "files",
            f"{phase.migration.name} was applied as {short(had)} and now is "
            f"{short(checksum(phase))}",
            f"restore the file that was applied (sha256 {had}), and put the change into a "
            "migration of its own",
            safe=False,
        )


def look_at_deployments(connection: psycopg.Connection[TupleRow], _: Question) -> Iterator[Trouble]:
    """Pushes that were begun and not completed, while no deploy holds its lock."""
    if connection.execute(_LOCK_IS_HELD).fetchone() == (True,):
        return
    for row in begun(connection):
        yield Trouble(
            "deployments",
            f"the deploy of {row.version} that {row.deployed_by} began at "
            f"{row.begun_at.isoformat(timespec='seconds')} never ended",
            f"meterledger deploy {ENVIRONMENT} --defer-backfill",
            safe=False,
        )
