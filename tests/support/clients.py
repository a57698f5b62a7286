"""What legacy and dual-write clients do, drawn by Hypothesis, statement by statement."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from hypothesis import strategies as st
from psycopg import sql

from tests.support.database import Connection
from tests.support.household import Row, put_readings

_days = st.sampled_from(["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"])
_kwh = st.sampled_from(["0", "5", "5.00", "17.25", "20", "99999999.99"])
_amounts = st.sampled_from([None, "20", "5", "0", "-2.5"])
_costs = st.sampled_from([None, "0", "28894.00", "NaN", "1e12"])  # the last two are rejects
_notes = st.sampled_from([None, "", "a", "b"])
_written = st.sampled_from(["2024-03-05 00:00+00", "2024-03-05 00:00:01+00", "infinity"])


@dataclass
class Clients:
    """The users of one scratch database, and what is known of their rows.

    Attributes:
        untouched: legacy rows that no live write has touched; only these may be pending.
        own_events: token_events that clients wrote, as text, as they wrote them.
    """

    data: st.DataObject
    connection: Connection
    users: tuple[UUID, ...]
    untouched: set[UUID]
    own_events: dict[UUID, str] = field(default_factory=dict)

    def anything(self) -> str:
        """One statement or two of any kind; its name."""
        kinds: list[Callable[[], None]] = [
            self.add, self.add_many, self.upsert, self.change, self.edit_notes, self.remove,
            self.rename, self.write_twice, self.write_twice, self.move, self.touch, self.record,
        ]  # fmt: skip
        kind = self.data.draw(st.sampled_from(kinds))
        kind()
        return kind.__name__

    def add(self) -> None:
        user = self._user()
        with self._signed_in(user):
            put_readings(self.connection, [self._row(user)])

    def add_many(self) -> None:
        """One statement over several users, as an import does it."""
        count = self.data.draw(st.integers(0, 4))
        put_readings(self.connection, [self._row(self._user()) for _ in range(count)])

    def upsert(self) -> None:
        user = self._user()
        rows = [self._row(user, id_) for id_ in self._some(user)] + [self._row(user)]
        with self._signed_in(user):
            self.connection.execute(
                "insert into public.electricity_readings"
                " select p.* from jsonb_array_elements(%s::jsonb) as j,"
                " jsonb_populate_record(null::public.electricity_readings, j) as p"
                " on conflict (id) do update set date = excluded.date,"
                " kwh_value = excluded.kwh_value, token_amount = excluded.token_amount,"
                " token_cost = excluded.token_cost, notes = excluded.notes,"
                " created_at = excluded.created_at",
                (json.dumps(rows, default=str),),
            )

    def change(self) -> None:
        user = self._user()
        ids, row = self._some(user), self._row(user)
        with self._signed_in(user):
            self.connection.execute(
                "update public.electricity_readings set date = %s::text::timestamptz at time zone"
                " 'UTC', kwh_value = %s, token_amount = %s, token_cost = %s where id = any (%s)",
                (row["date"], row["kwh_value"], row["token_amount"], row["token_cost"], ids),
            )

    def edit_notes(self) -> None:
        user = self._user()
        ids, text = self._some(user), self.data.draw(_notes)
        with self._signed_in(user):
            self.connection.execute(
                "update public.electricity_readings set notes = concat(%s::text, id)"
                " where id = any (%s)",
                (text, ids),
            )

    def remove(self) -> None:
        user = self._user()
        ids = self._some(user)
        with self._signed_in(user):
            self.connection.execute(
                "delete from public.electricity_readings where id = any (%s)", (ids,)
            )

    def rename(self) -> None:
        """A row gets another id."""
        user = self._user()
        ids = self._some(user, at_most=1)
        with self._signed_in(user):
            self.connection.execute(
                "update public.electricity_readings set id = gen_random_uuid() where id = any (%s)",
                (ids,),
            )

    def move(self) -> None:
        """Rows of everybody change hands, in one statement of the service."""
        first, second = self.users
        ids = [*self._some(first), *self._some(second)]
        self.connection.execute(
            "update public.electricity_readings"
            " set user_id = case user_id when %s then %s else %s end where id = any (%s)",
            (first, second, first, ids),
        )

    def touch(self) -> None:
        """An update that changes nothing."""
        user = self._user()
        with self._signed_in(user):
            self.connection.execute("update public.electricity_readings set notes = notes")

    def record(self) -> None:
        """An event of a new client, without a legacy row."""
        user = self._user()
        self._put_event(
            user,
            {"event_type": "ADJUSTMENT", "event_date": "2024-03-01 03:00+00", "kwh_amount": -1},
        )

    def write_twice(self) -> None:
        """Dual-write: the event, then the legacy row that states the same fact, or nearly."""
        user, beside = self._user(), self._beside()
        row = self._row(user)
        topup = row["token_amount"] is not None and Decimal(str(row["token_amount"])) > 0
        near = self.data.draw(st.integers(0, 4)) == 0
        kwh = Decimal(str(row["token_amount"] if topup else row["kwh_value"])) + near
        event = {
            "event_type": "TOPUP" if topup else "METER_READING",
            "event_date": f"{row['date']} 12:00+00",
            "kwh_amount": kwh,
        }
        self._put_event(user, event | ({"id": row["id"]} if self.data.draw(st.booleans()) else {}))
        with self._signed_in(user):
            put_readings(self.connection, [row])
        rejected = row["token_cost"] in ("NaN", "1e12") or row["created_at"] == "infinity"
        # Not counted twice; where only the near event is new, an older one may have been absorbed.
        assert self._beside() - beside in ({0, 1} if near or rejected else {0})

    def _beside(self) -> int:
        """How many counted events no reading has absorbed."""
        row = self.connection.execute(
            "select count(*) from public.token_events as e"
            " where not e.is_voided and not exists (select from ledger.migrated_readings as l"
            " where l.user_id = e.user_id and l.event_id = e.id)"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _put_event(self, user: UUID, event: Row) -> None:
        id_ = event.get("id", self.data.draw(st.uuids()))
        row = {**event, "id": id_, "user_id": user, "created_by": user}
        with self._signed_in(user):
            self.connection.execute(
                "insert into public.token_events (id, user_id, event_type, event_date,"
                " kwh_amount, created_by) values (%(id)s, %(user_id)s, %(event_type)s,"
                " %(event_date)s, %(kwh_amount)s, %(created_by)s)",
                row,
            )
        text = self.connection.execute(
            "select e::text from public.token_events as e where e.user_id = %s and e.id = %s",
            (user, id_),
        ).fetchone()
        assert text is not None
        self.own_events[UUID(str(id_))] = str(text[0])

    def _row(self, user: UUID, id_: UUID | None = None) -> dict[str, object]:
        draw = self.data.draw
        odd = draw(st.integers(0, 5)) == 0
        return {
            "id": id_ or draw(st.uuids()),
            "user_id": user,
            "date": draw(_days),
            "kwh_value": draw(_kwh),
            "token_amount": draw(_amounts),
            "token_cost": draw(_costs) if odd else None,
            "notes": draw(_notes),
            "created_at": draw(_written) if odd else "2024-03-05 00:00+00",
        }

    def _user(self) -> UUID:
        return self.data.draw(st.sampled_from(self.users))

    def _some(self, user: UUID, at_most: int = 99) -> list[UUID]:
        """Some of a user's legacy rows; they are touched by what comes."""
        rows = self.connection.execute(
            "select r.id from public.electricity_readings as r where r.user_id = %s order by r.id",
            (user,),
        ).fetchall()
        picked = [row[0] for row in rows if self.data.draw(st.booleans())][:at_most]
        self.untouched -= set(picked)
        return picked

    @contextmanager
    def _signed_in(self, user: UUID) -> Iterator[None]:
        """As the user, through row level security; now and then as the service."""
        claims = json.dumps({"sub": str(user), "role": "authenticated"})
        self.connection.execute(
            "select set_config('request.jwt.claims', %s, true)",
            (claims if self.data.draw(st.integers(0, 3)) else "",),
        )
        signed_in = self.connection.execute("select auth.uid() is not null").fetchone() == (True,)
        role = "authenticated" if signed_in else "service_role"
        self.connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        yield
        self.connection.execute("set local role postgres")
