"""The switch of electricity_readings from table to view and back, as the SQL alone does it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tests.support.catalog import objects
from tests.support.database import Connection, Database
from tests.support.events import record, signed_in
from tests.support.household import ZONE, named, plant
from tests.support.processes import wait_until
from tests.support.rollout import apply
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import DefaultPrivileges, StartingPoint
from toolkit.resources import statement
from toolkit.rollout import phases, roll_back

CUT_OVER = "select ledger.cut_over('{upserts}')"
CUT_BACK = "select ledger.cut_back()"
ROWS = (
    "select r.id, r.user_id, r.date, r.kwh_value, r.token_amount, r.token_cost, r.notes,"
    " r.meter_photo_url, r.created_at from public.electricity_readings as r"
    " order by r.user_id, r.id"
)


@dataclass(frozen=True)
class House:
    """A rolled-out dual-write database, and its users."""

    database: Database
    users: list[UUID]

    def rows(self) -> list[psycopg.rows.TupleRow]:
        return self.database.rows(ROWS)


@pytest.fixture
def house(make_database: MakeDatabase) -> House:
    """Two households of a dual-writing app, migrated."""
    database = make_database(StartingPoint.DUAL_WRITE)
    users = plant(database, StartingPoint.DUAL_WRITE)
    apply(database, time_zone=ZONE)
    return House(database, users)


def differences(database: Database) -> list[psycopg.rows.TupleRow]:
    return database.rows("select * from ledger.migration_differences()")


# There and back


@pytest.mark.parametrize("regime", DefaultPrivileges)
def test_there_and_back_changes_nothing_of_the_catalog(
    make_database: MakeDatabase, regime: DefaultPrivileges
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE, regime=regime)
    plant(database, StartingPoint.DUAL_WRITE)
    apply(database, time_zone=ZONE)
    before, triggers = objects(database), _switched_off(database)
    grants = database.value("select ledger.relation_grants('public.electricity_readings')")

    database.rows(CUT_OVER)
    assert database.value("select ledger.is_cut_over()") is True
    assert database.value("select ledger.relation_grants('public.electricity_readings')") == [
        grant for grant in grants if grant["privilege"] in ("select", "insert", "update", "delete")
    ]
    assert database.value(
        "select ledger.relation_grants('ledger.electricity_readings_archive')"
    ) == []  # fmt: skip
    database.rows(CUT_BACK)
    # PostgREST embeds by these, for the view's sake; with the table it can do without.
    assert len(database.value("select ledger.embeddings()::text[]")) == 3
    database.rows("select ledger.drop_embeddings()")
    assert (objects(database), _switched_off(database)) == (before, triggers)
    assert database.value(
        "select ledger.relation_grants('public.electricity_readings')"
    ) == grants  # fmt: skip


def _switched_off(database: Database) -> list[psycopg.rows.TupleRow]:
    return database.rows(
        "select t.tgname from pg_trigger as t where t.tgenabled <> 'O' and not t.tgisinternal"
    )


def test_the_view_has_the_tables_columns_types_and_defaults(house: House) -> None:
    columns = (
        "select a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid)"
        " from pg_attribute as a left join pg_attrdef as d"
        " on d.adrelid = a.attrelid and d.adnum = a.attnum"
        " where a.attrelid = 'public.electricity_readings'::regclass and a.attnum > 0"
        " order by a.attnum"
    )
    before = house.database.rows(columns)
    house.database.rows(CUT_OVER)
    assert house.database.rows(columns) == before


def test_the_table_comes_back_row_for_row(house: House) -> None:
    """Untouched rows are identical, those of new clients are there, those they voided are not."""
    user, other = house.users
    before = {row[0]: row for row in house.rows()}
    house.database.rows(CUT_OVER)
    shown = house.rows()
    with house.database.as_user(user) as request:
        own = record(request, user, "TOPUP", "7.125", notes="new client")
        request.execute(
            "update public.token_events set is_voided = true where id = %s", (named(user, "zero"),)
        )
        request.execute(
            "update public.electricity_readings set notes = 'edited' where id = %s",
            (named(user, "first"),),
        )
        request.execute(
            "delete from public.electricity_readings where id = %s", (named(user, "odd"),)
        )
        added = request.execute(
            "insert into public.electricity_readings (user_id, date, kwh_value)"
            " values (%s, '2024-04-01', 40) returning id",
            (user,),
        ).fetchone()
    assert added is not None
    through_the_view = house.rows()
    house.database.rows(CUT_BACK)

    after = {row[0]: row for row in house.rows()}
    # Where the table held no created_at, it holds none again; the view shows the day's instant.
    undated = {named(u, "undated") for u in house.users}
    assert [r for r in house.rows() if r[0] not in undated] == [
        r for r in through_the_view if r[0] not in undated
    ]
    assert {after[id_][8] for id_ in undated} == {None}
    assert len(shown) == len(before) + 8  # what only new clients saw: four events a user
    assert after[own][3:5] == (Decimal("47.13"), Decimal("7.125"))
    assert after[named(user, "first")][6] == "edited"
    assert after.keys() == before.keys() - {named(user, "zero"), named(user, "odd")} | {
        row[0] for row in shown
    } - {named(user, "zero"), named(user, "odd")} | {own, added[0]}
    assert {id_: row for id_, row in after.items() if row[1] == other} == {
        row[0]: row if row[0] not in undated else before[row[0]] for row in shown if row[1] == other
    }
    assert differences(house.database) == []


def test_the_table_goes_on_being_synced_after_the_cutback(house: House) -> None:
    user = house.users[0]
    house.database.rows(CUT_OVER)
    with house.database.as_user(user) as request:
        own = record(request, user, "TOPUP", 7)
    house.database.rows(CUT_BACK)
    with house.database.as_user(user) as request:
        request.execute(
            "update public.electricity_readings set kwh_value = 44 where id = %s", (own,)
        )
        request.execute(
            "delete from public.electricity_readings where id = %s", (named(user, "first"),)
        )
    assert house.database.rows(
        "select kwh_value from public.electricity_readings_v where id = any (%s)",
        ([own, named(user, "first")],),
    ) == [(44,)]
    assert differences(house.database) == []


def test_an_edited_note_of_a_copied_row_makes_no_anchor(house: House) -> None:
    """The balance of a new client's top-up is computed, and moves on with what comes before it."""
    user = house.users[0]
    with house.database.as_user(user) as request:
        own = record(request, user, "TOPUP", 7)
    house.database.rows(CUT_OVER)
    house.database.rows(CUT_BACK)
    with house.database.as_user(user) as request:
        for text in ("once", "twice"):
            request.execute(
                "update public.electricity_readings set notes = %s where id = %s", (text, own)
            )
    assert house.database.rows(
        "select notes, observed_kwh from public.token_events"
        " where coalesce(reading_id, id) = %s and not is_voided",
        (own,),
    ) == [("twice", None)]
    assert differences(house.database) == []


