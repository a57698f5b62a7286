"""One small household that has a little of everything, in any starting point."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

from tests.support.database import Connection, Database
from toolkit.bootstrap import StartingPoint

ZONE = "Asia/Jakarta"

Row = Mapping[str, object]


def named(user: UUID, name: str) -> UUID:
    """An id that can be named again."""
    return uuid5(user, name)


def put_readings(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert legacy rows in one statement; values may be text, and what is left out is null."""
    connection.execute(
        "insert into public.electricity_readings"
        " select p.* from jsonb_array_elements(%s::jsonb) as j,"
        " jsonb_populate_record(null::public.electricity_readings, j) as p",
        (json.dumps(rows, default=str),),
    )


def put_events(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert events in one statement, dual-write or evolved shape; not voided unless said so."""
    connection.execute(
        "insert into public.token_events"
        " select p.* from jsonb_array_elements(%s::jsonb) as j,"
        " jsonb_populate_record(null::public.token_events, '{\"is_voided\": false}' || j) as p",
        (json.dumps(rows, default=str),),
    )


def readings_of(user: UUID, *, unique_days: bool = False) -> list[dict[str, object]]:
    """Top-ups, readings, odd amounts, a day with two rows, one without created_at."""

    def row(name: str, date: str, kwh: str, **rest: object) -> dict[str, object]:
        written = {"created_at": f"{date} 05:00+00", **rest}
        return {"id": named(user, name), "user_id": user, "date": date, "kwh_value": kwh, **written}

    rows = [
        row("first", "2024-02-28", "12.50", notes="before the leap day"),
        row("topup", "2024-02-29", "62.50", token_amount="50", token_cost="72235.00"),
        row("zero", "2024-03-01", "60.00", token_amount="0", token_cost="0"),
        row(
            "odd", "2024-03-02", "58.25", token_amount="-3.125", meter_photo_url="https://x.test/1"
        ),
        row("undated", "2024-03-03", "55.00", created_at=None),
        row("same id", "2024-03-05", "51.00"),
        row("namesake", "2024-03-06", "49.00"),
    ]
    twice = row("twice", "2024-03-04" if unique_days else "2024-03-03", "54.00")
    return [*rows, twice]


def events_of(user: UUID) -> list[dict[str, object]]:
    """The dual-written side: same facts, near ones, voided ones, namesakes, events of their own."""

    def row(name: str, kind: str, date: str, kwh: str, **rest: object) -> dict[str, object]:
        event = {"id": named(user, name), "user_id": user, "event_type": kind, "event_date": date}
        return {**event, "kwh_amount": kwh, "created_at": "2024-03-10 00:00+00", **rest}

    return [
        row("e topup", "TOPUP", "2024-02-29 10:00+07", "50", token_cost="72235.00"),
        row("e near", "METER_READING", "2024-02-28 10:00+07", "12.60"),
        row("e other day", "METER_READING", "2024-03-01 18:00+00", "60.00"),
        row("same id", "METER_READING", "2024-03-05 08:00+07", "51.00", metadata={"app": "1.2"}),
        row("namesake", "ADJUSTMENT", "2024-03-06 08:00+07", "-1.50", created_by=user),
        row("e own", "METER_READING", "2024-03-08 08:00+07", "45.00"),
        row(
            "e voided", "TOPUP", "2024-03-07 08:00+07", "20",
            is_voided=True, voided_at="2024-03-07 02:00+00", voided_by=user, voided_reason="typo",
        ),
        row(
            "e void", "VOID", "2024-03-07 09:00+07", "0", void_of_event=named(user, "e voided"),
            metadata={"why": "typo"},
        ),
    ]  # fmt: skip


def plant(
    database: Database, starting_point: StartingPoint, *, unique_days: bool = False
) -> list[UUID]:
    """Two users with the same histories; EMPTY gets the users alone."""
    users = [database.add_user(), database.add_user()]
    if starting_point is StartingPoint.EMPTY:
        return users
    with database.connect() as connection:
        for user in users:
            put_readings(connection, readings_of(user, unique_days=unique_days))
            if starting_point is StartingPoint.DUAL_WRITE:
                put_events(connection, events_of(user))
                connection.execute(
                    "insert into public.recalculation_batches (id, user_id, trigger_type,"
                    " trigger_event_id, affected_events, events_count)"
                    " values (%s, %s, 'BACKDATE_TOPUP', %s, '[]', 0)",
                    (named(user, "batch"), user, named(user, "e topup")),
                )
    return users
