"""A ledger that has grown: users of some months and one of many years, to count costs in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.support.database import Connection, Database
from tests.support.servers import Databases, Template

END = datetime(2025, 1, 1, tzinfo=UTC)  # when the last reading was taken
SMALL_ROWS, LARGE_ROWS = 200, 20_000  # readings; a tenth as many top-ups of new clients beside them
CROWD = 100  # users of SMALL_ROWS readings each
BARE = 2_000  # users who have recorded nothing yet
CUT_OVER = "select ledger.cut_over('{upserts}')"


def user(number: int) -> UUID:
    """The users of a grown ledger, from 1 on, in the order of their ids."""
    return UUID(f"00000000-0000-4000-8000-{number:012}")


SMALL, LARGE = user(CROWD), user(9_999)
SPARE = user(CROWD // 2)  # of the small ones, for what leaves much behind in the indexes


def counted(owner: UUID) -> int:
    """How many counted events a user has, and so how many readings."""
    return (LARGE_ROWS if owner == LARGE else SMALL_ROWS) * 11 // 10


@dataclass(frozen=True)
class Grown:
    """The ledger before and after the cutover; tests leave both as they found them."""

    before: Database
    after: Database


def grown_ledger(databases: Databases) -> Iterator[Grown]:
    """Make both, and drop them at the end."""
    before = databases.make(Template(migrated=True))
    with before.connect() as connection:
        grow(connection)
    with databases.copy(before) as after:
        after.rows(CUT_OVER)
        settle(before)
        settle(after)
        yield Grown(before, after)
    databases.drop(before)


def reading(owner: UUID, number: int) -> UUID:
    """The id of a user's reading; 0 is the newest one."""
    return UUID(f"{number + 1:08x}-0000-4000-9000-{owner.hex[-12:]}")


def hours(number: float) -> datetime:
    """So many hours after the last reading; before it, where the number is negative."""
    return END + timedelta(hours=number)


def grow(connection: Connection, crowd: int = CROWD) -> None:
    """Fill a migrated database by way of its triggers: readings each three hours, top-ups between.

    Every tenth reading is a legacy top-up, which is an anchor too; the new clients' top-ups are
    none.
    """
    connection.execute("update ledger.settings set time_zone = 'UTC'")
    users = [*map(user, range(1, crowd + 1)), LARGE]
    bare = map(user, range(10_001, 10_001 + BARE))
    connection.execute("insert into auth.users (id) select unnest(%s::uuid[])", ([*users, *bare],))
    sizes = {"users": users, "large": LARGE, "many": LARGE_ROWS, "few": SMALL_ROWS, "end": END}
    connection.execute(
        "insert into public.electricity_readings"
        " (id, user_id, date, kwh_value, token_amount, created_at)"
        " select (lpad(to_hex(n), 8, '0') || '-0000-4000-9000-' || right(p.id::text, 12))::uuid,"
        " p.id, d.at at time zone 'UTC', 500 - n %% 500, case n %% 10 when 0 then 50 end, d.at"
        " from unnest(%(users)s::uuid[]) as p (id),"
        " generate_series(1, case p.id when %(large)s then %(many)s else %(few)s end) as n,"
        " lateral (select %(end)s - (n - 1) * interval '3 hours' as at) as d"
        " order by p.id, d.at",
        sizes,
    )
    connection.execute(
        "insert into public.token_events (user_id, event_type, event_date, kwh_amount, created_at)"
        " select p.id, 'TOPUP', d.at, 20, d.at"
        " from unnest(%(users)s::uuid[]) as p (id),"
        " generate_series(1, case p.id when %(large)s then %(many)s else %(few)s end / 10) as n,"
        " lateral (select %(end)s - n * interval '30 hours' + interval '1 hour' as at) as d",
        sizes,
    )


def settle(database: Database) -> None:
    """Give the planner its statistics and the visibility map, as a server's autovacuum does."""
    with database.connect(autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