def test_an_edited_note_through_the_view_makes_no_anchor(house: House) -> None:
    user = house.users[0]
    with house.database.as_user(user) as request:
        own = record(request, user, "TOPUP", 7)
    house.database.rows(CUT_OVER)
    with house.database.as_user(user) as request:
        request.execute("update public.electricity_readings set notes = 'x' where id = %s", (own,))
        request.execute(
            "update public.electricity_readings set kwh_value = 99 where id = %s",
            (named(user, "e own"),),
        )
    assert house.database.rows(
        "select kwh_value, notes from public.electricity_readings_v where id = %s", (own,)
    ) == [(106, "x")]


def test_rejected_rows_wait_in_the_archive(house: House) -> None:
    """They were waived: no view shows them, and the table has them again afterwards."""
    user = house.users[0]
    with house.database.connect() as owner:
        rejected = uuid4()
        owner.execute(
            "insert into public.electricity_readings (id, user_id, date, kwh_value)"
            " values (%s, %s, '2024-05-01', 'NaN')",
            (rejected, user),
        )
    with pytest.raises(psycopg.Error, match="1 rejected readings wait for a decision"):
        house.database.rows(CUT_OVER)
    house.database.rows("update ledger.migration_rejects set waived_at = now(), waived_by = 'me'")
    house.database.rows(CUT_OVER)
    assert house.database.rows(
        "select from public.electricity_readings where id = %s", (rejected,)
    ) == []  # fmt: skip
    house.database.rows(CUT_BACK)
    assert house.database.value(
        "select kwh_value::text from public.electricity_readings where id = %s", (rejected,)
    ) == "NaN"  # fmt: skip
    assert differences(house.database) == []


