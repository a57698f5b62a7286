"""Three apps of one account, each with its own record of what the server confirmed.

An old one reads and writes electricity_readings (supabase-js), one writes each fact twice (the
Python client), a new one knows token_events alone (supabase-js).
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from postgrest.exceptions import APIError

from supabase import Client
from tests.support.js_client import JsClient

TABLE, VIEW, EVENTS = "electricity_readings", "electricity_readings_v", "token_events"
# What an upsert may meet until PostgREST has read the schema again: docs/clients.md.
AGAIN = {"42P10", "23505"}
# What the readings of a profile may meet that are asked for in the very moment of the switch.
CAUGHT = {"XX000", "42P13", "42883"}


@dataclass
class Log:
    """What one client knows.

    Attributes:
        rows: confirmed readings by id: the fields that it wrote.
        gone: ids that it deleted or voided, confirmed.
        failures: whatever was refused.
        retries: upserts and embeds that a switch told to come again.
        steps: how many rounds it has done.
    """

    rows: dict[str, dict[str, object]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    steps: int = 0

    def remove(self, id_: str) -> None:
        self.rows.pop(id_, None)
        self.gone.add(id_)


class App(ABC):
    """A client that works round by round."""

    def __init__(self, user: UUID) -> None:
        self.user = str(user)
        self.log = Log()
        self._numbers = itertools.count(1)

    @abstractmethod
    def step(self) -> None:
        """One round: some writes, each read back."""

    def _reading(self, day: str, base: float) -> dict[str, object]:
        """A new reading of a kind of its own: no other app states the same fact."""
        kwh = base + next(self._numbers) / 100
        return {"id": str(uuid4()), "user_id": self.user, "date": day, "kwh_value": round(kwh, 2)}

    def expect(self, holds: bool, what: str, seen: object) -> None:
        if not holds:
            self.log.failures.append(f"{type(self).__name__}: {what}: {seen}")


class OldApp(App):
    """Reads and writes electricity_readings, as it has always done."""

    def __init__(self, user: UUID, client: JsClient) -> None:
        super().__init__(user)
        self._client = client

    def step(self) -> None:
        row = self._insert()
        self._read_back(row)
        self._update(row)
        self._insert_unless_there()
        self._page()
        self._embed(row)
        if self.log.steps % 3 == 2:
            self._delete(next(iter(self.log.rows)))
        self.log.steps += 1

    def _insert(self) -> str:
        row = self._reading("2024-05-01", 1000) | {"notes": "old"}
        told = self._call(("insert", row), ("select",), ("single",))
        self.expect(told["status"] == 201, "insert", told)
        if told["status"] == 201:
            self.log.rows[str(row["id"])] = row
            self.expect(row.items() <= told["data"].items(), "inserted", told)
        return str(row["id"])

    def _read_back(self, id_: str) -> None:
        told = self._call(("select", "*"), ("eq", "id", id_))
        self.expect(told["status"] == 200 and len(told["data"]) == 1, "read back", told)

    def _update(self, id_: str) -> None:
        change = {"notes": f"edited {self.log.steps}", "token_amount": 5, "token_cost": 7223.5}
        told = self._call(("update", change), ("eq", "id", id_), ("select",))
        done = told["status"] == 200 and len(told["data"]) == 1
        self.expect(done, "update", told)
        if done:
            self.log.rows[id_] |= change
            self.expect(self.log.rows[id_].items() <= told["data"][0].items(), "updated", told)

    def _insert_unless_there(self) -> None:
        """Twice: the second time nothing is to happen. Comes again where it is told to."""
        row = self._reading("2024-05-02", 2000) | {"notes": "unless"}
        for _ in range(2):
            told = self._call(("upsert", row, {"ignoreDuplicates": True}))
            while told["status"] != 201 and (told["error"] or {}).get("code") in AGAIN:
                self.log.retries.append(told["error"]["code"])
                told = self._call(("upsert", row, {"ignoreDuplicates": True}))
            self.expect(told["status"] == 201, "insert unless it is there", told)
            if told["status"] == 201:
                self.log.rows[str(row["id"])] = row

    def _page(self) -> None:
        told = self._call(
            ("select", "id,date,kwh_value", {"count": "exact"}),
            ("gte", "date", "2024-05-01T00:00:00.000Z"),
            ("lte", "date", "2024-05-02T00:00:00.000Z"),
            ("order", "date", {"ascending": False}),
            ("order", "id"),
            ("range", 0, 9),
        )
        self.expect(told["status"] in (200, 206), "page", told)
        self.expect(told["count"] == len(self.log.rows), f"{len(self.log.rows)} counted", told)

    def _embed(self, id_: str) -> None:
        told = self._call(("select", "id,user_profiles(id,role)"), ("eq", "id", id_))
        wanted: list[object] = [{"id": id_, "user_profiles": {"id": self.user, "role": "user"}}]
        self.expect(told["data"] == wanted, "its profile", told)
        chain: list[tuple[object, ...]] = [
            ("from", "user_profiles"),
            ("select", f"id,{TABLE}(id)"),
            ("eq", f"{TABLE}.id", id_),
        ]
        told = self._client.call(*chain)
        if (told["error"] or {}).get("code") in CAUGHT:
            self.log.retries.append(told["error"]["code"])
            told = self._client.call(*chain)
        readings = [{"id": self.user, TABLE: [{"id": id_}]}]
        self.expect(told["data"] == readings, "the profile's readings", told)

    def _delete(self, id_: str) -> None:
        told = self._call(("delete",), ("eq", "id", id_), ("select", "id"))
        self.expect(told["data"] == [{"id": id_}], "delete", told)
        if told["status"] == 200:
            self.log.remove(id_)

    def _call(self, *chain: tuple[object, ...]) -> dict[str, Any]:
        return self._client.call(("from", TABLE), *chain)


class DualApp(App):
    """Writes each fact to both tables, now one half first, now the other."""

    def __init__(self, user: UUID, client: Client) -> None:
        super().__init__(user)
        self._client = client

    def step(self) -> None:
        row = self._reading("2024-05-03", 4000) | {"notes": "dual"}
        event = {
            "user_id": self.user,
            "event_type": "METER_READING",
            "event_date": "2024-05-03T09:30:00Z",
            "kwh_amount": row["kwh_value"],
            "created_by": self.user,
        }
        halves: list[tuple[str, Mapping[str, object]]] = [(TABLE, row), (EVENTS, event)]
        if self.log.steps % 2:
            halves.reverse()
        try:
            for table, values in halves:
                self._client.table(table).insert(dict(values)).execute()
            self.log.rows[str(row["id"])] = row
        except APIError as error:
            self.expect(False, "write twice", error)
        self.log.steps += 1


class NewApp(App):
    """Records events, and voids them in two steps, now one first, now the other."""

    def __init__(self, user: UUID, client: JsClient, victims: list[str]) -> None:
        super().__init__(user)
        self._client = client
        self._victims = victims  # old readings, to be voided by and by

    def step(self) -> None:
        kept, wrong = self._record(), self._record()
        self._void(wrong)
        if self._victims:
            self._void(self._victims.pop())
        told = self._client.call(
            ("from", VIEW), ("select", "id,kwh_value"), ("in", "id", [kept, wrong])
        )
        wanted = [{"id": kept, "kwh_value": self.log.rows[kept]["kwh_value"]}]
        self.expect(told["data"] == wanted, "its own", told)
        self.log.steps += 1

    def _record(self) -> str:
        row = self._reading("2024-05-04", 7000)
        event = {
            "id": row["id"],
            "user_id": self.user,
            "event_type": "METER_READING",
            "event_date": "2024-05-04T09:30:00.000Z",
            "kwh_amount": row["kwh_value"],
            "created_by": self.user,
        }
        told = self._client.call(("from", EVENTS), ("insert", event), ("select",), ("single",))
        self.expect(told["status"] == 201, "record", told)
        self.log.rows[str(row["id"])] = row
        return str(row["id"])

    def _void(self, id_: str) -> None:
        halves = [self._mark, self._tell]
        if self.log.steps % 2:
            halves.reverse()
        for half in halves:
            half(id_)
        self.log.remove(id_)

    def _mark(self, id_: str) -> None:
        now = datetime.now(UTC).isoformat()
        mark = {"is_voided": True, "voided_at": now, "voided_by": self.user, "voided_reason": "x"}
        told = self._client.call(
            ("from", EVENTS), ("update", mark), ("eq", "id", id_), ("select", "id")
        )
        self.expect(told["data"] == [{"id": id_}], "mark", told)

    def _tell(self, id_: str) -> None:
        void = {
            "user_id": self.user,
            "event_type": "VOID",
            "event_date": datetime.now(UTC).isoformat(),
            "kwh_amount": 0,
            "void_of_event": id_,
            "created_by": self.user,
            "metadata": {"reason": "typo"},
        }
        told = self._client.call(("from", EVENTS), ("insert", void))
        self.expect(told["status"] == 201, "tell", told)
