"""A dual-writing client writes a fact twice, in either order, to the table or to the view: once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.database import Connection, Database
from tests.support.events import mark_voided, record, shared_database, sign_up, signed_in
from tests.support.rollout import projection_is_live
from tests.support.servers import Databases, Template
from toolkit.bootstrap import StartingPoint

DAY, INSTANT = "2024-03-01", "2024-03-01 20:00+07"
SHOWN = "select id, kwh_value, token_amount from public.electricity_readings_v where user_id = %s"


@pytest.fixture(scope="module", params=["table", "view"])
def database(
    request: pytest.FixtureRequest, databases: Callable[[int], Databases]
) -> Iterator[Database]:
    """A rolled-out database, before the cutover and after it."""
    template = Template(
        starting_point=StartingPoint.LEGACY_ONLY, migrated=True, time_zone="Asia/Jakarta"
    )
    for made in shared_database(databases(17), template):
        if request.param == "view":
            made.rows("select ledger.cut_over('{upserts,functions}')")
        yield made


@pytest.fixture
def owner(database: Database) -> Iterator[Connection]:
    with database.connect() as connection:
        yield connection
        assert projection_is_live(connection)
        assert connection.execute("select * from ledger.migration_differences()").fetchall() == []
        connection.rollback()


@pytest.fixture
def user(owner: Connection) -> UUID:
    return sign_up(owner, 1)[0]


def read(connection: Connection, user: UUID, kwh: object = 50, **columns: object) -> UUID:
    """The half of electricity_readings; its id."""
    values = {"id": uuid4(), "user_id": user, "date": DAY, "kwh_value": kwh, **columns}
    connection.execute(
        "insert into public.electricity_readings (id, user_id, date, kwh_value, token_amount,"
        " created_at) values (%(id)s, %(user_id)s, %(date)s, %(kwh_value)s, %(token_amount)s,"
        " coalesce(%(created_at)s, now()))",
        {"token_amount": None, "created_at": None, **values},
    )
    return UUID(str(values["id"]))


@pytest.mark.parametrize("reading_first", [True, False])
@pytest.mark.parametrize("one_id", [True, False])
def test_both_halves_count_once(
    owner: Connection, user: UUID, reading_first: bool, one_id: bool
) -> None:
    id_ = uuid4()
    with signed_in(owner, user):
        if reading_first:
            read(owner, user, 70, token_amount=20, id=id_)
        record(owner, user, "TOPUP", 20, id=id_ if one_id else uuid4(), event_date=INSTANT)
        if not reading_first:
            read(owner, user, 70, token_amount=20, id=id_)
        assert owner.execute(SHOWN, (user,)).fetchall() == [(id_, 70, 20)]


def test_each_half_meets_one_other(owner: Connection, user: UUID) -> None:
    """Two readings of a fact and three events: two pairs, and one event of its own."""
    with signed_in(owner, user):
        readings = {read(owner, user), read(owner, user)}
        events = [record(owner, user, "METER_READING", 50, event_date=INSTANT) for _ in range(3)]
        shown = {row[0] for row in owner.execute(SHOWN, (user,)).fetchall()}
    assert shown == readings | {events[2]}


def test_a_bulk_insert_is_merged_one_to_one(owner: Connection, user: UUID) -> None:
    with signed_in(owner, user):
        readings = {read(owner, user, kwh) for kwh in (10, 10, 30)}
        owner.execute(
            "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
            " select %s, 'METER_READING', %s, unnest('{10,10,10,30,40}'::numeric[])",
            (user, INSTANT),
        )
        shown = owner.execute(SHOWN, (user,)).fetchall()
    assert readings <= {row[0] for row in shown}
    assert sorted(row[1] for row in shown) == [10, 10, 10, 30, 40]


@pytest.mark.parametrize(
    ("kind", "kwh", "columns"),
    [
        ("METER_READING", 51, {}),
        ("TOPUP", 50, {}),
        ("METER_READING", 50, {"event_date": "2024-03-02 00:00+07"}),
        ("METER_READING", 50, {"idempotency_key": "of a new client"}),
    ],
    ids=["another amount", "another kind", "another day", "a key of its own"],
)
def test_what_states_another_fact_counts_beside(
    owner: Connection, user: UUID, kind: str, kwh: int, columns: dict[str, object]
) -> None:
    with signed_in(owner, user):
        read(owner, user)
        record(owner, user, kind, kwh, None, **{"event_date": INSTANT, **columns})
        assert len(owner.execute(SHOWN, (user,)).fetchall()) == 2


@pytest.mark.parametrize("reading_first", [True, False])
def test_after_an_hour_it_is_another_fact(
    owner: Connection, user: UUID, reading_first: bool
) -> None:
    before = owner.execute("select now() - interval '61 minutes'").fetchone()
    assert before is not None
    with signed_in(owner, user):
        if reading_first:
            read(owner, user, created_at=before[0])
            record(owner, user, "METER_READING", 50, event_date=INSTANT)
        else:
            record(owner, user, "METER_READING", 50, event_date=INSTANT, created_at=before[0])
            read(owner, user)
        assert len(owner.execute(SHOWN, (user,)).fetchall()) == 2


def test_an_edit_between_the_halves_is_another_fact_or_the_same(
    owner: Connection, user: UUID
) -> None:
    with signed_in(owner, user):
        id_ = read(owner, user)
        for column, value in (("notes", "x"), ("kwh_value", "55")):
            owner.execute(
                "update public.electricity_readings set notes = %(notes)s,"
                " kwh_value = %(kwh_value)s where id = %(id)s",
                {"notes": "", "kwh_value": "50", "id": id_, column: value},
            )
        record(owner, user, "METER_READING", 55, event_date=INSTANT)
        assert owner.execute(SHOWN, (user,)).fetchall() == [(id_, 55, None)]


def test_who_voids_the_second_half_voids_the_fact(owner: Connection, user: UUID) -> None:
    with signed_in(owner, user):
        read(owner, user)
        event = record(owner, user, "METER_READING", 50, event_date=INSTANT)
        assert mark_voided(owner, event) == 1
        assert owner.execute(SHOWN, (user,)).fetchall() == []


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_halves_count_as_often_as_the_more_frequent_kind(
    owner: Connection, data: st.DataObject
) -> None:
    """Of one fact, n readings and m events within the hour are max(n, m) facts."""
    with owner.transaction(force_rollback=True):
        user = sign_up(owner, 1)[0]
        halves = data.draw(st.lists(st.booleans(), max_size=7))
        with signed_in(owner, user):
            for is_reading in halves:
                if is_reading:
                    read(owner, user)
                else:
                    record(owner, user, "METER_READING", 50, event_date=INSTANT)
            shown = owner.execute(SHOWN, (user,)).fetchall()
        assert len(shown) == max(sum(halves), len(halves) - sum(halves))