def test_the_rollback_after_a_cutback_leaves_what_the_table_and_the_clients_wrote(
    house: House,
) -> None:
    user = house.users[0]
    house.database.rows(CUT_OVER)
    with house.database.as_user(user) as request:
        own = record(request, user, "TOPUP", 7)
        request.execute("update public.electricity_readings set notes = 'x' where id = %s", (own,))
        request.execute(
            "update public.electricity_readings set notes = 'y' where id = %s",
            (named(user, "first"),),
        )
    house.database.rows(CUT_BACK)
    table = house.rows()
    with house.database.connect(autocommit=True) as owner:
        for phase in reversed(phases()[1:]):  # phase 0 keeps the record of the cutover
            roll_back(owner, phase)
    assert house.rows() == table
    assert house.database.rows(
        "select id, is_voided from public.token_events where id in (%s, %s)",
        (own, named(user, "first")),
    ) == [(own, False)]


# What the table cannot take back


@pytest.mark.parametrize(
    ("kwh", "problem"),
    [("-500", "electricity_readings_kwh_value_check"), ("1e9", "numbers cannot hold it")],
)
def test_what_the_table_cannot_hold_is_named_and_set_aside_by_its_number(
    house: House, kwh: str, problem: str
) -> None:
    user = house.users[0]
    house.database.rows(CUT_OVER)
    with house.database.as_user(user) as request:
        own = record(request, user, "ADJUSTMENT", kwh)
        assert request.execute("select count(*) from public.electricity_readings").fetchone()
    house.database.value("select ledger.prepare_cutback()")
    with pytest.raises(psycopg.Error, match=f"cannot take 1 readings back: .*{problem}.*{own}"):
        house.database.rows(CUT_BACK)
    assert house.database.value("select ledger.is_cut_over()") is True

    assert house.database.value("select ledger.cut_back(1)")["set_aside"] == 1
    assert own not in {row[0] for row in house.rows()}
    assert house.database.rows(
        "select row_data ->> 'id' from ledger.set_aside where kind = 'reading'"
    ) == [(str(own),)]
    assert differences(house.database) == []


def test_an_id_of_two_users_and_a_day_taken_twice_are_set_aside(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY, unique_days=True)
    users = plant(database, StartingPoint.LEGACY_ONLY, unique_days=True)
    apply(database, time_zone=ZONE)
    database.rows(CUT_OVER)
    with database.as_user(users[0]) as request:
        record(request, users[0], "METER_READING", 1, id=named(users[1], "first"))
        record(request, users[0], "METER_READING", 2, event_date="2024-02-28 12:00+07")
        shared = uuid4()
        record(request, users[0], "METER_READING", 3, id=shared, event_date="2025-01-01 12:00+07")
    with database.as_user(users[1]) as request:
        record(request, users[1], "METER_READING", 4, id=shared, event_date="2025-01-01 12:00+07")
    found = database.rows("select problem from ledger.archive_obstacles() order by problem")
    assert [row[0] for row in found] == [
        "another user's row has its id",
        "another user's row has its id",
        "it repeats a key of electricity_readings_user_id_date_key",
    ]
    assert database.value("select ledger.cut_back(3)")["set_aside"] == 3
    assert differences(database) == []


# What stands in the way

OBSTACLES = {
    "a column of the app's own": (
        "alter table public.electricity_readings add column mood text", "column mood"
    ),
    "a trigger of the app's own": (
        "create function public.f() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger t after insert on public.electricity_readings"
        " for each row execute function public.f()",
        "trigger t",
    ),
    "a rule": (
        "create rule r as on delete to public.electricity_readings do also notify x", "rule r"
    ),
    "a foreign key that points at it": (
        "create table public.photos (id uuid references public.electricity_readings)",
        "foreign key photos_id_fkey",
    ),
    "a foreign key to something else": (
        "create table public.meters (id uuid primary key);"
        "alter table public.electricity_readings add foreign key (id) references public.meters"
        " not valid",
        "foreign key electricity_readings_id_fkey",
    ),
    "an index over users": (
        "create unique index i on public.electricity_readings (id)", "index public.i"
    ),
    "a materialized view": (
        "create materialized view public.m as table public.electricity_readings", "public.m"
    ),
    "a policy of another table": (
        "create table public.other (id uuid); create policy p on public.other using"
        " (exists (select from public.electricity_readings as r where r.id = other.id))",
        'policy "p" of public.other',
    ),
    "a function of its rows": (
        "create function public.f(public.electricity_readings) returns int language sql"
        " return 1",
        "f(public.electricity_readings)",
    ),
    "row level security off": (
        "alter table public.electricity_readings disable row level security", "row level security"
    ),
    "another owner": (
        "alter table public.electricity_readings owner to supabase_admin", "belongs to"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "named_as"), OBSTACLES.values(), ids=OBSTACLES.keys())
