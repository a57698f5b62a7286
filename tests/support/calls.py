"""The calls of the service layer as a client makes them, and what they did to the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.support.database import Connection
from tests.support.events import READING, TOPUP, day, signed_in

Result = dict[str, Any]


def call(connection: Connection, name: str, **arguments: object) -> Result:
    """A call by the names of its arguments, as the REST server makes it; p_ is left out here."""
    named = [
        sql.SQL("{} => {}").format(sql.Identifier(f"p_{key}"), sql.Placeholder(key))
        for key in arguments
    ]
    statement = sql.SQL("select public.{}({})").format(
        sql.Identifier(name), sql.SQL(", ").join(named)
    )
    row = connection.execute(
        statement, {k: Jsonb(v) if isinstance(v, dict | list) else v for k, v in arguments.items()}
    ).fetchone()
    assert row is not None
    result: Result = row[0]
    return result


def refused(sqlstate: str, words: str) -> pytest.RaisesExc[psycopg.Error]:
    """A block that must be refused, with this SQLSTATE and in these words (a pattern)."""
    return pytest.RaisesExc(
        psycopg.Error, match=words, check=lambda error: error.sqlstate == sqlstate
    )


class Client:
    """A user who calls, each time in a request of its own."""

    def __init__(self, connection: Connection, user: UUID) -> None:
        """The connection is of postgres, in autocommit or a transaction that goes on."""
        self.connection, self.user = connection, user

    def call(self, name: str, **arguments: object) -> Result:
        """One call."""
        with signed_in(self.connection, self.user):
            return call(self.connection, name, **arguments)

    def topup(self, kwh: object, at: int, **arguments: object) -> Result:
        """A top-up on a day."""
        return self.record(TOPUP, kwh, day(at), **arguments)

    def reading(self, kwh: object, at: int, **arguments: object) -> Result:
        """What the meter showed on a day."""
        return self.record(READING, kwh, day(at), **arguments)

    def record(self, kind: str, kwh: object, at: datetime, **arguments: object) -> Result:
        """Any event."""
        return self.call(
            "record_event", event_type=kind, kwh_amount=kwh, event_date=at, **arguments
        )

    def positions(self) -> list[tuple[str, Any, Any]]:
        """(event id, kWh left, kWh used) as the function of the contract computes them."""
        with signed_in(self.connection, self.user):
            return [
                (str(id_), position, consumption)
                for id_, position, consumption in self.connection.execute(
                    "select event_id, calculated_position, daily_consumption"
                    " from public.calculate_user_positions(%s)",
                    (self.user,),
                )
            ]

    def kwh(self) -> list[Any]:
        """The positions alone."""
        return [position for _, position, _ in self.positions()]

    def written(self) -> tuple[int, ...]:
        """How many rows the user has: events, voided ones, recalculations."""
        row = self.connection.execute(
            "select (select count(*) from public.token_events where user_id = %(user)s),"
            " (select count(*) from public.token_events where user_id = %(user)s and is_voided),"
            " (select count(*) from public.recalculation_batches where user_id = %(user)s)",
            {"user": self.user},
        ).fetchone()
        assert row is not None
        return tuple(row)

    def linked(self, batch: Result) -> set[str]:
        """The events that name a recalculation."""
        return {
            str(id_)
            for (id_,) in self.connection.execute(
                "select id from public.token_events where user_id = %s and recalc_batch_id = %s",
                (self.user, batch["id"]),
            )
        }


def moves(result: Result) -> list[tuple[str, Any, Any]]:
    """(event id, old kWh, new kWh) of a recalculation, or of its undoing."""
    found = result["affected_events"]
    return [(event["event_id"], event["old_kwh"], event["new_kwh"]) for event in found]
