"""The public contract's shapes: names, order and types of columns, and their defaults."""

from __future__ import annotations

import pytest

from tests.support.database import Database
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint

TIMESTAMP = "timestamp with time zone"
POSITION_COLUMNS = [
    ("event_id", "uuid"),
    ("user_id", "uuid"),
    ("event_type", "text"),
    ("event_date", TIMESTAMP),
    ("kwh_amount", "numeric"),
    ("token_cost", "numeric"),
    ("notes", "text"),
    ("meter_photo_url", "text"),
    ("calculated_position", "numeric"),
    ("daily_consumption", "numeric"),
    ("is_topup", "boolean"),
    ("created_at", TIMESTAMP),
]
BATCH_COLUMNS = {
    "id": "uuid",
    "user_id": "uuid",
    "trigger_type": "text",
    "trigger_event_id": "uuid",
    "affected_events": "jsonb",
    "events_count": "integer",
    "can_rollback_until": TIMESTAMP,
    "rolled_back_at": TIMESTAMP,
    "rollback_reason": "text",
    "created_by": "uuid",
    "created_at": TIMESTAMP,
}
EVENT_COLUMNS = {
    "id": "uuid",
    "user_id": "uuid",
    "event_type": "text",
    "event_date": TIMESTAMP,
    "kwh_amount": "numeric",
    "token_cost": "numeric",
    "notes": "text",
    "meter_photo_url": "text",
    "is_voided": "boolean",
    "voided_at": TIMESTAMP,
    "voided_by": "uuid",
    "voided_reason": "text",
    "void_of_event": "uuid",
    "recalc_batch_id": "uuid",
    "created_by": "uuid",
    "metadata": "jsonb",
    "created_at": TIMESTAMP,
    "observed_kwh": "numeric",
    "reading_id": "uuid",
    "idempotency_key": "text",
}


def reading_columns(date_type: str) -> list[tuple[str, str]]:
    return [
        ("id", "uuid"),
        ("user_id", "uuid"),
        ("date", date_type),
        ("kwh_value", "numeric"),
        ("token_cost", "numeric"),
        ("token_amount", "numeric"),
        ("notes", "text"),
        ("meter_photo_url", "text"),
        ("created_at", TIMESTAMP),
    ]


def columns(database: Database, relation: str) -> list[tuple[str, str]]:
    """Names and types, with their precision if they have one, in order."""
    return [
        (name, kind)
        for name, kind in database.rows(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
            (relation,),
        )
    ]


@pytest.mark.parametrize("relation", ["electricity_readings_v", "electricity_readings_mv"])
def test_the_readings_views_have_the_legacy_columns(
    make_database: MakeDatabase, major: int, relation: str
) -> None:
    database = make_database(migrated=True, major=major)

    assert columns(database, f"public.{relation}") == reading_columns("date")


@pytest.mark.parametrize("relation", ["electricity_readings_v", "electricity_readings_mv"])
def test_their_date_is_an_instant_where_the_legacy_one_is(
    make_database: MakeDatabase, major: int, relation: str
) -> None:
    database = make_database(
        StartingPoint.LEGACY_ONLY, migrated=True, date_type="timestamptz", major=major
    )

    assert columns(database, f"public.{relation}") == reading_columns(TIMESTAMP)


@pytest.mark.parametrize("point", list(StartingPoint))
def test_every_starting_point_ends_in_the_same_columns(
    make_database: MakeDatabase, point: StartingPoint
) -> None:
    zone = "UTC" if point is StartingPoint.DUAL_WRITE else None
    database = make_database(point, migrated=True, time_zone=zone)

    for relation in ("electricity_readings_v", "electricity_readings_mv"):
        assert columns(database, f"public.{relation}") == reading_columns("date")
    assert dict(columns(database, "public.recalculation_batches")) == BATCH_COLUMNS
    assert dict(columns(database, "public.token_events")).items() >= EVENT_COLUMNS.items()


def test_the_materialized_view_is_one_and_the_view_is_one(db: Database) -> None:
    kinds = db.rows(
        "select relname, relkind::text from pg_class where relnamespace = 'public'::regnamespace"
        " and relname like 'electricity_readings_%%' and relkind in ('v', 'm', 'r')",
        (),
    )

    assert dict(kinds) == {"electricity_readings_v": "v", "electricity_readings_mv": "m"}


def test_the_function_returns_the_columns_of_the_contract(
    make_database: MakeDatabase, major: int
) -> None:
    database = make_database(migrated=True, major=major)
    [(takes, names, kinds)] = database.rows(
        "select pg_get_function_identity_arguments(oid), proargnames[2:],"
        " array(select format_type(kind, null) from unnest(proallargtypes[2:]) as kind)"
        " from pg_proc where proname = 'calculate_user_positions'"
    )

    assert takes == "p_user_id uuid"
    assert list(zip(names, kinds, strict=True)) == POSITION_COLUMNS