def test_the_cutover_refuses(house: House, fault: str, named_as: str) -> None:
    with house.database.admin() as admin:
        admin.execute(fault.encode())
    with pytest.raises(psycopg.Error) as refused:
        house.database.rows("select ledger.cut_over('{upserts,functions,policies,realtime}')")
    assert refused.value.sqlstate == "ML210"
    assert named_as in str(refused.value)
    assert str(refused.value.diag.message_detail).startswith("Next: ")
    assert house.database.value("select ledger.is_cut_over()") is False


TOPICS = {
    "upserts": "select",
    "functions": (
        "create function public.f() returns bigint language sql"
        " as 'select count(*) from public.electricity_readings'"
    ),
    "realtime": "create publication p for table public.electricity_readings",
    "policies": (
        "create policy admins on public.electricity_readings for select to authenticated"
        " using (auth.uid() = '00000000-0000-0000-0000-000000000001')"
    ),
}


@pytest.mark.parametrize(("topic", "plan"), TOPICS.items())
def test_what_changes_for_clients_wants_to_be_acknowledged(
    house: House, topic: str, plan: str
) -> None:
    with house.database.admin() as admin:
        admin.execute(plan.encode())
    others = "{" + ",".join(known for known in TOPICS if known != topic) + "}"
    with pytest.raises(psycopg.Error, match="the cutover is refused") as refused:
        house.database.rows("select ledger.cut_over(%s)", (others,))
    assert f"acknowledge {topic}" in str(refused.value.diag.message_detail)
    house.database.rows("select ledger.cut_over(%s)", ("{" + ",".join(TOPICS) + "}",))


def test_the_apps_views_read_the_successor(house: House) -> None:
    with house.database.connect() as owner:
        owner.execute(
            "create view public.days with (security_invoker = true, security_barrier = true) as"
            " select r.date, r.kwh_value from public.electricity_readings as r"
        )
        owner.execute("create view public.months as select date from public.days")
        owner.execute("grant select on public.days to authenticated")
    user = house.users[0]
    options = "select c.reloptions, c.relacl::text from pg_class as c where c.relname = 'days'"
    before = house.database.rows(options)
    house.database.rows(CUT_OVER)
    with house.database.as_user(user) as request:
        record(request, user, "METER_READING", 33)
        assert (33,) in request.execute("select kwh_value from public.days").fetchall()
    assert house.database.rows(options) == before
    house.database.rows(CUT_BACK)
    assert house.database.rows(options) == before
    with house.database.as_user(user) as request:
        request.execute(
            "insert into public.electricity_readings (user_id, date, kwh_value)"
            " values (%s, '2024-04-01', 34)",
            (user,),
        )
        assert (34,) in request.execute("select kwh_value from public.days").fetchall()


