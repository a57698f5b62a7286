"""After the cutover: any sequence of legacy statements does through the view what the table did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.support.database import Connection, Database
from tests.support.rollout import apply, projection_is_live
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import DateType, StartingPoint

USERS = (UUID(int=1), UUID(int=2))
STRANGER = UUID(int=3)  # nobody's profile
IDS = tuple(UUID(int=number) for number in range(100, 106))
SCALARS = {
    "date": st.sampled_from(["2024-02-28", "2024-02-29", "2024-03-01", None]),
    "kwh_value": st.sampled_from(["0", "5", "17.255", "99999999.99", "1e8", "-1", None]),
    "token_amount": st.sampled_from([None, "20", "5.125", "0", "-2.5"]),
    "token_cost": st.sampled_from([None, "0", "28894.005"]),
    "notes": st.sampled_from([None, "", "a", "'\"\n\N{ELECTRIC PLUG}"]),
    "created_at": st.sampled_from(["2024-03-05 00:00+00", "2024-03-05 00:00:01+00"]),
}
CUT_OVER = "select ledger.cut_over('{upserts,functions,policies,realtime}')"


@dataclass(frozen=True)
class Statement:
    """A client's statement: who, what, and with which values."""

    role: str
    user: UUID
    text: sql.Composed
    values: tuple[object, ...]


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    """An insert, update or delete of a signed-in user, or of the app's server."""
    role = draw(st.sampled_from(["authenticated", "authenticated", "service_role"]))
    user = draw(st.sampled_from(USERS))
    kind = draw(st.sampled_from(["insert", "insert", "update", "update", "shift", "delete"]))
    some = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=3))
    if kind == "insert":
        rows = [draw(_row(user)) for _ in range(draw(st.integers(1, 2)))]
        if any(row[1] == STRANGER for row in rows):
            del rows[1:]  # a foreign key is asked at the statement's end, the others row by row
        columns = ["id", "user_id", *SCALARS]
        row_of = sql.SQL("({})").format(_list([sql.Placeholder()] * len(columns)))
        text = sql.SQL("insert into public.electricity_readings ({}) values {} returning *").format(
            _list(map(sql.Identifier, columns)), _list([row_of] * len(rows))
        )
        return Statement(role, user, text, tuple(item for row in rows for item in row))
    if kind == "update":
        known = [*SCALARS, "id"] if role == "authenticated" else [*SCALARS]
        names = draw(st.lists(st.sampled_from(known), unique=True, min_size=1))
        values = [draw(SCALARS.get(name, st.sampled_from(_ids(user)))) for name in names]
        if "id" in names or "date" in names:
            some = some[:1]  # in which order a statement meets its rows is nobody's promise
        text = sql.SQL(
            "update public.electricity_readings set {} where id = any (%s) returning *"
        ).format(_list(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in names))
        return Statement(role, user, text, (*values, some))
    if kind == "shift":
        text = sql.SQL(
            "update public.electricity_readings set kwh_value = kwh_value + %s, user_id = %s"
            " where id = any (%s) returning *"
        ).format()
        # Who moves a row to somebody else takes its id along, which a key on id alone remembers.
        others = [user, STRANGER, *(USERS if role == "authenticated" else ())]
        other = draw(st.sampled_from([user, user, user, *others]))
        return Statement(role, user, text, (draw(st.sampled_from([0, 1, -6])), other, some[:1]))
    text = sql.SQL(
        "delete from public.electricity_readings where id = any (%s) returning *"
    ).format()
    return Statement(role, user, text, (some,))


def _list(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


def _ids(user: UUID) -> tuple[UUID, ...]:
    """Ids are a user's own here: a key on id alone is what the table had, and the view has not."""
    return {USERS[0]: IDS[:3], USERS[1]: IDS[3:]}.get(user, (UUID(int=99),))


@st.composite
def _row(draw: st.DrawFn, user: UUID) -> tuple[object, ...]:
    owner = draw(st.sampled_from([user, user, user, user, *USERS, STRANGER]))
    return (
        draw(st.sampled_from(_ids(owner))),
        owner,
        *(draw(values) for values in SCALARS.values()),
    )


@pytest.mark.parametrize(
    ("date_type", "unique_days"), [("date", False), ("date", True), ("timestamptz", False)]
)
def test_the_view_does_what_the_table_did(
    make_database: MakeDatabase, date_type: DateType, unique_days: bool
) -> None:
    table, view = (
        _household(make_database(
            StartingPoint.LEGACY_ONLY, date_type=date_type, unique_days=unique_days
        ))
        for _ in range(2)
    )  # fmt: skip
    view.rows(CUT_OVER)
    with table.connect() as old, view.connect() as new:

        @settings(max_examples=40, suppress_health_check=list(HealthCheck))
        @given(work=st.lists(statements(), min_size=1, max_size=8))
        def holds(work: list[Statement]) -> None:
            with ExitStack() as scratch:
                for connection in (old, new):
                    scratch.enter_context(connection.transaction(force_rollback=True))
                for statement in work:
                    note(f"{statement}")
                    assert _done(new, statement) == _done(old, statement)
                    assert _everything(new) == _everything(old)
                assert projection_is_live(new)

        holds()


def _household(database: Database) -> Database:
    """Two users with a reading each, one of them a top-up, rolled out."""
    with database.connect() as connection:
        connection.cursor().executemany(
            "insert into auth.users (id, email) values (%s, %s)",
            [(user, f"{user}@example.test") for user in USERS],
        )
        connection.execute(
            "insert into public.electricity_readings"
            " (id, user_id, date, kwh_value, token_amount, token_cost, created_at) values"
            " (%s, %s, '2024-03-02', 50, 20, 28894, '2024-03-02 09:00+00'),"
            " (%s, %s, '2024-03-02', 12.5, null, null, '2024-03-02 09:00+00')",
            (IDS[0], USERS[0], IDS[3], USERS[1]),
        )
    apply(database, time_zone="Asia/Jakarta")
    return database


def _everything(connection: Connection) -> list[object]:
    return list(
        connection.execute(
            "select r.id, r.user_id, r.date, r.kwh_value, r.token_amount, r.token_cost, r.notes,"
            " r.meter_photo_url, r.created_at from public.electricity_readings as r order by r.id"
        ).fetchall()
    )


def _done(connection: Connection, statement: Statement) -> object:
    """What the statement gave: its rows, or the error as a client sees it."""
    try:
        with _as(connection, statement.role, statement.user):
            cursor = connection.execute(statement.text, statement.values)
            return sorted(cursor.fetchall(), key=str)
    except psycopg.Error as error:
        named = error.diag.constraint_name, error.diag.column_name
        return error.sqlstate, named, error.diag.message_primary


@contextmanager
def _as(connection: Connection, role: str, user: UUID) -> Iterator[None]:
    claims = {"role": role} | ({"sub": str(user)} if role == "authenticated" else {})
    with connection.transaction():
        connection.execute(
            "select set_config('request.jwt.claims', %s, true), set_config('role', %s, true)",
            (json.dumps(claims), role),
        )
        yield
        connection.execute(sql.SQL("set local role postgres"))
