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
from toolkit.isolation.catalog import Catalog
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
        erased: tables that held something of the user who was deleted, before that.
        setting: the statements that made them, for reproducing a finding.
    """

    alice: Household
    bob: Household
    users: Mapping[str, UUID]
    erased: frozenset[str]
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


def assemble(connection: psycopg.Connection[TupleRow], access: Access, catalog: Catalog) -> Cast:
    """Make up the users and their rows, inside the caller's transaction.

    Args:
        connection: as the owner.
        access: says which tables users can reach, and what a valid row is.
        catalog: says which columns there are.

    Raises:
        FindingsError: they cannot be made; the message says what the server refused.
    """
    alice, bob = _household(), _household()
    users = {
        ALICE: alice.user,
        **{name: uuid4() for name in ("disabled", "admin", "deleted", "no_profile")},
    }
    with_rows = [alice.user, bob.user, *(users[n] for n in ("disabled", "admin", "deleted"))]
    statements = [
        *_sign_up([*users.values(), bob.user]),
        *_profiles(catalog, users, bob.user),
        *(line for home in (alice, bob) for line in _history(access, home)),
        *_rows(access, with_rows),
    ]
    erase = compose("delete from auth.users where id = {}", users["deleted"])
    try:
        with connection.transaction():
            for statement in statements:
                connection.execute(statement.encode())
            kept = _rows_of(connection, access, catalog, users["deleted"])
            connection.execute(erase.encode())
    except psycopg.Error as error:
        raise FindingsError(
            "no users can be made up for the proof: "
            f"{error.diag.message_primary or error} ({error.sqlstate})",
            next_step="prove as the role that migrates (postgres), which may write auth.users; "
            "where a trigger or a rule of your own refuses, look at it; where a column of your own "
            "wants a value, declare a valid row with --access",
        ) from error
    return Cast(alice, bob, users, kept, "".join(f"{line};\n" for line in [*statements, erase]))


def owner_column(access: Access, catalog: Catalog, table: str) -> str:
    """The column of a table that says whose a row is; empty where none does."""
    rule = access.rules.get(table)
    if rule is not None and rule.owner:
        return rule.owner
    return "user_id" if "user_id" in catalog.columns.get(table, ()) else ""


def _rows_of(
    connection: psycopg.Connection[TupleRow], access: Access, catalog: Catalog, user: UUID
) -> frozenset[str]:
    """The tables that hold something of a user."""
    found = set()
    for kind, table in catalog.objects:
        column = owner_column(access, catalog, table) if kind == "table" else ""
        if not column:
            continue
        query = compose(
            "select from {} where {} = {} limit 1",
            *(sql.Identifier(*table.split(".", 1)), sql.Identifier(column), user),
        )
        if connection.execute(query.encode()).fetchone() is not None:
            found.add(table)
    return frozenset(found)


def existing_pair(
    connection: psycopg.Connection[TupleRow], rule: Rule, made_up: Iterable[UUID]
) -> tuple[UUID, UUID] | None:
    """Two users who have rows in a relation already, found through its index; None: there are not.

    Args:
        connection: as the owner.
        rule: of a relation with an owner's column.
        made_up: users of this proof, who do not count.
    """
    others = "{" + ",".join(map(str, made_up)) + "}"
    found: list[UUID] = []
    while len(found) < 2:
        query = compose(
            "select r.{owner} from {relation} as r where r.{owner} > {after} "
            "and r.{owner} <> all ({others}) order by r.{owner} limit 1",
            owner=sql.Identifier(rule.owner),
            relation=relation(rule),
            after=found[-1] if found else UUID(int=0),
            others=others,
        )
        try:
            with connection.transaction():
                row = connection.execute(query.encode()).fetchone()
            found.append(UUID(str(row[0])) if row else UUID(int=0))
        except (psycopg.errors.ObjectNotInPrerequisiteState, ValueError):
            return None  # never filled, or owned by something that is no user
        if row is None:
            return None
    return found[0], found[1]


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


def _profiles(catalog: Catalog, users: Mapping[str, UUID], bob: UUID) -> Iterator[str]:
    """The app's trigger makes profiles as a rule; where it does not, they are made here."""
    for user in (*users.values(), bob):
        yield compose(
            "insert into public.user_profiles (id) values ({}) on conflict do nothing", user
        )
    change = "update public.user_profiles set {} = {} where id = {}"
    for column, value in (("status", "disabled"), ("role", "admin")):
        if column in catalog.columns.get("public.user_profiles", ()):
            yield compose(change, sql.Identifier(column), value, users[value])
    yield compose("delete from public.user_profiles where id = {}", users["no_profile"])


def _history(access: Access, home: Household) -> Iterator[str]:
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
    legacy = access.rules.get("public.electricity_readings")
    if legacy is not None:
        row = sample_row(legacy, home.user) | {"notes": compose("{}", note)}
        yield insert(legacy, {"id": compose("{}", home.reading), **row})


def _rows(access: Access, users: list[UUID]) -> Iterator[str]:
    """A row of each table, or view for one, that the declaration knows a valid row of."""
    for rule in access.of_kind("table", "view"):
        if rule.row and set(rule.row) != {rule.owner}:
            for user in users:
                yield insert(rule, sample_row(rule, user))
