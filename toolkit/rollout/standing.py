"""How far a database is rolled out: what the CLI's history, the catalog and the runs say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import takewhile

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from toolkit.errors import ENVIRONMENT, FindingsError, NotRolledOutError
from toolkit.resources import statement
from toolkit.rollout.phases import Phase, phases

Connection = psycopg.Connection[TupleRow]

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


def rolled_back_at(connection: Connection) -> datetime | None:
    """When phases were rolled back on purpose; None where something was deployed since."""
    there = connection.execute("select to_regclass('ledger.deployments') is not null").fetchone()
    if there != (True,):
        return None
    row = connection.execute(statement("standing_rolled_back_at")).fetchone()
    return row[0] if row is not None else None


def data(connection: Connection) -> Data:
    """Whether the data was moved, and not taken back since."""
    there = connection.execute("select to_regclass('ledger.migration_runs') is not null").fetchone()
    if there != (True,):
        return Data.WAITS
    return data_of(
        connection.execute(
            "select m.kind, m.finished_at is not null from ledger.migration_runs as m"
            " order by m.run_id desc"
        ).fetchall()
    )


def data_of(runs: Iterable[Sequence[object]]) -> Data:
    """The same from the runs, newest first: their kind, and whether or when they were finished."""
    since = list(takewhile(lambda run: run[0] == "migrate", runs))
    if any(run[1] for run in since):
        return Data.MOVED
    return Data.MOVES if since else Data.WAITS


def require_rollout(
    connection: Connection, *, through: str | None = None, whole: bool = True
) -> None:
    """Stop a command where what it works on is not there.

    Args:
        connection: of any role; only catalogs and the rollout's own records are read.
        through: the name of the last phase that the command needs; all of them if left out.
        whole: stop also where a phase was applied, and what it made is gone.

    Raises:
        NotRolledOutError: the phases were not applied, or only some, or were rolled back.
        FindingsError: what applied phases made is gone.
    """
    missing = _missing(connection, through)
    applied = history(connection) or frozenset()
    awaited = [phase for phase in missing if phase.version not in applied]
    names = ", ".join(phase.name for phase in awaited)
    if awaited and awaited[0].name == next(iter(_LANDMARKS)):
        raise NotRolledOutError(
            "this database is not rolled out", next_step=f"roll out first: {DEPLOY}; {TRY_IT}"
        )
    if awaited and rolled_back_at(connection) is not None:
        raise NotRolledOutError(
            f"this database was rolled back, and is without {names}",
            next_step=f"roll out again: {DEPLOY}",
        )
    if awaited:
        raise NotRolledOutError(
            f"this database is only partly rolled out, without {names}",
            next_step=f"roll out the rest first: {DEPLOY}",
        )
    if missing and whole:
        names = ", ".join(phase.name for phase in missing)
        raise FindingsError(
            f"the history says that {names} was applied, and what it made is gone",
            next_step=f"see what is gone and how to mend it: meterledger doctor {ENVIRONMENT}",
        )


def _missing(connection: Connection, through: str | None) -> tuple[Phase, ...]:
    names = list(_LANDMARKS)
    wanted = names if through is None else names[: names.index(through) + 1]
    rows = connection.execute(
        statement("standing_landmarks"), {"landmarks": Jsonb({n: _LANDMARKS[n] for n in wanted})}
    ).fetchall()
    missing = {str(name) for (name,) in rows}
    return tuple(phase for phase in phases() if phase.name in missing)
