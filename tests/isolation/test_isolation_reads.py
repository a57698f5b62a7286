"""Each user sees its own rows and nobody else's, through whatever it asks."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.isolation.conftest import Street
from tests.support.database import Connection
from tests.support.events import DENIED, day, record, signed_in

# Each relation that a user may read, and its column that says whose a row is.
RELATIONS = {
    "public.token_events": "user_id",
    "public.recalculation_batches": "user_id",
    "public.electricity_readings": "user_id",
    "public.electricity_readings_v": "user_id",
    "public.user_profiles": "id",
    "ledger.readings": "user_id",
}
POSITIONS = "select user_id from calculate_user_positions(%s)"
every_relation = pytest.mark.parametrize("relation", RELATIONS)


def whose(connection: Connection, relation: str) -> Counter[UUID]:
    """The owners of all rows that a request sees, and of how many each."""
    schema, _, table = relation.partition(".")
    query = sql.SQL("select {} from {}").format(
        sql.Identifier(RELATIONS.get(relation, "user_id")), sql.Identifier(schema, table)
    )
    return Counter(owner for (owner,) in connection.execute(query))


def count(connection: Connection, relation: str, user: UUID | None = None) -> int:
    """What an exact count says, of everything or of one user's rows."""
    schema, _, table = relation.partition(".")
    query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
    if user is not None:
        owner = sql.Identifier(RELATIONS[relation])
        query = sql.SQL("{} where {} = {}").format(query, owner, sql.Literal(user))
    return int(connection.execute(query).fetchall()[0][0])


@every_relation
def test_each_user_sees_its_own_rows_alone(street: Street, relation: str) -> None:
    for household in (street.alice, street.bob):
        with street.ask(household) as request:
            assert set(whose(request, relation)) == {household.user}
    with street.database.connect() as owner:
        assert set(whose(owner, relation)) >= {street.alice.user, street.bob.user}


@every_relation
def test_each_user_counts_its_own_rows_alone(street: Street, relation: str) -> None:
    alice, bob = street.alice.user, street.bob.user
    with street.database.connect() as owner:
        held = count(owner, relation, alice)
    with street.ask(street.alice) as request:
        assert count(request, relation) == held > 0
        assert count(request, relation, alice) == held
        assert count(request, relation, bob) == 0


@every_relation
def test_a_signed_in_user_without_a_profile_sees_nothing(street: Street, relation: str) -> None:
    newcomer = UUID(int=1)
    with street.database.as_user(newcomer) as request:
        assert whose(request, relation) == Counter()
    with street.ask(street.alice) as request:
        assert whose(request, relation) != Counter()


@every_relation
@pytest.mark.parametrize("claims", [{}, {"sub": ""}], ids=["no claim", "an empty claim"])
def test_a_token_that_names_nobody_sees_nothing(
    street: Street, relation: str, claims: dict[str, str]
) -> None:
    with street.database.as_role("authenticated", claims=claims) as request:
        assert whose(request, relation) == Counter()
    with street.database.as_role(
        "authenticated", claims={"sub": str(street.alice.user)}
    ) as request:
        assert whose(request, relation) != Counter()


@every_relation
def test_nobody_anonymous_sees_anything(street: Street, relation: str) -> None:
    """It is refused, or finds nothing where the app's own grants let it ask."""
    seen: Counter[UUID] = Counter()
    with suppress(DENIED), street.database.as_role("anon") as request:
        seen = whose(request, relation)
    assert seen == Counter()
    with street.ask(street.alice) as request:
        assert whose(request, relation) != Counter()


@pytest.mark.parametrize(
    "relation",
    ["public.token_events", "public.recalculation_batches", "public.electricity_readings_v"],
)
def test_what_the_rollout_made_refuses_whoever_is_anonymous(street: Street, relation: str) -> None:
    with pytest.raises(DENIED), street.database.as_role("anon") as request:
        whose(request, relation)
    # A user's id in an anonymous token opens nothing.
    claims = {"sub": str(street.alice.user)}
    with pytest.raises(DENIED), street.database.as_role("anon", claims=claims) as request:
        whose(request, relation)
    with street.ask(street.alice) as request:
        assert whose(request, relation)


@pytest.mark.parametrize("relation", ["public.token_events", "public.electricity_readings_v"])
def test_the_service_sees_everybody(street: Street, relation: str) -> None:
    with street.database.as_role("service_role") as service:
        assert set(whose(service, relation)) >= {street.alice.user, street.bob.user}


