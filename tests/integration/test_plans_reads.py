"""What clients ask is answered off an index, for a user of years as for one of months."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

import pytest
from psycopg import sql

from tests.support.database import Connection
from tests.support.events import signed_in
from tests.support.grown import LARGE, SMALL, Grown, counted, reading
from tests.support.plans import (
    Plan,
    asked_row_by_row,
    blocks,
    explained,
    prepared,
    steps,
    undone,
    work_of,
)

VIEWS = ("electricity_readings_v", "electricity_readings")
NEWEST: Final = "order by {0}.date desc, {0}.created_at desc"
DECEMBER: Final = "where {0}.date >= '2024-12-10' and {0}.date < '2025-01-10'"
# As PostgREST 12 sends it: this is what really runs.
PAGE: Final = """
with pgrst_source as (select {0}.* from {0} {where} {order} limit $1 offset $2){counted}
select {total} as total_result_set, pg_catalog.count(_postgrest_t) as page_total,
  coalesce(json_agg(_postgrest_t), '[]') as body,
  nullif(current_setting('response.headers', true), '') as response_headers,
  nullif(current_setting('response.status', true), '') as response_status, '' as response_inserted
from (select * from pgrst_source) _postgrest_t
"""
COUNTED: Final = ", pgrst_source_count as (select 1 from {0} {where})"
TOTAL: Final = "(select pg_catalog.count(*) from pgrst_source_count)"


@dataclass(frozen=True)
class Asked:
    """What a client asks of the readings; {0} is what it asks."""

    order: LiteralString
    limit: int
    offset: int = 0
    where: LiteralString = ""
    counting: bool = False

    def statement(self, view: str) -> sql.Composed:
        """The statement of this request, to be prepared."""
        relation = sql.Identifier("public", view)
        where = sql.SQL(self.where).format(relation)
        return sql.SQL(PAGE).format(
            relation,
            where=where,
            order=sql.SQL(self.order).format(relation),
            counted=sql.SQL(COUNTED if self.counting else "").format(relation, where=where),
            total=sql.SQL(TOTAL if self.counting else "null::bigint"),
        )


PAGES = {
    "the newest reading": Asked(NEWEST, 1),
    "the newest 100": Asked(NEWEST, 100),
    "the newest 1,000": Asked(NEWEST, 1000),
    "a month": Asked(NEWEST, 1000, where=DECEMBER),
    "a page, and how many there are": Asked(NEWEST, 20, 40, counting=True),
    "a page of a month, and how many there are": Asked(NEWEST, 20, 40, DECEMBER, counting=True),
}


@pytest.fixture(params=VIEWS)
def view(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connection(grown: Grown, view: str) -> Iterator[Connection]:
    database = grown.before if view == VIEWS[0] else grown.after
    with database.connect() as connection, undone(connection):
        yield connection


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
def prepare(request: pytest.FixtureRequest, connection: Connection) -> str:
    """Each is planned for its values, and once for whatever values may come."""
    connection.execute("select set_config('plan_cache_mode', %s, true)", (request.param,))
    return str(request.param)


def scans(plan: Plan) -> list[Plan]:
    return [step for step in steps(plan) if "Relation Name" in step]


@pytest.mark.parametrize("asked", PAGES.values(), ids=PAGES)
def test_a_page_costs_what_it_shows_whoever_asks(
    connection: Connection, view: str, prepare: str, asked: Asked
) -> None:
    # Whoever asks for more rows than most users have may get all own rows, sorted: the planner does
    # not know who asks.
    some = asked.limit <= counted(SMALL) or prepare == "force_generic_plan"
    cost: dict[UUID, float] = {}
    for user in (SMALL, LARGE):
        with signed_in(connection, user), prepared(connection, asked.statement(view)) as page:
            [(total, shown, body, *_)] = page.run(asked.limit, asked.offset)
            plan = page.explained(asked.limit, asked.offset)
        assert 0 < len(body) == shown <= asked.limit
        assert {row["user_id"] for row in body} == {str(user)}

        kinds = {step["Node Type"] for step in steps(plan)}
        assert "Seq Scan" not in kinds
        assert not (some and user == LARGE and kinds & {"Sort", "Incremental Sort"})
        # What the index gives is what is shown or counted: nothing is read to be thrown away.
        reads = scans(plan)
        due = shown + asked.offset + (total or 0) if some else counted(user)
        assert sum(step["Actual Rows"] for step in reads) <= due
        assert not [step for step in reads if step.get("Rows Removed by Filter")]
        assert asked_row_by_row(plan) == []
        cost[user] = blocks(plan) / due
    assert cost[LARGE] <= 1.5 * cost[SMALL]


@pytest.mark.usefixtures("prepare")
def test_a_reading_is_found_by_its_id(connection: Connection, view: str) -> None:
    asked = Asked("", 1, where="where {0}.id = $3")
    for user in (SMALL, LARGE):
        with signed_in(connection, user), prepared(connection, asked.statement(view)) as page:
            plan = page.explained(1, 0, str(reading(user, 100)))
        [scan] = scans(plan)
        assert (scan["Index Name"], scan["Actual Rows"]) == ("readings_pkey", 1)
        assert re.search(r"\bid = ", scan["Index Cond"])
        assert blocks(plan) <= 8


@pytest.mark.parametrize(
    "asked",
    [
        "select * from {0} order by date desc, created_at desc, id desc limit 100",
        "select * from {0} order by date desc limit 100",
        "select * from {0} where user_id = '{1}' order by date desc limit 100",
        "select * from {0} where date >= '2020-01-03T00:00:00.000Z'"
        " and date <= '2027-01-24T23:59:59Z' order by date desc limit 100 offset 100",
    ],
    ids=["in the whole order", "by date", "of a named user", "between two instants"],
)
def test_a_page_asked_in_other_words_comes_off_the_index_too(
    connection: Connection, view: str, asked: str
) -> None:
    for user in (SMALL, LARGE):
        with signed_in(connection, user):
            plan = explained(connection, asked.format(view, user))
        [scan] = scans(plan)
        assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "readings_newest")
        assert not [step for step in steps(plan) if "Sort" in step["Node Type"]]
        assert scan["Actual Rows"] <= 200
        assert not scan.get("Rows Removed by Filter")


def test_positions_read_the_users_own_events_once(connection: Connection) -> None:
    asked = "select * from public.calculate_user_positions(%s)"
    for user in (SMALL, LARGE):
        with work_of(connection) as work, signed_in(connection, user):
            assert len(connection.execute(asked.encode(), (user,)).fetchall()) == counted(user)
        assert set(work.costs) == {"public.token_events"}
        assert work.total.whole_scans == 0
        assert counted(user) <= work.total.read <= counted(user) + 100  # what other tests undid
    with work_of(connection) as work, signed_in(connection, SMALL):
        assert connection.execute(asked.encode(), (LARGE,)).fetchall() == []
    assert work.total.read == 0


def test_a_lost_index_and_a_filter_too_many_are_noticed(grown: Grown) -> None:
    """The numbers above change when the plan does."""
    statement = PAGES["the newest 100"].statement(VIEWS[0])
    with grown.before.connect() as connection, undone(connection):
        connection.execute("drop index ledger.readings_newest")
        with signed_in(connection, LARGE), prepared(connection, statement) as page:
            plan = page.explained(100, 0)
        assert [step for step in steps(plan) if "Sort" in step["Node Type"]]
        assert max(step["Actual Rows"] for step in scans(plan)) == counted(LARGE)


READABLE = (
    *("public.token_events", "public.recalculation_batches", "public.user_profiles"),
    *("public.electricity_readings", "ledger.readings", "ledger.event_calls"),
)
ASKED = (
    *(("select", table) for table in READABLE),
    *(("update", table) for table in READABLE[:4]),
    ("delete", "public.electricity_readings"),
)


@pytest.mark.parametrize(("question", "table"), ASKED)
def test_row_level_security_asks_once_who_is_signed_in(
    grown: Grown, question: str, table: str
) -> None:
    """A policy's (select auth.uid()) is computed before the first row, not with each."""
    with grown.before.connect() as connection, undone(connection), signed_in(connection, SMALL):
        plan = explain_only(connection, table, question)
    assert [step for step in steps(plan) if step.get("Parent Relationship") == "InitPlan"]
    assert asked_row_by_row(plan) == []


def explain_only(connection: Connection, table: str, question: str) -> Plan:
    name = sql.Identifier(*table.split("."))
    asked = {
        "select": sql.SQL("select * from {}").format(name),
        "update": sql.SQL("update {} set {} = null").format(name, _writable(connection, table)),
        "delete": sql.SQL("delete from {}").format(name),
    }[question]
    row = connection.execute(sql.SQL("explain (verbose, format json) ") + asked).fetchone()
    assert row is not None
    plan: Plan = row[0][0]["Plan"]
    return plan


def _writable(connection: Connection, table: str) -> sql.Identifier:
    row = connection.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
        " and has_column_privilege(attrelid, attnum, 'update') order by attnum limit 1",
        (table,),
    ).fetchone()
    return sql.Identifier(row[0] if row else "user_id")


def test_a_policy_that_asks_row_by_row_is_noticed(grown: Grown) -> None:
    with grown.before.connect() as connection, undone(connection):
        connection.execute(
            'alter policy "Users see their own readings" on ledger.readings'
            " using (user_id = auth.uid())"
        )
        with signed_in(connection, SMALL):
            plan = explain_only(connection, "ledger.readings", "select")
    assert asked_row_by_row(plan) != []
