"""A smoke test of isolation: two users and anon, each sees and writes only what they may.

Everything runs in a transaction that is rolled back. Each denial stands beside a case that
must be allowed, so that a probe that matches nothing cannot pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow

from toolkit.validation.as_user import acting_as

# Without RETURNING, which would refuse what the policies for reading hide.
_INSERT = (
    b"insert into public.token_events (user_id, event_type, event_date, kwh_amount, created_by) "
    b"values (%(whose)s, 'METER_READING', now(), 1, %(me)s)"
)
_INSERT_AS_CLIENTS_DO = _INSERT + b" returning *"
_OWN_AND_OTHERS = {
    "events": b"select count(*) from public.token_events where user_id = %(whose)s",
    "the readings view": b"select count(*) from public.electricity_readings_v "
    b"where user_id = %(whose)s",
    "the projection": b"select count(*) from ledger.readings where user_id = %(whose)s",
    "positions": b"select count(*) from public.calculate_user_positions(%(whose)s)",
    "legacy readings": b"select count(*) from public.electricity_readings "
    b"where user_id = %(whose)s",
    "recalculations": b"select count(*) from public.recalculation_batches "
    b"where user_id = %(whose)s",
}
_VOID = (
    b"with touched as (update public.token_events set recalc_batch_id = recalc_batch_id "
    b"where user_id = %(whose)s returning 1) select count(*) from touched"
)
_CLOSED_TO_USERS = {
    "the materialized view": b"select count(*) from public.electricity_readings_mv",
    "the refresh": b"select public.refresh_readings_mv()",
    "deleting events": b"delete from public.token_events where user_id = %(me)s",
    "truncating events": b"truncate public.token_events",
    "writing the projection": b"update ledger.readings set kwh_value = 0 where user_id = %(me)s",
    "forging a reading's id": b"update public.token_events set reading_id = id "
    b"where user_id = %(me)s",
}
_RECALCULATION = (
    b"insert into public.recalculation_batches "
    b"(user_id, trigger_type, affected_events, events_count) "
    b"values (%(user)s, 'MANUAL_CORRECTION', '[]', 0)"
)
_MADE_UP = (UUID(int=0xA11CE << 96), UUID(int=0xB0B << 96))
_MAKE_UP = (
    b"insert into auth.users (id) values (%(user)s)",
    b"insert into public.user_profiles (id) values (%(user)s) on conflict (id) do nothing",
    b"insert into public.electricity_readings (user_id, date, kwh_value) "
    b"values (%(user)s, now(), 1)",
    b"insert into public.token_events (user_id, event_type, event_date, kwh_amount) "
    b"values (%(user)s, 'METER_READING', now(), 1)",
)


@dataclass(frozen=True)
class SmokeReport:
    """What the probes found.

    Attributes:
        probes: how many there were.
        violations: one sentence for each that did not end as it must.
    """

    probes: int
    violations: tuple[str, ...]


def isolation_smoke(connection: psycopg.Connection[TupleRow]) -> SmokeReport:
    """Probe as two users who both have readings, and as anon.

    Args:
        connection: of a role that may become the API roles, in autocommit mode.
    """
    outcomes: list[str | None] = []
    with connection.transaction(force_rollback=True):
        try:
            users = _two_users(connection) or _made_up_users(connection)
            for user in users:
                connection.execute(_RECALCULATION, {"user": user})
            closed = _CLOSED_TO_USERS | _private_tables(connection)
        except psycopg.Error as error:
            reason = error.diag.message_primary or type(error).__name__
            text = f"there are no two users with readings, and none can be made up: {reason}"
            return SmokeReport(0, (text,))
        for me, other in (users, users[::-1]):
            outcomes += _as_user(connection, me, other, closed)
        outcomes += _as_anon(connection, users[0], closed)
    return SmokeReport(len(outcomes), tuple(text for text in outcomes if text is not None))


def _two_users(connection: psycopg.Connection[TupleRow]) -> tuple[UUID, UUID] | None:
    rows = connection.execute(
        "select r.user_id from ledger.readings as r group by r.user_id "
        "having exists (select from public.electricity_readings as l "
        "where l.user_id = r.user_id) order by count(*), r.user_id limit 2"
    ).fetchall()
    return (rows[0][0], rows[1][0]) if len(rows) == 2 else None


def _made_up_users(connection: psycopg.Connection[TupleRow]) -> tuple[UUID, UUID]:
    """Two users with a reading and an event each, for as long as the transaction lasts."""
    with connection.transaction():
        for user in _MADE_UP:
            for query in _MAKE_UP:
                connection.execute(query, {"user": user})
    return _MADE_UP


def _private_tables(connection: psycopg.Connection[TupleRow]) -> dict[str, bytes]:
    """A read of each table and view of ledger but the one that users read."""
    names = connection.execute(
        "select c.relname from pg_class as c where c.relnamespace = 'ledger'::regnamespace "
        "and c.relkind in ('r', 'p', 'v', 'm') and c.relname <> 'readings' order by 1"
    ).fetchall()
    query = sql.SQL("select count(*) from {}")
    return {
        f"ledger.{name}": query.format(sql.Identifier("ledger", name)).as_bytes()
        for (name,) in names
    }


def _as_user(
    connection: psycopg.Connection[TupleRow], me: UUID, other: UUID, closed: dict[str, bytes]
) -> list[str | None]:
    outcomes: list[str | None] = []
    for what, query in {**_OWN_AND_OTHERS, "updating events": _VOID}.items():
        own = _count(connection, query, me, me)
        others = _count(connection, query, me, other)
        if isinstance(own, int):
            outcomes.append(None if own else f"user {me} gets nothing of their own: {what}")
        else:
            outcomes.append(f"user {me} may not do what must be allowed: {what} ({own})")
        leaked = isinstance(others, int) and others > 0
        outcomes.append(f"user {me} reaches {others} rows of {other}: {what}" if leaked else None)

    def run(query: bytes, whose: UUID = me, name: UUID = me) -> Callable[[], object]:
        return lambda: connection.execute(query, {"whose": whose, "me": name})

    outcomes += [
        _allowed(connection, me, "insert of an own event", run(_INSERT_AS_CLIENTS_DO)),
        _denied(connection, me, "insert for another user", run(_INSERT, whose=other)),
        _denied(connection, me, "insert in another's name", run(_INSERT, name=other)),
        *(_denied(connection, me, what, run(query)) for what, query in closed.items()),
    ]
    return outcomes


def _count(
    connection: psycopg.Connection[TupleRow], query: bytes, me: UUID, whose: UUID
) -> int | str:
    """What a user counts, or the SQLSTATE of the refusal."""
    try:
        with acting_as(connection, "authenticated", me):
            row = connection.execute(query, {"whose": whose, "me": me}).fetchone()
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        return error.sqlstate
    return int(row[0]) if row else 0


def _as_anon(
    connection: psycopg.Connection[TupleRow], user: UUID, closed: dict[str, bytes]
) -> list[str | None]:
    outcomes: list[str | None] = []
    for what, query in {**_OWN_AND_OTHERS, **closed}.items():
        try:
            with acting_as(connection, "anon"):
                cursor = connection.execute(query, {"whose": user, "me": user})
                row = cursor.fetchone() if cursor.description else None
        except errors.InsufficientPrivilege:
            outcomes.append(None)
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            outcomes.append(f"anon: {what} failed for another reason ({error.sqlstate})")
        else:
            # The legacy table's own grants are the app's affair; what counts is that no row shows.
            harmless = row is not None and row[0] == 0
            outcomes.append(None if harmless else f"anon reaches {what}")
    return outcomes


def _allowed(
    connection: psycopg.Connection[TupleRow], me: UUID, what: str, run: Callable[[], object]
) -> str | None:
    try:
        with acting_as(connection, "authenticated", me):
            run()
    except psycopg.Error as error:
        return f"user {me} may not do what must be allowed: {what} ({error.sqlstate})"
    return None


def _denied(
    connection: psycopg.Connection[TupleRow], me: UUID, what: str, run: Callable[[], object]
) -> str | None:
    try:
        with acting_as(connection, "authenticated", me):
            run()
    except errors.InsufficientPrivilege:
        return None
    except psycopg.Error as error:
        return f"user {me}: {what} failed for another reason ({error.sqlstate})"
    return f"user {me} may do what must be denied: {what}"
