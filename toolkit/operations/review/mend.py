"""Makes events of rejected rows after all: corrected, or tried again as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.operations.review.rejects import Reject, all_of, find, listed
from toolkit.operations.review.turn import turn
from toolkit.resources import statement

Connection = psycopg.Connection[TupleRow]

BATCH = 1000


@dataclass(frozen=True)
class Corrected:
    """A legacy row that was rejected and is an event now."""

    reading_id: UUID
    event_id: UUID


@dataclass(frozen=True)
class Retried:
    """What became of rejects that were tried again.

    Attributes:
        migrated: how many are events now.
        merged: how many of these absorbed a dual-written event.
        still: those that are rejected still.
    """

    migrated: int
    merged: int
    still: tuple[Reject, ...]


def correct(
    connection: Connection, reading_id: UUID, values: Mapping[str, str | None]
) -> Corrected:
    """Correct the legacy row, so that the forward sync makes an event of it, or change nothing.

    Args:
        connection: as the owner; a transaction of its own, or a savepoint in the caller's.
        values: column → value as text, None for NULL.

    Raises:
        UsageError: no such row is rejected, or there is no such column to correct.
        OperationalError: an update would not reach the events.
        FindingsError: the row cannot hold the values, or is rejected still; says why.
    """
    _check_columns(connection, values)
    find(connection, reading_id)
    problem = connection.execute(statement("review_correctable")).fetchone()
    if problem is not None and problem[0] is not None:
        raise OperationalError(
            f"a correction would not become an event: {problem[0]}",
            next_step="look at meterledger status and doctor; what cannot be corrected can be "
            "waived",
        )
    try:
        with turn(connection):
            return _correct(connection, reading_id, values)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:  # a value, a constraint, a trigger of the app's own
        raise FindingsError(
            f"nothing was changed: {error.diag.message_primary or type(error).__name__}",
            next_step="give values that the legacy table and the ledger can hold",
        ) from error


def retry(connection: Connection, reading_ids: Sequence[UUID] | None = None) -> Retried:
    """Try rejects again as they are, for example after a profile was made.

    Args:
        connection: as the owner; each batch of 1,000 rows is a transaction of its own, or a
            savepoint in the caller's.
        reading_ids: which rows; those that were not waived, if left out.

    Raises:
        UsageError: no such row is rejected.
        OperationalError: the legacy table is archived, where nothing becomes an event any more.
    """
    archived = connection.execute(
        "select to_regclass('ledger.electricity_readings_archive') is not null"
    ).fetchone()
    if archived == (True,):
        raise OperationalError(
            "electricity_readings is a view: nothing of the archived table is tried again",
            next_step="record the reading through the app; or first: meterledger cutback ENV",
        )
    if reading_ids is None:
        wanted = [found for found in listed(connection) if found.waived_at is None]
    else:
        wanted = list(all_of(connection, reading_ids))
    ids = [found.reading_id for found in wanted]
    migrated = merged = 0
    for first in range(0, len(ids), BATCH):
        with turn(connection):
            for counts in _retry(connection, wanted[first : first + BATCH]):
                migrated += counts["migrated"]
                merged += counts["merged"]
    return Retried(migrated, merged, listed(connection, reading_ids=ids))


def _retry(connection: Connection, batch: Sequence[Reject]) -> list[Mapping[str, int]]:
    ids = {"reading_ids": [found.reading_id for found in batch]}
    # A statement of its own: the next one sees what these users' writers did meanwhile.
    connection.execute(statement("review_take_turns"), ids)
    counts = [row[0] for row in connection.execute(statement("review_retry_rejects"), ids)]
    waived = [found for found in batch if found.waived_at is not None]
    if waived:
        connection.execute(
            statement("review_keep_waivers"),
            {
                "reading_ids": [found.reading_id for found in waived],
                "reasons": [found.reason for found in waived],
                "instants": [found.waived_at for found in waived],
                "deciders": [found.waived_by for found in waived],
                "grounds": [found.waived_reason for found in waived],
            },
        )
    return counts


def _correct(
    connection: Connection, reading_id: UUID, values: Mapping[str, str | None]
) -> Corrected:
    changes = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(f"value_{number}"))
        for number, name in enumerate(values)
    )
    given = {f"value_{number}": value for number, value in enumerate(values.values())}
    changed = connection.execute(
        sql.SQL("update public.electricity_readings set {} where id = %(reading_id)s").format(
            changes
        ),
        {**given, "reading_id": reading_id},
    )
    if changed.rowcount != 1:
        raise FindingsError(
            f"reading {reading_id} is not in electricity_readings any more",
            next_step="waive the reject, saying so",
        )
    left = listed(connection, reading_ids=(reading_id,))
    event = connection.execute(
        statement("review_live_event"), {"reading_id": reading_id}
    ).fetchone()
    if left or event is None:
        why = left[0].reason if left else "no event stands for it"
        raise FindingsError(
            f"nothing was changed: with these values, reading {reading_id} is rejected still: "
            f"{why}",
            next_step=left[0].next_step if left else "see meterledger validate",
        )
    return Corrected(reading_id, event[1])


def _check_columns(connection: Connection, values: Mapping[str, str | None]) -> None:
    known = [str(row[0]) for row in connection.execute(statement("review_legacy_columns"))]
    unknown = sorted(set(values) - set(known))
    if unknown or not values:
        what = f"{', '.join(unknown)} cannot be corrected" if unknown else "nothing to correct"
        raise UsageError(what, next_step=f"set one or more of {', '.join(known)}")
