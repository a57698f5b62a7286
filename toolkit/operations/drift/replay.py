"""What the migrations give, by doing them: on a server that is thrown away afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import connect
from toolkit.errors import MeterledgerError, OperationalError
from toolkit.local.binaries import Binaries, find_binaries
from toolkit.local.temporary import temporary_server
from toolkit.operations.cutover.report import TOPICS
from toolkit.operations.drift.model import Fingerprint, StartingShape
from toolkit.operations.drift.read import fingerprint
from toolkit.operations.drift.standin import create_found_app
from toolkit.rollout.phases import Phase, phases

_DATABASE = "replay"
# As the CLI makes it, for the replayed history.
_HISTORY = (
    "create schema if not exists supabase_migrations; "
    "create table if not exists supabase_migrations.schema_migrations "
    "(version text primary key, statements text[], name text)"
)

OnStep = Callable[[str], None]


def expected_fingerprint(shape: StartingShape, on_step: OnStep | None = None) -> Fingerprint:
    """The fingerprint of a database of that shape right after the phases.

    Done once a process for each shape and each state of the phase files.

    Args:
        shape: what the rollout began with, and how far it has come.
        on_step: told what takes long, before it begins.

    Raises:
        OperationalError: this machine has no PostgreSQL programs, or a phase raised.
    """
    wanted = tuple(phase for phase in phases() if phase.version <= shape.newest)
    digest = hashlib.sha256(b"".join(p.migration.read_bytes() for p in wanted)).hexdigest()
    return _replayed(shape, digest, _Teller(on_step or _silent))


class _Teller:
    """Who is told; one teller is as good as another, so that the cache does not tell them apart."""

    def __init__(self, tell: OnStep) -> None:
        self.tell = tell

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Teller)

    def __hash__(self) -> int:
        return 0


@cache
def _replayed(shape: StartingShape, _digest: str, teller: _Teller) -> Fingerprint:
    wanted = tuple(phase for phase in phases() if phase.version <= shape.newest)
    binaries = _programs(shape.major)
    teller.tell(
        f"replaying {len(wanted)} phases in a PostgreSQL {binaries.version} of its own"
        + ("" if binaries.major == shape.major else f", for one of {shape.major}")
    )
    with temporary_server(binaries=binaries) as server:
        server.create_database(_DATABASE)
        with connect(server.url(_DATABASE), autocommit=True) as connection:
            create_found_app(connection, shape)
            _replay(connection, wanted)
            if shape.cut_over:
                _cut_over(connection)
            return fingerprint(connection)


def _programs(major: int) -> Binaries:
    """Of the same version, or the nearest that there is: the newest."""
    try:
        return find_binaries(major=major)
    except MeterledgerError:
        try:
            return find_binaries()
        except MeterledgerError as error:
            raise OperationalError(
                "what the migrations give cannot be replayed: this machine has no PostgreSQL",
                next_step="pip install 'meterledger[local]', or leave this out with --no-drift",
                details=(error.message,),
            ) from error


def _replay(connection: psycopg.Connection[TupleRow], wanted: tuple[Phase, ...]) -> None:
    """Each file is one transaction, as with the CLI, or one statement that runs CONCURRENTLY."""
    connection.execute(_HISTORY)
    for phase in wanted:
        try:
            connection.execute(phase.migration.read_bytes())
        except psycopg.Error as error:
            raise OperationalError(
                f"phase {phase.name} cannot be replayed: {error.diag.message_primary or error}",
                next_step="compare the phase files with their release; this is a defect otherwise",
            ) from error
        connection.execute(
            "insert into supabase_migrations.schema_migrations (version, name) values (%s, %s)",
            (phase.version, phase.name),
        )


def _cut_over(connection: psycopg.Connection[TupleRow]) -> None:
    connection.execute("update ledger.settings set time_zone = 'UTC' where time_zone is null")
    try:
        connection.execute("select ledger.cut_over(%s)", (sorted(TOPICS),))
    except psycopg.Error as error:
        raise OperationalError(
            f"the cutover cannot be replayed: {error.diag.message_primary or error}",
            next_step="see what keeps a fresh database from it; this is a defect otherwise",
        ) from error


def _silent(_: str) -> None:
    """Nobody is told."""