def test_what_no_policy_allowed_stays_refused(house: House) -> None:
    """A grant that no policy gave a row to would open something on a view."""
    with house.database.connect() as owner:
        owner.execute('drop policy "Users can delete own readings" on public.electricity_readings')
    house.database.rows("select ledger.cut_over('{upserts,policies}')")
    with (
        house.database.as_user(house.users[0]) as request,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        request.execute("delete from public.electricity_readings")


def test_a_row_of_the_archive_that_nothing_stands_for_is_found(house: House) -> None:
    user = house.users[0]
    house.database.rows(CUT_OVER)
    with house.database.as_user(user) as request:
        request.execute("delete from public.electricity_readings where date = '2024-03-02'")
    kept = statement("check_archive_kept").decode()
    assert house.database.rows(kept) == []
    house.database.rows(
        "delete from ledger.migrated_readings where reading_id = %s", (named(user, "odd"),)
    )
    assert [row[:2] for row in house.database.rows(kept)] == [(user, named(user, "odd"))]


# For good


def test_contract_empties_the_archive_and_leads_back_all_the_same(house: House) -> None:
    user = house.users[0]
    with pytest.raises(psycopg.Error, match="nothing may go"):
        house.database.rows("select ledger.contract()")
    house.database.rows(CUT_OVER)
    shown = house.rows()
    assert house.database.value("select ledger.contract()")["rows"] == 16
    assert house.database.value("select count(*) from ledger.electricity_readings_archive") == 0
    with (
        house.database.as_user(user) as request,
        pytest.raises(psycopg.errors.CheckViolation, match="electricity_readings_kwh_value_check"),
    ):
        request.execute(
            "insert into public.electricity_readings (user_id, date, kwh_value)"
            " values (%s, '2024-04-01', -1)",
            (user,),
        )
    house.database.rows(CUT_BACK)
    assert house.rows() == shown
    assert differences(house.database) == []


def test_a_deleted_profile_takes_view_archive_and_marks_along(house: House) -> None:
    user, other = house.users
    house.database.rows(CUT_OVER)
    house.database.value("select ledger.prepare_cutback()")
    with house.database.connect() as owner:
        owner.execute("delete from public.user_profiles where id = %s", (user,))
    assert house.database.rows(
        "select distinct user_id from public.electricity_readings"
        " union all select distinct user_id from ledger.electricity_readings_archive"
        " union all select user_id from ledger.cutback_marks"
    ) == [(other,), (other,), (other,)]


# Writers at the same time


@pytest.mark.parametrize("cut_over", [False, True], ids=["table", "view"])
def test_two_writers_of_one_row_lose_nothing(house: House, cut_over: bool) -> None:
    """The second waits, and changes only its own column of what the first one left."""
    user, id_ = house.users[0], named(house.users[0], "first")
    if cut_over:
        house.database.rows(CUT_OVER)
    with house.database.connect() as first, ThreadPoolExecutor(1) as pool:
        with signed_in(first, user):
            _set(first, "notes", "first", id_)
            second = pool.submit(_set_as, house.database, user, "kwh_value", 77, id_)
            wait_until(lambda: house.database.waits("update public.electricity_readings"))
        first.commit()
        assert second.result(timeout=60) == 1
    assert house.database.rows(
        "select notes, kwh_value from public.electricity_readings where id = %s", (id_,)
    ) == [("first", 77)]


def test_an_update_of_a_row_that_goes_meanwhile_finds_nothing(house: House) -> None:
    user, id_ = house.users[0], named(house.users[0], "first")
    house.database.rows(CUT_OVER)
    with house.database.connect() as first, ThreadPoolExecutor(1) as pool:
        with signed_in(first, user):
            first.execute("delete from public.electricity_readings where id = %s", (id_,))
            second = pool.submit(_set_as, house.database, user, "kwh_value", 77, id_)
            wait_until(lambda: house.database.waits("update public.electricity_readings"))
        first.commit()
        assert second.result(timeout=60) == 0
    assert house.database.rows(
        "select from public.electricity_readings where id = %s", (id_,)
    ) == []  # fmt: skip


@pytest.mark.parametrize("back", [False, True], ids=["cutover", "cutback"])
def test_who_writes_while_it_switches_is_waited_for_and_who_comes_waits(
    house: House, back: bool
) -> None:
    """The writer's open transaction ends first; the one behind the switch meets its successor."""
    user = house.users[0]
    if back:
        house.database.rows(CUT_OVER)
    with house.database.connect() as first, ThreadPoolExecutor(2) as pool:
        with signed_in(first, user):
            _set(first, "notes", "before", named(user, "first"))
            switch = pool.submit(house.database.value, CUT_BACK if back else CUT_OVER)
            wait_until(
                lambda: house.database.waits("select ledger.cut_" + ("back" if back else "over"))
            )
            behind = pool.submit(
                _set_as, house.database, user, "notes", "behind", named(user, "topup")
            )
            wait_until(lambda: house.database.waits("update public.electricity_readings"))
        first.commit()
        assert switch.result(timeout=60)
        assert behind.result(timeout=60) == 1
    assert house.database.value("select ledger.is_cut_over()") is not back
    assert house.database.rows(
        "select notes from public.electricity_readings where id = any (%s) order by notes",
        ([named(user, "first"), named(user, "topup")],),
    ) == [("before",), ("behind",)]
    assert differences(house.database) == []


def _set(connection: Connection, column: str, value: object, id_: UUID) -> int:
    statement = sql.SQL("update public.electricity_readings set {} = %s where id = %s")
    return connection.execute(statement.format(sql.Identifier(column)), (value, id_)).rowcount


def _set_as(database: Database, user: UUID, column: str, value: object, id_: UUID) -> int:
    with database.as_user(user) as request:
        return _set(request, column, value, id_)
