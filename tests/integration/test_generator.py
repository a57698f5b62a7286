"""Generated data in a real database: every row as it was made, and the books by SQL as well."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from tests.support.database import Database
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.demo.generator import Dataset, generate
from toolkit.demo.loading import Loaded, load
from toolkit.demo.model import DateType, EventRow, ProfileRow, Spec
from toolkit.errors import OperationalError

# The definitions of a rejected row, of a fact and of the order, once more and in SQL.
BOOKS = """
with reading as (
  select
    r.*,
    p.id is null
    or not pg_catalog.isfinite(r.date)
    or not coalesce(pg_catalog.isfinite(r.created_at), true)
    or r.kwh_value = 'NaN'
    or abs(coalesce(r.token_amount, 0)) >= 1e12 -- NaN is greater than any number
    or abs(coalesce(r.token_cost, 0)) >= 1e12 as rejected,
    case when r.token_amount > 0 then 'TOPUP' else 'METER_READING' end as kind,
    case when r.token_amount > 0 then r.token_amount else r.kwh_value end as kwh
  from public.electricity_readings as r
  left join public.user_profiles as p on p.id = r.user_id
),

valid as (
  select
    r.*,
    case
      when %(date_type)s = 'date' then r.date::timestamp::date
      else ((r.date::text)::timestamptz at time zone %(zone)s)::date
    end as day
  from reading as r
  where not r.rejected
),

live as (
  select e.*, (e.event_date at time zone %(zone)s)::date as day
  from public.token_events as e
  where not coalesce(e.is_voided, false) and e.event_type in ('TOPUP', 'METER_READING')
),

completed as (
  select v.id
  from valid as v
  join live as e on (e.user_id, e.id, e.event_type, e.kwh_amount, e.day)
    = (v.user_id, v.id, v.kind, v.kwh, v.day)
),

rows_left as (
  select
    v.*,
    row_number() over (
      partition by v.user_id, v.day, v.kind, v.kwh
      order by v.date, coalesce(
        v.created_at,
        case
          when %(date_type)s = 'date' then v.day::timestamp at time zone %(zone)s
          else (v.date::text)::timestamptz
        end
      ), v.id
    ) as place
  from valid as v
  where not exists (select from completed as c where c.id = v.id)
),

events_left as (
  select
    e.*,
    row_number() over (
      partition by e.user_id, e.day, e.event_type, e.kwh_amount
      order by e.event_date, coalesce(e.created_at, e.event_date), e.id
    ) as place
  from live as e
  where not exists (
    select from completed as c join valid as v on v.id = c.id and v.user_id = e.user_id
    where c.id = e.id
  )
),

