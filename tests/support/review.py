"""A migrated database with a reject of every reason, and near matches, to be decided in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid5

from tests.support.database import Connection, Database
from tests.support.household import named, put_events, put_readings
from tests.support.rollout import apply
from tests.support.servers import Databases, Template
from toolkit.bootstrap import StartingPoint

# A zone in which one day was left out, when it changed sides of the date line.
ZONE = "Pacific/Apia"
USER = UUID("00000000-0000-4000-8000-0000000000a1")
STRANGER = UUID("00000000-0000-4000-8000-0000000000b2")  # neither a profile nor a login
NOTES = "habis \x1b[31m=1+1 \u202egnorw, password=tr0ub4dor"

# reason → what the row holds that is wrong, and what makes it right: column → value or None.
REASONS: dict[str, tuple[dict[str, object], dict[str, str | None]]] = {
    "no user": ({"user_id": None}, {"user_id": str(USER)}),
    "no profile owns it": ({"user_id": STRANGER}, {"user_id": str(USER)}),
    "no date": ({"date": None}, {"date": "2024-05-01"}),
    "date out of range": ({"date": "infinity"}, {"date": "2024-05-02"}),
    "the day does not exist in the time zone": ({"date": "2011-12-30"}, {"date": "2011-12-29"}),
    "no kwh_value": ({"kwh_value": None}, {"kwh_value": "12.50"}),
    "kwh_value out of range": ({"kwh_value": "NaN"}, {"kwh_value": "13.50"}),
    "token_amount out of range": ({"token_amount": "Infinity"}, {"token_amount": None}),
    "token_cost out of range": ({"token_cost": "1e30"}, {"token_cost": "72235.00"}),
    "created_at out of range": ({"created_at": "infinity"}, {"created_at": None}),
}


def rejected(reason: str) -> UUID:
    """The id of the row that is rejected for a reason."""
    return uuid5(USER, reason)


def near(side: str, number: int) -> UUID:
    """The id of the event or the reading of a near match."""
    return named(USER, f"near {side} {number}")


@contextmanager
def undecided(databases: Databases) -> Iterator[Database]:
    """The database to copy: one reject of each reason, three near matches, one merge."""
    database = databases.make(Template(StartingPoint.DUAL_WRITE))
    with database.admin() as connection:
        connection.execute("insert into auth.users (id) values (%s)", (USER,))
        connection.execute(
            "alter table public.electricity_readings alter column user_id drop not null,"
            " alter column date drop not null, alter column kwh_value drop not null"
        )
        connection.execute("set session_replication_role = replica")
        _plant(connection)
    apply(database, time_zone=ZONE)
    try:
        yield database
    finally:
        databases.drop(database)


def _plant(connection: Connection) -> None:
    rows: list[dict[str, object]] = []
    for number, (reason, (wrong, _)) in enumerate(REASONS.items(), start=1):
        right = {"user_id": USER, "date": f"2024-04-{number:02}", "kwh_value": "50.00"}
        rest = {"created_at": f"2024-04-{number:02} 05:00+00", "notes": NOTES}
        rows.append({"id": rejected(reason), **right, **rest, **wrong})
    events: list[dict[str, object]] = []
    for number, kwh in enumerate(("20.00", "30.00", "40.00")):
        day = f"2024-06-{number + 1:02}"
        row = {"user_id": USER, "created_at": f"{day} 05:00+00", "notes": NOTES}
        reading = {"date": day, "kwh_value": "90.00", "token_amount": kwh}
        rows.append({"id": near("reading", number), **row, **reading})
        event = {"event_type": "TOPUP", "event_date": f"{day} 10:00+13"}
        almost = f"{float(kwh) + 0.5}"
        events.append({"id": near("event", number), **row, **event, "kwh_amount": almost})
    put_readings(connection, rows)
    put_events(connection, events)
