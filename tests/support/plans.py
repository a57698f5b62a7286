"""What statements cost in plans, rows and blocks: the server counts them, and no clock does.

Two ways to look. `explained` gives a statement's plan, `nested_plans` also those of the statements
inside its functions and triggers (auto_explain). `work_of` gives what a whole transaction read and
wrote of each table, whatever ran in it: the server's own counters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from typing import Any, Final

from psycopg import errors, sql
from psycopg.rows import TupleRow

from tests.support.database import Connection, Parameters

Plan = dict[str, Any]

_EXPLAIN: Final = "explain (analyze, buffers, timing off, summary off, format json) "

# Of a scan of the table the rows, of an index the entries, of both the blocks. What was counted
# before and is not reported yet is in these numbers too, so they are good for differences only.
_COUNTERS = b"""
select
  n.nspname || '.' || t.relname,
  sum(pg_stat_get_xact_numscans(p.oid)) filter (where p.oid = t.oid),
  sum(pg_stat_get_xact_tuples_returned(p.oid)),
  sum(
    pg_stat_get_xact_tuples_inserted(p.oid) + pg_stat_get_xact_tuples_updated(p.oid)
    + pg_stat_get_xact_tuples_deleted(p.oid)
  ) filter (where p.oid = t.oid),
  sum(pg_stat_get_xact_blocks_fetched(p.oid))
from pg_class as t
inner join pg_namespace as n on n.oid = t.relnamespace and n.nspname in ('public', 'ledger')
cross join lateral (
  select t.oid
  union all
  select i.indexrelid from pg_index as i where i.indrelid = t.oid
) as p
where t.relkind in ('r', 'm')
group by 1
"""


@dataclass(frozen=True)
class Cost:
    """What was done to one table and its indexes.

    Attributes:
        whole_scans: of the table from its first row to its last.
        read: rows of such scans, and entries of indexes.
        written: rows that were inserted, updated or deleted.
        blocks: blocks of the table and its indexes that were looked at.
    """

    whole_scans: int = 0
    read: int = 0
    written: int = 0
    blocks: int = 0

    def minus(self, other: Cost) -> Cost:
        return Cost(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass
class Work:
    """What a stretch of a transaction did to each table of public and ledger; known at its end."""

    costs: dict[str, Cost]

    def of(self, table: str) -> Cost:
        return self.costs.get(table, Cost())

    @property
    def total(self) -> Cost:
        return Cost(*(sum(getattr(c, f.name) for c in self.costs.values()) for f in fields(Cost)))


@contextmanager
def work_of(connection: Connection) -> Iterator[Work]:
    """Count what the block does, on a connection that is inside a transaction and stays there."""
    before = _counters(connection)
    work = Work({})
    yield work
    after = _counters(connection)
    work.costs = {
        table: cost
        for table, cost in ((t, c.minus(before.get(t, Cost()))) for t, c in after.items())
        if cost != Cost()
    }


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """A transaction that leaves nothing behind."""
    with connection.transaction(force_rollback=True):
        yield


def _counters(connection: Connection) -> dict[str, Cost]:
    rows = connection.execute(_COUNTERS).fetchall()
    return {name: Cost(*(int(number or 0) for number in numbers)) for name, *numbers in rows}


def explained(connection: Connection, query: str, parameters: Parameters = None) -> Plan:
    """Run a statement; its plan with the rows and blocks of each step, and no times."""
    row = connection.execute(_EXPLAIN.encode() + query.encode(), parameters).fetchone()
    assert row is not None
    plan: Plan = row[0][0]["Plan"]
    return plan


@dataclass(frozen=True)
class Prepared:
    """A prepared statement, as a REST server keeps one for each shape of request."""

    connection: Connection

    def run(self, *values: object) -> list[TupleRow]:
        """Its rows with these values."""
        return self.connection.execute(self._execute(values)).fetchall()

    def explained(self, *values: object) -> Plan:
        """The plan that it runs by with these values."""
        row = self.connection.execute(sql.SQL(_EXPLAIN) + self._execute(values)).fetchone()
        assert row is not None
        plan: Plan = row[0][0]["Plan"]
        return plan

    @staticmethod
    def _execute(values: tuple[object, ...]) -> sql.Composed:
        return sql.SQL("execute hot({})").format(sql.SQL(", ").join(map(sql.Literal, values)))


@contextmanager
def prepared(connection: Connection, statement: sql.Composed) -> Iterator[Prepared]:
    """Prepare a statement for a block; the setting plan_cache_mode says how it is planned."""
    connection.execute(sql.SQL("prepare hot as ") + statement)
    yield Prepared(connection)
    connection.execute("deallocate hot")


def steps(plan: Plan) -> list[Plan]:
    """A plan's nodes, the upper ones first."""
    return [plan, *(node for child in plan.get("Plans", []) for node in steps(child))]


def blocks(plan: Plan) -> int:
    """Blocks that a plan looked at, its children's with it."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def asked_row_by_row(plan: Plan) -> list[str]:
    """Conditions of a plan that ask with each row who is signed in, instead of once before all."""
    return [
        str(value)
        for step in steps(plan)
        for name, value in step.items()
        if name.endswith(("Cond", "Filter")) and re.search(r"uid\(\)|current_setting", str(value))
    ]


def rows_handled(plans: list[Plan]) -> int:
    """Rows that all steps of some plans made, and those that they looked at and left out.

    Where two sets are joined pair by pair, this grows with the square of their size.
    """
    return sum(
        (node["Actual Rows"] + sum(v for k, v in node.items() if k.startswith("Rows Removed")))
        * node["Actual Loops"]
        for plan in plans
        for node in steps(plan)
    )


@contextmanager
def nested_plans(connection: Connection) -> Iterator[list[tuple[str, Plan]]]:
    """The statements that run in the block, those inside functions too, each with its plan.

    Args:
        connection: of the superuser, inside a transaction; it may change its role in the block.
    """
    heard: list[str] = []
    plans: list[tuple[str, Plan]] = []

    def hear(notice: errors.Diagnostic) -> None:
        heard.append(notice.message_primary or "")

    connection.execute("load 'auto_explain'")
    for setting, value in _AUTO_EXPLAIN.items():
        connection.execute("select set_config(%s, %s, true)", (setting, value))
    connection.add_notice_handler(hear)
    yield plans
    connection.remove_notice_handler(hear)
    connection.execute("reset role")
    connection.execute("set local auto_explain.log_min_duration = -1")
    for text in heard:
        _, found, answer = text.partition("plan:\n")
        if found:
            told = json.loads(answer)
            plans.append((told["Query Text"], told["Plan"]))


_AUTO_EXPLAIN = {
    "client_min_messages": "log",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_min_duration": "0",
}
