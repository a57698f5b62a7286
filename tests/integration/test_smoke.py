"""The isolation smoke: quiet on a sound database, loud about every leak, never vacuous."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from tests.support.database import Connection, Database
from tests.support.proven import proven
from tests.support.servers import Databases, MakeDatabase, default_major
from toolkit.bootstrap import DefaultPrivileges, StartingPoint
from toolkit.validation.smoke import isolation_smoke

LEAKS = {
    "the view runs with its owner's rights": (
        "alter view public.electricity_readings_v set (security_invoker = false)",
        r"reaches \d+ rows of [\w-]+: the readings view",
    ),
    "row level security is off on the projection": (
        "alter table ledger.readings disable row level security",
        r"reaches \d+ rows of [\w-]+: the projection",
    ),
    "row level security is off on the events": (
        "alter table public.token_events disable row level security",
        r"reaches \d+ rows of [\w-]+: events",
    ),
    "a policy lets everybody read events": (
        "create policy leak on public.token_events for select to authenticated using (true)",
        r"reaches \d+ rows of [\w-]+: positions",
    ),
    "a policy lets everybody read the projection": (
        "create policy leak on ledger.readings for select to authenticated using (true)",
        r"reaches \d+ rows of [\w-]+: the projection",
    ),
    "policies let everybody change events": (
        "create policy leak on public.token_events for select to authenticated using (true);"
        "create policy leak_too on public.token_events for update to authenticated using (true)",
        r"reaches \d+ rows of [\w-]+: updating events",
    ),
    "a policy lets everybody insert for others": (
        "create policy leak on public.token_events for insert to authenticated with check (true)",
        "may do what must be denied: insert for another user",
    ),
    "a policy lets users write in another's name": (
        "create policy leak on public.token_events for insert to authenticated"
        " with check (user_id = (select auth.uid()))",
        "may do what must be denied: insert in another's name",
    ),
    "a policy lets everybody read recalculations": (
        "create policy leak on public.recalculation_batches for select to authenticated"
        " using (true)",
        r"reaches \d+ rows of [\w-]+: recalculations",
    ),
    "a policy lets everybody read legacy readings": (
        "create policy leak on public.electricity_readings for select to authenticated"
        " using (true)",
        r"reaches \d+ rows of [\w-]+: legacy readings",
    ),
    "the position call runs with its owner's rights": (
        "alter function public.calculate_user_positions(uuid) security definer",
        r"reaches \d+ rows of [\w-]+: positions",
    ),
    "signed-in users may read the materialized view": (
        "grant select on public.electricity_readings_mv to authenticated",
        "may do what must be denied: the materialized view",
    ),
    "signed-in users may read one column of it": (
        "grant select (kwh_value) on public.electricity_readings_mv to authenticated",
        "may do what must be denied: the materialized view",
    ),
    "everybody may read the materialized view": (
        "grant select on public.electricity_readings_mv to public",
        "anon reaches the materialized view",
    ),
    "signed-in users may refresh": (
        "grant execute on function public.refresh_readings_mv() to authenticated",
        "may do what must be denied: the refresh",
    ),
    "anon may refresh": (
        "grant execute on function public.refresh_readings_mv() to anon",
        "anon reaches the refresh",
    ),
    "clients may write reading_id": (
        "grant update (reading_id) on public.token_events to authenticated",
        "forging a reading's id failed for another reason",
    ),
    "clients may write the projection": (
        "grant update on ledger.readings to authenticated;"
        "create policy leak on ledger.readings for update to authenticated using (true)",
        "may do what must be denied: writing the projection",
    ),
    "clients may delete events": (
        "grant delete on public.token_events to authenticated",
        "may do what must be denied: deleting events",
    ),
    "clients may truncate events": (
        "grant truncate on public.token_events to authenticated",
        "truncating events failed for another reason",
    ),
    "the private list is open": (
        "grant select on ledger.migrated_readings to authenticated",
        "may do what must be denied: ledger.migrated_readings",
    ),
    "the rejects are open": (
        "grant select on ledger.migration_rejects to public",
        "may do what must be denied: ledger.migration_rejects",
    ),
    "a new private table is open": (
        'create table ledger."new one" (a int); grant select on ledger."new one" to authenticated',
        "may do what must be denied: ledger.new one",
    ),
    "anon reads events": (
        "grant select on public.token_events to anon;"
        "create policy leak on public.token_events for select to anon using (true)",
        "anon reaches events",
    ),
    "anon reads the readings view": (
        "alter view public.electricity_readings_v set (security_invoker = false);"
        "grant select on public.electricity_readings_v to anon",
        "anon reaches the readings view",
    ),
    "anon may delete events": (
        "grant select, delete on public.token_events to anon",
        "anon reaches deleting events",
    ),
    "anon may truncate events": (
        "grant truncate on public.token_events to anon",
        "anon: truncating events failed for another reason",
    ),
}
VACUOUS = {
    "a user sees nothing of the projection": (
        'drop policy "Users see their own readings" on ledger.readings',
        "gets nothing of their own: the projection",
    ),
    "a user sees no events of their own": (
        'drop policy "Users see their own events" on public.token_events',
        "gets nothing of their own: events",
    ),
    "a user may not read the view": (
        "revoke select on public.electricity_readings_v from authenticated",
        r"may not do what must be allowed: the readings view \(42501\)",
    ),
    "a user may not call for positions": (
        "revoke execute on function public.calculate_user_positions(uuid) from authenticated",
        r"may not do what must be allowed: positions \(42501\)",
    ),
    "a user may not insert": (
        "revoke insert on public.token_events from authenticated",
        r"may not do what must be allowed: insert of an own event \(42501\)",
    ),
    "a user may not void": (
        'drop policy "Users void their own events" on public.token_events',
        "gets nothing of their own: updating events",
    ),
    "the view is gone": (
        "drop view public.electricity_readings_v",
        r"may not do what must be allowed: the readings view \(42P01\)",
    ),
}
FAULTS = LEAKS | VACUOUS


@pytest.fixture
def owner(databases: Callable[[int], Databases]) -> Iterator[Connection]:
    """On a proven database, which stays as it is."""
    with proven(databases(default_major())).connect(autocommit=True) as connection:
        yield connection


def test_quiet_first(owner: Connection) -> None:
    report = isolation_smoke(owner)

    assert report.violations == ()
    assert report.probes > 80


@pytest.mark.parametrize("name", FAULTS)
def test_a_leak_is_a_violation(owner: Connection, name: str) -> None:
    statements, words = FAULTS[name]
    with owner.transaction(force_rollback=True):
        owner.execute(statements.encode())
        report = isolation_smoke(owner)

    assert [text for text in report.violations if re.search(words, text)], report.violations


def test_it_leaves_nothing_behind(owner: Connection) -> None:
    counting = (
        "select (select count(*) from public.token_events),"
        " (select sum(version) from ledger.heads), (select count(*) from auth.users),"
        " (select count(*) from public.recalculation_batches),"
        " (select max(refresh_id) from ledger.refresh_log), current_user,"
        " nullif(current_setting('request.jwt.claims', true), '')"
    )
    before = owner.execute(counting).fetchall()

    isolation_smoke(owner)

    assert owner.execute(counting).fetchall() == before


@pytest.mark.parametrize("users", [0, 1])
def test_where_nobody_has_readings_users_are_made_up(db: Database, users: int) -> None:
    for _ in range(users):
        db.add_user()
    with db.connect(autocommit=True) as connection:
        sound = isolation_smoke(connection)
        connection.execute("alter table ledger.readings disable row level security")
        leaking = isolation_smoke(connection)

    assert sound.violations == ()
    assert sound.probes == leaking.probes > 80
    assert [text for text in leaking.violations if "rows of" in text]
    assert db.value("select count(*) from auth.users") == users


def test_where_none_can_be_made_up_that_is_the_violation(db: Database) -> None:
    with db.connect(autocommit=True) as connection:
        connection.execute(
            "create function public.refuse() returns trigger language plpgsql as"
            " $$ begin raise exception 'closed'; end $$;"
            "create trigger refuse before insert on public.user_profiles"
            " for each row execute function public.refuse()"
        )
        report = isolation_smoke(connection)

    assert len(report.violations) == 1
    assert "no two users" in report.violations[0]
    assert "closed" in report.violations[0]


def test_quiet_where_defaults_grant_nothing(make_database: MakeDatabase) -> None:
    database = make_database(
        StartingPoint.DUAL_WRITE,
        regime=DefaultPrivileges.GRANT_NOTHING,
        migrated=True,
        time_zone="UTC",
        major=15,
    )
    with database.connect(autocommit=True) as connection:
        for _ in range(3):
            user = uuid4()
            connection.execute("insert into auth.users (id) values (%s)", (user,))
            connection.execute(
                "insert into public.electricity_readings (user_id, date, kwh_value)"
                " values (%s, '2026-01-01', 5)",
                (user,),
            )
        report = isolation_smoke(connection)

    assert report.violations == ()
    assert report.probes > 80
