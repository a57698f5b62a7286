"""Who acts in the probes: users made up inside the transaction, and two existing ones to look at.

Nothing of it outlives the proof's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.errors import FindingsError
from toolkit.isolation.access import Access, Identity, Rule
from toolkit.isolation.probing import Step, claims
from toolkit.isolation.statements import compose, insert, relation, sample_row

ALICE, BOB = "user", "another"


@dataclass(frozen=True)
class Actor:
    """Somebody who tries something.

    Attributes:
        identity: by the declaration's name.
        me: the user that it is, or whose rows it tries to take for its own.
        other: whose rows it tries to reach.
    """

    identity: Identity
    me: UUID
    other: UUID
    signed_in: bool

    def step(self, statement: str, *, returns: bool = True) -> Step:
        """A statement of this actor's."""
        role = self.identity.role
        if role == "authenticator":
            return Step(statement, role, "", returns)
        return Step(statement, role, claims(role, self.me if self.signed_in else None), returns)


@dataclass(frozen=True)
class Household:
    """A made-up user with rows in every table that users can reach.

    Attributes:
        user: its id.
        event: a counted top-up, with the idempotency key.
        voided: an event that it voided, with its VOID event.
        batch: a recalculation.
        reading: a row of the legacy table.
        key: the idempotency key.
    """

    user: UUID
    event: UUID
    voided: UUID
    batch: UUID
    reading: UUID
    key: str


@dataclass(frozen=True)
class Cast:
    """Everybody of one proof.

    Attributes:
        alice: the household that attacks.
        bob: the household that is attacked.
        users: identity → user id.
        setting: the statements that made them, for reproducing a finding.
    """

    alice: Household
    bob: Household
    users: Mapping[str, UUID]
    setting: str

    def actors(self, access: Access) -> Iterator[Actor]:
        """One for each identity; the plain user twice, in both directions."""
        alice, bob = self.alice.user, self.bob.user
        for identity in access.identities:
            me = self.users.get(identity.name, alice)
            other = bob if me == alice else alice
            yield Actor(identity, me, other, identity.name in self.users)
            if identity.name == ALICE:
                yield Actor(identity, bob, alice, True)


def assemble(connection: psycopg.Connection[TupleRow], access: Access) -> Cast:
    """Make up the users and their rows, inside the caller's transaction.

    Args:
        connection: as the owner.
        access: says which tables users can reach, and what a valid row is.

    Raises:
        FindingsError: they cannot be made; the message says what the server refused.
    """
    alice, bob = _household(), _household()
    users = {
        ALICE: alice.user,
        **{name: uuid4() for name in ("disabled", "admin", "deleted", "no_profile")},
    }
    statements = [
        *_sign_up([*users.values(), bob.user]),
        *_profiles(users, bob.user),
        *(line for home in (alice, bob) for line in _history(home)),
        *_rows(access, [alice.user, bob.user, users["disabled"], users["admin"]]),
        compose("delete from auth.users where id = {}", users["deleted"]),
    ]
    try:
        with connection.transaction():
            for statement in statements:
                connection.execute(statement.encode())
    except psycopg.Error as error:
        raise FindingsError(
            "no users can be made up for the proof: "
            f"{error.diag.message_primary or error} ({error.sqlstate})",
            next_step="prove as the role that migrates (postgres), which may write auth.users; "
            "where a trigger or a rule of your own refuses, look at it",
        ) from error
    return Cast(alice, bob, users, "\n".join(f"{line};" for line in statements))


def existing_pair(
    connection: psycopg.Connection[TupleRow], rule: Rule, made_up: Iterable[UUID]
) -> tuple[UUID, UUID] | None:
    """Two users who have rows in a relation already, found through its index; None: there are not.

    Args:
        connection: as the owner.
        rule: of a relation with an owner's column.
        made_up: users of this proof, who do not count.
    """
    query = sql.SQL(
        "select r.{owner} from {relation} as r where r.{owner} > %s and r.{owner} <> all (%s) "
        "order by r.{owner} limit 1"
    ).format(owner=sql.Identifier(rule.owner), relation=relation(rule))
    others = list(made_up)
    first = connection.execute(query, (UUID(int=0), others)).fetchone()
    second = connection.execute(query, (first[0], others)).fetchone() if first else None
    return (first[0], second[0]) if first and second else None


def _household() -> Household:
    user = uuid4()
    return Household(user, uuid4(), uuid4(), uuid4(), uuid4(), f"retry-{user}")


def _sign_up(users: list[UUID]) -> Iterator[str]:
    for user in users:
        yield compose(
            "insert into auth.users (id, email) values ({}, {})",
            user,
            f"meterledger-isolation-{user}@example.invalid",
        )


def _profiles(users: Mapping[str, UUID], bob: UUID) -> Iterator[str]:
    """The app's trigger makes profiles as a rule; where it does not, they are made here."""
    for user in (*users.values(), bob):
        yield compose(
            "insert into public.user_profiles (id) values ({}) on conflict do nothing", user
        )
    change = "update public.user_profiles set {} = {} where id = {}"
    yield compose(change, sql.Identifier("status"), "disabled", users["disabled"])
    yield compose(change, sql.Identifier("role"), "admin", users["admin"])
    yield compose("delete from public.user_profiles where id = {}", users["no_profile"])


def _history(home: Household) -> Iterator[str]:
    """A top-up, a voided reading with its VOID event, a recalculation, a legacy reading."""
    note = f"secret of {home.user}"
    event = (
        "insert into public.token_events "
        "(id, user_id, event_type, event_date, kwh_amount, created_by, notes, {column}) "
        "values ({id}, {user}, {kind}, now() - interval {ago}, {kwh}, {user}, {note}, {value})"
    )
    for id_, kind, ago, kwh, column, value in (
        (home.event, "TOPUP", "4 hours", 50, "idempotency_key", home.key),
        (home.voided, "METER_READING", "3 hours", 7, "idempotency_key", f"{home.key}-voided"),
        (uuid4(), "VOID", "2 hours", 0, "void_of_event", home.voided),
    ):
        yield compose(
            event,
            column=sql.Identifier(column),
            id=id_,
            user=home.user,
            kind=kind,
            ago=ago,
            kwh=kwh,
            note=note,
            value=value,
        )
    yield compose(
        "update public.token_events set is_voided = true, voided_at = now(), voided_by = {} "
        "where user_id = {} and id = {}",
        *(home.user, home.user, home.voided),
    )
    yield compose(
        "insert into public.recalculation_batches "
        "(id, user_id, trigger_type, affected_events, events_count, rollback_reason) "
        "values ({}, {}, 'EDIT_TOPUP', '[]', 0, {})",
        *(home.batch, home.user, note),
    )
    yield compose(
        "insert into public.electricity_readings (id, user_id, date, kwh_value, notes) "
        "values ({}, {}, now() - interval '9 days', 140, {})",
        *(home.reading, home.user, note),
    )


def _rows(access: Access, users: list[UUID]) -> Iterator[str]:
    """A row of each table that the declaration knows a valid row of."""
    for rule in access.of_kind("table"):
        if rule.row and set(rule.row) != {rule.owner}:
            for user in users:
                yield insert(rule, sample_row(rule, user))