def test_positions_of_another_user_are_nothing(street: Street) -> None:
    alice, bob = street.alice.user, street.bob.user
    with street.ask(street.alice) as request:
        assert {row[0] for row in request.execute(POSITIONS, (alice,))} == {alice}
        assert request.execute(POSITIONS, (bob,)).fetchall() == []
        assert request.execute(POSITIONS, (None,)).fetchall() == []
    with street.database.as_role("service_role") as service:
        assert {row[0] for row in service.execute(POSITIONS, (bob,))} == {bob}


def test_positions_are_nothing_to_whoever_has_no_profile_or_no_name(street: Street) -> None:
    bob = street.bob.user
    with street.database.as_user(UUID(int=1)) as request:
        assert request.execute(POSITIONS, (bob,)).fetchall() == []
    with pytest.raises(DENIED), street.database.as_role("anon") as request:
        request.execute(POSITIONS, (bob,))
    with street.ask(street.bob) as request:
        assert request.execute(POSITIONS, (bob,)).fetchall()


@every_relation
def test_a_users_own_function_sees_no_row_that_the_user_may_not(
    street: Street, relation: str
) -> None:
    """A condition that costs nothing is tried early: before the policy, if nothing stops it."""
    spoken: list[str] = []
    schema, _, table = relation.partition(".")
    with street.ask(street.alice) as request:
        request.add_notice_handler(lambda notice: spoken.append(notice.message_primary or ""))
        request.execute(
            "create function pg_temp.tell(row_data jsonb) returns boolean language plpgsql"
            " immutable cost 0.0000001 as $$"
            " begin raise notice '%', row_data; return true; end $$"
        )
        query = sql.SQL("select from {} as seen where pg_temp.tell(to_jsonb(seen))")
        request.execute(query.format(sql.Identifier(schema, table)))

    assert [line for line in spoken if str(street.alice.user) in line]
    assert not [line for line in spoken if str(street.bob.user) in line]


@pytest.mark.parametrize(
    "leak",
    [
        "alter view public.electricity_readings_v set (security_invoker = false)",
        "alter table ledger.readings disable row level security",
        "create policy everybody on ledger.readings for select to authenticated using (true)",
        "create or replace view public.electricity_readings_v as select * from ledger.readings",
    ],
    ids=["owner's rights", "RLS off", "a loose policy", "an option forgotten"],
)
def test_a_leak_would_be_seen(street: Street, leak: str) -> None:
    """What the tests above ask turns red when one of the guards is taken away."""
    relation = "public.electricity_readings_v"
    alice, bob = street.alice.user, street.bob.user
    with street.database.connect() as owner, owner.transaction(force_rollback=True):
        with signed_in(owner, alice):
            assert set(whose(owner, relation)) == {alice}
        owner.execute(leak.encode())
        with signed_in(owner, alice):
            assert bob in whose(owner, relation)


def test_a_new_event_of_one_user_changes_nothing_for_the_other(street: Street) -> None:
    relation = "public.electricity_readings_v"
    with street.ask(street.bob) as request:
        before = request.execute("select * from electricity_readings_v order by id").fetchall()
    with street.ask(street.alice) as request:
        shown = count(request, relation)
        record(request, street.alice.user, at=day(30))
        assert count(request, relation) == shown + 1
    with street.ask(street.bob) as request:
        after = request.execute("select * from electricity_readings_v order by id").fetchall()

    assert after == before


def test_statistics_show_a_user_no_values_of_others(street: Street) -> None:
    """The planner's statistics hold values of everybody's rows."""
    with street.ask(street.alice) as request:
        seen = request.execute(
            "select tablename from pg_stats where schemaname in ('public', 'ledger')"
            " and tablename in ('token_events', 'readings', 'recalculation_batches')"
        ).fetchall()
    assert seen == []
    with street.database.connect() as owner:
        owner.execute("analyze ledger.readings")
        kept = owner.execute("select from pg_stats where tablename = 'readings'").fetchall()
    assert kept


def test_a_request_that_failed_leaves_no_rights_behind(street: Street) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), street.ask(street.alice) as request:
        request.execute("select 1 / 0")
    with pytest.raises(DENIED), street.database.as_role("anon") as request:
        request.execute("select from token_events")
