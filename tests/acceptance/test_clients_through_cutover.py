"""Clients of three ages on one account, through sync, cutover, cutback and cutover again.

Each keeps its own record of what the server confirmed. In the end all of it is there, exactly once,
and no request failed on the way, but for the two kinds that docs/clients.md names: they were sent
again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from supabase import create_client
from tests.support.database import Database
from tests.support.events import differences, shared_database
from tests.support.field_clients import TABLE, VIEW, App, DualApp, NewApp, OldApp
from tests.support.household import put_readings
from tests.support.js_client import js_client
from tests.support.postgrest import postgrest
from tests.support.processes import wait_until
from tests.support.rollout import apply
from tests.support.servers import Databases, Template
from toolkit.bootstrap import StartingPoint
from toolkit.resources import statement

CUT_OVER = "select ledger.cut_over('{upserts,functions,policies,realtime}')"


class Household:
    """One account, its three apps, and others beside it."""

    def __init__(
        self,
        database: Database,
        user: UUID,
        apps: tuple[OldApp, DualApp, NewApp],
        found: set[str],
    ) -> None:
        self.database, self.user, self.found = database, user, found
        self.old, self.dual, self.new = apps
        self.apps: tuple[App, ...] = apps
        self.neighbours = [database.add_user() for _ in range(3)]
        self.neighbours_rows: set[UUID] = set()
        self._stop = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """All apps and the neighbours' write until the block ends; what one raises is raised."""
        with ThreadPoolExecutor() as pool:
            work: list[Future[None]] = [pool.submit(self._until_stopped, a.step) for a in self.apps]
            work.append(pool.submit(self._until_stopped, self._neighbours_write))
            try:
                yield
            finally:
                self._stop.set()
            for done in work:
                done.result(timeout=60)

    def go_on(self, rounds: int) -> None:
        """Wait until each app has done some more rounds."""
        wanted = {app: app.log.steps + rounds for app in self.apps}
        wait_until(
            lambda: self._stop.is_set() or all(a.log.steps >= n for a, n in wanted.items()),
            seconds=120,
        )

    def _until_stopped(self, step: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                step()
        finally:
            self._stop.set()  # whoever fails stops everybody

    def _neighbours_write(self) -> None:
        for user in self.neighbours:
            id_ = uuid4()
            row = {"id": id_, "user_id": user, "date": "2024-05-01", "kwh_value": 3}
            with self.database.as_user(user) as request:
                request.execute(
                    "insert into electricity_readings (id, user_id, date, kwh_value)"
                    " values (%(id)s, %(user_id)s, %(date)s, %(kwh_value)s)",
                    row,
                )
            self.neighbours_rows.add(id_)


@pytest.fixture
def house(databases: Callable[[int], Databases]) -> Iterator[Household]:
    """A rolled-out database with readings of before, served by PostgREST; everybody signed in."""
    with ExitStack() as opened:
        for database in shared_database(databases(17), Template(StartingPoint.DUAL_WRITE)):
            user, found = database.add_user(), [uuid4() for _ in range(100)]
            known = {"user_id": user, "date": "2024-04-01", "kwh_value": 9}
            with database.connect() as connection:
                put_readings(
                    connection,
                    [{"id": id_, "created_at": "2024-04-01 05:00+00", **known} for id_ in found],
                )
            apply(database, time_zone="UTC")
            rest = opened.enter_context(postgrest(database, options={"PGRST_DB_POOL": "8"}))
            old, new = (opened.enter_context(js_client(rest, user)) for _ in range(2))
            dual = create_client(rest.url, rest.keys.anon)
            dual.postgrest.auth(rest.keys.user(user))
            victims = [str(id_) for id_ in found]
            yield Household(
                database,
                user,
                (OldApp(user, old), DualApp(user, dual), NewApp(user, new, victims)),
                {str(id_) for id_ in found},
            )
            opened.close()


@pytest.mark.parametrize(
    "rounds", [2, pytest.param(25, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_no_client_notices_and_nothing_is_lost(house: Household, rounds: int) -> None:
    with house.at_work():
        house.go_on(rounds)
        told_before = set(house.new.log.gone)
        unseen = ids(house.database, statement("check_unseen_by_legacy").decode(), column=1)
        house.database.rows(CUT_OVER)
        house.go_on(rounds)
        for _ in range(3):  # with writers at work, some user is always left over
            house.database.rows("select ledger.prepare_cutback(2)")
        house.database.rows("select ledger.cut_back()")
        house.go_on(rounds)
        house.database.rows(CUT_OVER)
        house.go_on(rounds)

    assert [failure for app in house.apps for failure in app.log.failures] == []
    # What a new client voided before, old ones still see: it is listed, not hidden.
    voided_readings = told_before & house.found
    assert voided_readings
    assert voided_readings <= unseen
    everything_is_there(house)


def everything_is_there(house: Household) -> None:
    """Every write that was confirmed, once; nothing else; by every computation."""
    database, user = house.database, house.user
    wanted = {id_: row for app in house.apps for id_, row in app.log.rows.items()}
    gone = set().union(*(app.log.gone for app in house.apps))
    for relation in (TABLE, VIEW):
        with database.as_user(user) as request:
            cursor = request.execute(f"select * from {relation}".encode())  # noqa: S608 - ours
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        shown = {str(row["id"]): row for row in rows}
        assert len(shown) == len(rows)
        assert set(shown) == set(wanted) | (house.found - gone)
        assert {
            id_: {name: plain(shown[id_][name]) for name in row} for id_, row in wanted.items()
        } == {
            id_: {name: plain(value) for name, value in row.items()} for id_, row in wanted.items()
        }
    neighbours = ids(database, "select id from electricity_readings where user_id <> %s", (user,))
    assert neighbours == {str(id_) for id_ in house.neighbours_rows}
    with database.connect() as connection:
        assert differences(connection, [user, *house.neighbours]) == {}
    doubled = "select void_of_event from token_events where event_type = 'VOID' group by 1"
    assert database.rows(f"{doubled} having count(*) > 1") == []
    assert database.rows("select * from ledger.migration_differences()") == []


def plain(value: object) -> object:
    """Numbers by their value, all else by its text."""
    return Decimal(str(value)) if isinstance(value, int | float | Decimal) else str(value)


def ids(
    database: Database, query: str, parameters: tuple[object, ...] | None = None, column: int = 0
) -> set[str]:
    return {str(row[column]) for row in database.rows(query, parameters)}
