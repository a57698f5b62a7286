"""What the deployed app holds before the rollout."""

from __future__ import annotations

import datetime as dt

import psycopg
import pytest

from tests.support.database import Database
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import DateType, DefaultPrivileges, StartingPoint

LEGACY_COLUMNS = [
    ("id", "uuid"),
    ("user_id", "uuid"),
    ("date", "date"),
    ("kwh_value", "numeric(10,2)"),
    ("token_amount", "numeric"),
    ("token_cost", "numeric"),
    ("notes", "text"),
    ("meter_photo_url", "text"),
    ("created_at", "timestamp with time zone"),
]
EVENT_COLUMNS = [
    ("id", "uuid"),
    ("user_id", "uuid"),
    ("event_type", "text"),
    ("event_date", "timestamp with time zone"),
    ("kwh_amount", "numeric(10,2)"),
    ("token_cost", "numeric(12,2)"),
    ("notes", "text"),
    ("meter_photo_url", "text"),
    ("is_voided", "boolean"),
    ("voided_at", "timestamp with time zone"),
    ("voided_by", "uuid"),
    ("voided_reason", "text"),
    ("void_of_event", "uuid"),
    ("recalc_batch_id", "uuid"),
    ("created_by", "uuid"),
    ("metadata", "jsonb"),
    ("created_at", "timestamp with time zone"),
]
TABLES = "select relname from pg_class where relnamespace = 'public'::regnamespace"


def columns(database: Database, table: str) -> list[tuple[str, str]]:
    return [
        (name, kind)
        for name, kind in database.rows(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 order by attnum",
            (f"public.{table}",),
        )
    ]


@pytest.mark.parametrize(
    ("starting_point", "expected"),
    [
        (StartingPoint.EMPTY, set()),
        (StartingPoint.LEGACY_ONLY, {"user_profiles", "electricity_readings"}),
        (
            StartingPoint.DUAL_WRITE,
            {"user_profiles", "electricity_readings", "token_events", "recalculation_batches"},
        ),
    ],
)
def test_each_starting_point_holds_its_tables(
    make_database: MakeDatabase, major: int, starting_point: StartingPoint, expected: set[str]
) -> None:
    database = make_database(starting_point, major=major)

    assert {name for (name,) in database.rows(f"{TABLES} and relkind = 'r'")} == expected


def test_the_tables_have_the_columns_of_the_field(make_database: MakeDatabase, major: int) -> None:
    database = make_database(StartingPoint.DUAL_WRITE, major=major)

    assert columns(database, "electricity_readings") == LEGACY_COLUMNS
    assert columns(database, "token_events") == EVENT_COLUMNS


@pytest.mark.parametrize(
    ("date_type", "expected"),
    [("date", "date"), ("timestamptz", "timestamp with time zone")],
)
def test_the_date_has_the_type_of_the_deployment(
    make_database: MakeDatabase, date_type: DateType, expected: str
) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY, date_type=date_type)

    assert dict(columns(database, "electricity_readings"))["date"] == expected


def test_duplicate_days_are_allowed_or_not_as_asked(make_database: MakeDatabase) -> None:
    insert = (
        "insert into public.electricity_readings (user_id, date, kwh_value)"
        " values (%(user)s, '2024-02-29', 1), (%(user)s, '2024-02-29', 2)"
    )
    loose = make_database(StartingPoint.LEGACY_ONLY)
    loose.rows(insert, {"user": loose.add_user()})
    strict = make_database(StartingPoint.LEGACY_ONLY, unique_days=True)

    with pytest.raises(psycopg.errors.UniqueViolation):
        strict.rows(insert, {"user": strict.add_user()})


@pytest.mark.parametrize("regime", list(DefaultPrivileges))
def test_signed_in_users_reach_their_own_rows_and_no_others(
    make_database: MakeDatabase, major: int, regime: DefaultPrivileges
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE, regime=regime, major=major)
    one, other = database.add_user(), database.add_user()
    for user in (one, other):
        with database.as_user(user) as request:
            request.execute(
                "insert into electricity_readings (user_id, date, kwh_value) values (%s, %s, 5)",
                (user, dt.date(2024, 2, 29)),
            )
            request.execute(
                "insert into token_events (user_id, event_type, event_date, kwh_amount)"
                " values (%s, 'TOPUP', now(), 5)",
                (user,),
            )
            request.execute(
                "insert into recalculation_batches"
                " (user_id, trigger_type, affected_events, events_count)"
                " values (%s, 'EDIT_TOPUP', '[]', 0)",
                (user,),
            )

    with database.as_user(one) as request:
        for table in (b"electricity_readings", b"token_events", b"recalculation_batches"):
            rows = request.execute(b"select user_id from " + table).fetchall()
            assert rows == [(one,)]
        assert request.execute("update token_events set notes = 'mine'").rowcount == 1
        assert request.execute("delete from electricity_readings").rowcount == 1
    with database.as_role("service_role") as request:
        assert request.execute("select count(*) from token_events").fetchone() == (2,)


def test_a_profile_is_made_by_signing_up_and_goes_with_its_user(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    user = database.add_user("somebody@example.test")

    assert database.rows(
        "select id, display_name, role, status, tariff_settings from public.user_profiles"
    ) == [(user, "somebody@example.test", "user", "active", {"rate": 1444.70, "currency": "IDR"})]
    with database.as_user(user) as request:
        assert request.execute("update user_profiles set display_name = 'Me'").rowcount == 1

    database.rows("delete from auth.users where id = %s", (user,))
    assert database.rows("select 1 from public.user_profiles") == []


@pytest.mark.parametrize(
    ("regime", "rows_seen"),
    [(DefaultPrivileges.GRANT_ALL, 0), (DefaultPrivileges.GRANT_NOTHING, None)],
)
def test_the_anonymous_role_gets_nothing(
    make_database: MakeDatabase, regime: DefaultPrivileges, rows_seen: int | None
) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY, regime=regime)
    database.rows(
        "insert into public.electricity_readings (user_id, date, kwh_value) values (%s, now(), 1)",
        (database.add_user(),),
    )

    with database.as_role("anon") as request:
        if rows_seen is None:  # no grant at all
            with pytest.raises(psycopg.errors.InsufficientPrivilege), request.transaction():
                request.execute("select * from electricity_readings")
        else:  # a grant, and row level security
            assert request.execute("select * from electricity_readings").rowcount == rows_seen
