"""The checksum ledger against the phase files: edited ones, and deploys that never ended."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg.rows import TupleRow

from toolkit.operations.doctor.history import is_deploying, state_of
from toolkit.operations.doctor.model import Question, Trouble
from toolkit.rollout.checksums import begun, checksum, recorded, short
from toolkit.rollout.phases import phases
from toolkit.rollout.standing import DEPLOY


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
    """Pushes that were begun and not completed nor rolled back, while no deploy holds its lock."""
    if is_deploying(connection):
        return
    state = state_of(connection)
    for row in begun(connection):
        if state.rolled_back_at is not None and row.begun_at < state.rolled_back_at:
            continue
        yield Trouble(
            "deployments",
            f"the deploy of {row.version} that {row.deployed_by} began at "
            f"{row.begun_at.isoformat(timespec='seconds')} never ended",
            DEPLOY,
            safe=False,
        )
