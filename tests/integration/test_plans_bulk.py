"""A statement of many rows costs so much a row: no trigger joins its old and new rows pair by pair.

See docs/decisions/0005: with a plan that PL/pgSQL had made for one row, a hundred thousand took ten
minutes. The rows of a transition table are in no counter of the server, but in the plans.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.database import Connection
from tests.support.grown import SPARE, Grown, reading, user
from tests.support.plans import nested_plans, rows_handled, steps, undone

Act = Callable[[Connection, int], object]
FEW, MANY = 100, 800


def void(connection: Connection, count: int) -> None:
    """Void one event after another for a while, so that plans are kept, and then many at once."""
    for number in range(100, 106):
        connection.execute(
            "update public.token_events set is_voided = true where user_id = %s and id = %s",
            (SPARE, reading(SPARE, number)),
        )
    connection.execute(
        "update public.token_events as e set is_voided = true, voided_reason = 'wrong'"
        " from (select user_id, id from public.token_events where not is_voided"
        " and user_id <> %s order by user_id, id limit %s) as v"
        " where e.user_id = v.user_id and e.id = v.id",
        (SPARE, count),
    )


def void_again(connection: Connection, count: int) -> None:
    """A client's words on events that are void: they may have been merged."""
    void(connection, count)
    connection.execute("update public.token_events set voided_reason = 'mine' where is_voided")


def delete(connection: Connection, count: int) -> None:
    """As the undoing of the migration does it."""
    connection.execute("insert into ledger.maintenance (purpose) values ('a test')")
    connection.execute(
        "delete from public.token_events as e"
        " using (select user_id, id from public.token_events order by user_id, id limit %s) as v"
        " where e.user_id = v.user_id and e.id = v.id",
        (count,),
    )


def insert(connection: Connection, count: int) -> None:
    """Ten events each of many users."""
    connection.execute(
        "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
        " select u, 'METER_READING', '2025-01-02'::timestamptz + n * interval '5 hours', n"
        " from unnest(%s::uuid[]) as u, generate_series(1, 10) as n",
        ([user(number) for number in range(1, 1 + count // 10)],),
    )


def trigger_rows(grown: Grown, act: Act, count: int) -> float:
    """Rows that the triggers handle when a statement changes so many, as the plans count them."""
    with (
        grown.after.admin() as connection,
        undone(connection),
        nested_plans(connection) as heard,
    ):
        connection.execute("set local role postgres")
        act(connection, count)
    inner = [plan for query, plan in heard if re.search(r"\b(old|new)_rows\b|p_spans", query)]
    assert inner
    return rows_handled(inner)


@pytest.mark.parametrize("act", [void, void_again, delete, insert])
def test_the_rows_of_a_statement_cost_the_same_each(grown: Grown, act: Act) -> None:
    few, many = (trigger_rows(grown, act, count) for count in (FEW, MANY))
    assert many <= 1.3 * few * MANY / FEW
    assert many <= 60 * MANY


def test_a_join_pair_by_pair_is_noticed(grown: Grown) -> None:
    """What a plan for one row does with many: each of the old ones meets each of the new ones."""
    body = """
        create or replace function ledger.project_updates() returns trigger
        language plpgsql security definer set search_path = ''
        set enable_hashjoin = off set enable_mergejoin = off as $$
        declare
          v_changed bigint;
        begin
          select count(*) into v_changed
          from new_rows as n
          inner join old_rows as o on o.user_id = n.user_id and o.id = n.id
          where n.is_voided is distinct from o.is_voided;
          return null;
        end;
        $$
    """

    def spoilt(connection: Connection, count: int) -> None:
        connection.execute(body)
        void(connection, count)

    assert trigger_rows(grown, spoilt, MANY) > 1.3 * trigger_rows(grown, spoilt, FEW) * MANY / FEW


def test_statements_inside_functions_are_heard(grown: Grown) -> None:
    with grown.after.admin() as connection, undone(connection):
        with nested_plans(connection) as heard:
            connection.execute("select count(*) from ledger.users_after(null, 3)")
        assert len(heard) > 3
        assert any("recursive hop" in query for query, _ in heard)
        kinds = {step["Node Type"] for _, plan in heard for step in steps(plan)}
        assert "Recursive Union" in kinds