merged as (
  select e.id as event, r.id as reading, e.user_id
  from events_left as e
  join rows_left as r on (r.user_id, r.kind, r.kwh, r.day, r.place)
    = (e.user_id, e.event_type, e.kwh_amount, e.day, e.place)
)
"""


def load_into(database: Database, dataset: Dataset) -> Loaded:
    with database.admin() as connection:
        return load(connection, dataset)


def books(database: Database, dataset: Dataset, question: str) -> list[TupleRow]:
    spec = dataset.spec
    with database.connect() as connection:
        # A zone of the session that is neither the app's nor UTC must change nothing.
        connection.execute("set local time zone 'America/Lima'")
        values = {"zone": spec.time_zone, "date_type": spec.date_type}
        return connection.execute((BOOKS + question).encode(), values).fetchall()


def texts(database: Database, table: str, columns: tuple[str, ...]) -> Counter[TupleRow]:
    """The table's rows as text, timestamps in the generator's spelling."""
    stamps = ("_at", "_until", "_date")
    picked = [
        sql.SQL(
            "case when {0} in ('infinity', '-infinity') then {0}::text"
            " else to_char({0} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') end"
            if column.endswith(stamps)
            else "{}::text"
        ).format(sql.Identifier(column))
        for column in columns
    ]
    with database.admin() as connection:
        connection.execute("set local time zone 'UTC'")
        query = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(picked), sql.Identifier("public", table)
        )
        return Counter(connection.execute(query).fetchall())


@pytest.mark.parametrize("zone", ["UTC", "Asia/Jakarta", "America/New_York"])
@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_sql_reckons_the_books_as_the_generator_does(
    make_database: MakeDatabase, zone: str, date_type: DateType
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE, date_type=date_type)
    dataset = generate(Spec(rows=4_000, users=60, time_zone=zone, date_type=date_type))
    expected = load_into(database, dataset).expectation
    sums = books(
        database,
        dataset,
        "select (select count(*) from reading), (select count(*) from valid),"
        " (select count(*) from merged), (select count(*) from completed),"
        " (select count(*) from public.token_events"
        "  where not coalesce(is_voided, false) and event_type <> 'VOID')",
    )
    assert sums == [
        (
            expected.legacy_rows,
            expected.migrated,
            expected.merged,
            expected.completed,
            expected.merged + expected.completed + expected.event_only,
        )
    ]
    rejected = books(database, dataset, "select id from reading where rejected")
    assert {row[0] for row in rejected} == set(expected.rejected)
    by_user = books(database, dataset, "select user_id, count(*) from merged group by user_id")
    found = {user: counts.merged for user, counts in expected.by_user.items() if counts.merged}
    assert dict(by_user) == found


def test_sql_pairs_the_ties_as_the_generator_does(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    dataset = generate(Spec(rows=0, users=1, time_zone="Asia/Jakarta"))
    load_into(database, dataset)
    merged: dict[UUID, UUID] = dict(books(database, dataset, "select event, reading from merged"))
    cases = dataset.cases
    for pairs in (cases.ties.merged, cases.duplicate_days.merged):
        assert {found.event: merged[found.event] for found in pairs} == dict(pairs)


@pytest.mark.parametrize("date_type", ["date", "timestamptz"])
def test_every_row_arrives_as_it_was_made(make_database: MakeDatabase, date_type: DateType) -> None:
    database = make_database(StartingPoint.DUAL_WRITE, date_type=date_type)
    dataset = generate(Spec(rows=1_500, users=40, time_zone="Asia/Jakarta", date_type=date_type))
    loaded = load_into(database, dataset)
    houses = list(dataset.households())
    readings = Counter(r.row for house in houses for r in house.readings)
    events = Counter(e.row for house in houses for e in house.events)
    words: tuple[str, ...] = ("id", "notes", "meter_photo_url", "created_at")
    found = texts(database, "electricity_readings", words)
    assert found == Counter(
        tuple(row._asdict()[word] for word in words) for row in readings.elements()
    )
    skip = {"kwh_amount", "token_cost", "metadata", "is_voided"}  # spelled in another way
    words = tuple(column for column in EventRow._fields if column not in skip)
    found = texts(database, "token_events", words)
    assert found == Counter(
        tuple(row._asdict()[word] for word in words) for row in events.elements()
    )
    assert (loaded.legacy_rows, loaded.events) == (readings.total(), events.total())
    profiles = Counter(house.profile for house in houses if house.profile is not None)
    assert texts(database, "user_profiles", ProfileRow._fields) == profiles
    batches = texts(database, "recalculation_batches", ("id", "can_rollback_until", "created_at"))
    assert batches == Counter(
        (b.id, b.can_rollback_until, b.created_at) for house in houses for b in house.batches
    )
    assert loaded.batches == batches.total() > 0


def test_numbers_and_dates_arrive_exactly(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    dataset = generate(Spec(rows=0, users=1))
    load_into(database, dataset)
    cases = dataset.cases
    reading = "select kwh_value::text, token_amount::text, token_cost::text, date::text"
    where = " from public.electricity_readings where id = %s"

    def row(id: UUID) -> TupleRow:
        return database.rows(reading + where, (id,))[0]

    assert row(cases.limits.reading.reading)[0] == "99999999.99"
    assert row(cases.limits.largest)[1:3] == ("999999999999.99", "999999999999.99")
    assert row(cases.limits.finest)[1] == "0.000001"
    assert row(cases.calendar.leap_days[1].reading)[3] == "2024-02-29"
    assert row(cases.calendar.future[0].reading)[3] == "2100-01-01"
    assert row(cases.odd_tokens.negative.reading)[1] == "-15.50"
    assert row(cases.halves.trailing_zeros.reading)[1] == "20.500"


def test_a_legacy_only_database_takes_the_legacy_rows(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    dataset = generate(Spec(rows=600, users=40, dual_write=False))
    loaded = load_into(database, dataset)
    assert (loaded.legacy_rows, loaded.events, loaded.batches) == (600, 0, 0)
    assert database.value("select count(*) from public.electricity_readings") == 600


def test_foreign_keys_and_triggers_work_again_after_loading(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    dataset = generate(Spec(rows=0, users=1))
    load_into(database, dataset)
    leaver = dataset.cases.people.deleted_midway
    database.rows("delete from auth.users where id = %s", (leaver,))
    for table in ("electricity_readings", "token_events", "recalculation_batches"):
        query = f"select from public.{table} where user_id = %s"
        assert database.rows(query, (leaver,)) == []
    orphan = dataset.cases.people.orphan
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        database.rows(
            "insert into public.electricity_readings (user_id, date, kwh_value)"
            " values (%s, '2024-01-01', 1)",
            (orphan,),
        )


def test_the_caller_owns_the_transaction(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    with database.admin() as connection:
        connection.execute("select 1")
        load(connection, generate(Spec(rows=0, users=1)))
        assert connection.execute("show session_replication_role").fetchone() == ("origin",)
        connection.rollback()
    assert database.value("select count(*) from public.electricity_readings") == 0


def test_progress_ends_at_the_total(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    dataset = generate(Spec(rows=45_000, users=30))
    told: list[tuple[int, int]] = []
    with database.admin() as connection:
        load(connection, dataset, lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert len(told) > 1
    assert told[-1] == (45_000, 45_000)


def test_a_broken_progress_callback_leaves_nothing(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with database.admin() as connection, pytest.raises(KeyboardInterrupt):
        load(connection, generate(Spec(rows=45_000, users=30)), interrupted)
    assert database.value("select count(*) from public.electricity_readings") == 0
    assert database.value("select count(*) from auth.users") == 0


def test_loading_twice_is_refused_and_changes_nothing(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    dataset = generate(Spec(rows=500, users=40))
    load_into(database, dataset)
    with pytest.raises(OperationalError, match="holds rows already"):
        load_into(database, dataset)
    assert database.value("select count(*) from public.electricity_readings") == 500


def test_a_database_without_the_app_is_refused(make_database: MakeDatabase) -> None:
    for starting_point in (StartingPoint.EMPTY, StartingPoint.LEGACY_ONLY):
        database = make_database(starting_point)
        with pytest.raises(OperationalError, match="There is no table") as caught:
            load_into(database, generate(Spec(rows=0, users=1)))
        assert "legacy app" in caught.value.next_step
