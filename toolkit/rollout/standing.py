"""How far a database is rolled out: what the CLI's history, the catalog and the runs say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from toolkit.errors import ENVIRONMENT, NotRolledOutError
from toolkit.resources import statement
from toolkit.rollout.phases import Phase, phases

Connection = psycopg.Connection[TupleRow]

# The data moves with it, or later by the backfill: without it a database is rolled out all the
# same.
DATA_PHASE = "20261101000401"
DEPLOY = f"meterledger deploy {ENVIRONMENT} --defer-backfill"
BACKFILL = f"meterledger backfill {ENVIRONMENT}"
TRY_IT = "to see it on a database of its own: meterledger demo --keep"

# Each phase by what it alone makes, and what commands work on.
_LANDMARKS = {
    "baseline": ["ledger.settings", "ledger.found_objects"],
    "create_event_sourcing_tables": ["ledger.maintenance"],
    "create_position_calculation_function": ["public.calculate_user_positions"],
    "create_materialized_view": ["ledger.readings"],
    "install_data_migration": [
        *("ledger.migrated_readings", "ledger.migration_rejects", "ledger.near_matches"),
        *("ledger.migrate_users", "ledger.migration_differences"),
    ],
    "record_operations": ["ledger.receipts", "ledger.reviewed_matches"],
}


class Data(StrEnum):
    """Whether the legacy rows were moved; an undoing takes that back."""

    WAITS = "nothing was migrated yet"
    MOVES = "the backfill is not finished"
    MOVED = "migrated"


def history(connection: Connection) -> frozenset[str] | None:
    """The versions that the Supabase CLI takes for applied; None where its table is gone."""
    there = connection.execute(
        "select to_regclass('supabase_migrations.schema_migrations') is not null"
    ).fetchone()
    if there != (True,):
        return None
    rows = connection.execute(
        "select h.version from supabase_migrations.schema_migrations as h"
    ).fetchall()
    return frozenset(str(version) for (version,) in rows)


def rolled_back(connection: Connection) -> Mapping[str, datetime]:
    """Version → when it was rolled back on purpose, of those not deployed again since."""
    there = connection.execute("select to_regclass('ledger.deployments') is not null").fetchone()
    if there != (True,):
        return {}
    return dict(connection.execute(statement("standing_rolled_back")).fetchall())


def data(connection: Connection) -> Data:
    """Whether the data was moved, by the newest run."""
    there = connection.execute("select to_regclass('ledger.migration_runs') is not null").fetchone()
    if there != (True,):
        return Data.WAITS
    row = connection.execute(
        "select m.kind, m.finished_at is not null from ledger.migration_runs as m"
        " order by m.run_id desc limit 1"
    ).fetchone()
    return data_of(row)


def data_of(newest: Sequence[object] | None) -> Data:
    """The same from the newest run: its kind, and whether it was finished."""
    if newest is None or newest[0] != "migrate":
        return Data.WAITS
    return Data.MOVED if newest[1] else Data.MOVES


def require_rollout(connection: Connection, through: str | None = None) -> None:
    """Stop a command where what it works on is not there.

    Args:
        connection: of any role; only catalogs and the rollout's own records are read.
        through: the name of the last phase that the command needs; all of them if left out.

    Raises:
        NotRolledOutError: the phases were not applied, or only some, or were rolled back; or
            what they made is gone.
    """
    missing = _missing(connection, through)
    if not missing:
        return
    names = ", ".join(phase.name for phase in missing)
    applied = history(connection) or frozenset()
    if all(phase.version in applied for phase in missing):
        raise NotRolledOutError(
            f"what the rollout made is gone from this database, of: {names}",
            next_step=f"see what is gone and how to mend it: meterledger doctor {ENVIRONMENT}",
        )
    if missing[0].name == next(iter(_LANDMARKS)):
        raise NotRolledOutError(
            "this database is not rolled out", next_step=f"roll out first: {DEPLOY}; {TRY_IT}"
        )
    gone = missing[0].version in rolled_back(connection)
    raise NotRolledOutError(
        f"this database is only partly rolled out, {'rolled back' if gone else 'missing'}: {names}",
        next_step=f"roll out {'again' if gone else 'the rest first'}: {DEPLOY}",
    )


def _missing(connection: Connection, through: str | None) -> tuple[Phase, ...]:
    names = list(_LANDMARKS)
    wanted = names if through is None else names[: names.index(through) + 1]
    rows = connection.execute(
        statement("standing_landmarks"), {"landmarks": Jsonb({n: _LANDMARKS[n] for n in wanted})}
    ).fetchall()
    missing = {str(name) for (name,) in rows}
    return tuple(phase for phase in phases() if phase.name in missing)
