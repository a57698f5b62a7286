"""Throw-away users by the Auth server's admin API, of which there is only a FAKE offline.

What these tests show of Supabase's Auth server is how the toolkit's side takes its answers.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from tests.isolation.test_api_isolation import DUAL, STATE, TABLES, narrowed, people, served, target
from tests.support.database import Connection
from tests.support.fake_auth import FakeAuth
from tests.support.postgrest import Keys, Rest, postgrest
from tests.support.servers import Databases
from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.isolation.api.people import (
    PREFIX,
    AdminPeople,
    DatabasePeople,
    Person,
    email_of,
    throwaways,
)
from toolkit.isolation.api.probes import prove_api
from toolkit.isolation.api.target import ApiTarget
from toolkit.isolation.api.wire import Wire


@pytest.fixture(scope="module")
def house(databases: Callable[[int], Databases]) -> Iterator[tuple[Rest, Connection]]:
    with served(databases(17), DUAL) as found:
        yield found


@pytest.fixture
def auth(house: tuple[Rest, Connection]) -> Iterator[tuple[FakeAuth, ApiTarget]]:
    """A fake of the Auth server before the same database; nobody must be left when a test ends."""
    rest, owner = house
    keys = Keys()
    fake = FakeAuth(rest.database, keys)
    before = owner.execute(STATE).fetchall()
    with postgrest(rest.database, keys=keys, auth=fake) as served_too:
        yield fake, ApiTarget(served_too.url, keys.anon, keys.service)
    assert owner.execute(STATE).fetchall() == before


@pytest.mark.parametrize("takes_ids", [True, False], ids=["id as asked", "id of its own"])
def test_users_of_the_fake_auth_server_prove_the_same(
    auth: tuple[FakeAuth, ApiTarget], takes_ids: bool
) -> None:
    fake, given = auth
    fake.takes_ids = takes_ids
    part = prove_api(given, narrowed(*TABLES), AdminPeople)

    assert part.findings == ()
    assert part.tally.denials > 130
    assert len([asked for asked in fake.requests if asked.startswith("DELETE ")]) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_users_of_the_fake_auth_server_go_when_the_proof_breaks_off(
    auth: tuple[FakeAuth, ApiTarget], error: type[BaseException]
) -> None:
    given = auth[1]

    def break_off() -> None:
        with Wire(given) as wire, throwaways(AdminPeople(given, wire)) as made:
            assert len({person.id for person in made}) == 2
            raise error

    with pytest.raises(error):
        break_off()


@pytest.mark.parametrize("takes_ids", [True, False], ids=["id as asked", "id of its own"])
def test_a_user_whom_the_fake_auth_server_does_not_sign_in_goes_too(
    auth: tuple[FakeAuth, ApiTarget], takes_ids: bool
) -> None:
    fake, given = auth
    fake.takes_ids = takes_ids
    fake.broken = {"POST /token"}
    with pytest.raises(OperationalError) as caught:
        prove_api(given, narrowed(*TABLES), AdminPeople)
    assert "unexpected_failure" in caught.value.message
    assert "e-mail and password" in caught.value.next_step


def test_a_user_whom_the_fake_auth_server_keeps_is_named_and_goes_at_the_next_run(
    house: tuple[Rest, Connection], auth: tuple[FakeAuth, ApiTarget]
) -> None:
    fake, given = auth
    fake.broken = {"DELETE /admin/users"}
    with pytest.raises(OperationalError, match=PREFIX) as caught:
        prove_api(given, narrowed(*TABLES), AdminPeople)
    assert "run it again" in caught.value.next_step
    tries = [asked for asked in fake.requests if asked.startswith("DELETE ")]
    assert len(tries) == 2  # the second is tried although the first failed
    owner = house[1]
    aged = "update auth.users set created_at = now() - interval '2 hours' where email like %s"
    assert owner.execute(aged, (f"{PREFIX}%",)).rowcount == 2
    fake.broken.clear()
    with Wire(given) as wire:
        assert AdminPeople(given, wire).sweep() == 2


def test_the_fake_auth_servers_other_users_are_left_alone(
    house: tuple[Rest, Connection], auth: tuple[FakeAuth, ApiTarget]
) -> None:
    owner, ids = house[1], [uuid4() for _ in range(600)]  # more than a page
    owner.execute(
        "insert into auth.users (id, email, created_at) select u, concat('x', u,"
        " '@example.invalid'), now() - interval '1 minute' from unnest(%s::uuid[]) as u",
        (ids,),
    )
    old = uuid4()
    owner.execute(
        "insert into auth.users (id, email, created_at) values (%s, %s, now() - interval '1 day')",
        (old, email_of(str(old))),
    )
    try:
        with Wire(auth[1]) as wire:
            assert AdminPeople(auth[1], wire).sweep() == 1
        left = owner.execute("select from auth.users where id = any (%s)", (ids,)).rowcount
        assert left == len(ids)
    finally:
        owner.execute("delete from auth.users where id = any (%s)", ([*ids, old],))


def test_a_user_who_is_interrupted_while_being_made_is_removed() -> None:
    """By the id that was chosen before."""

    class Interrupted:
        def __init__(self) -> None:
            self.made: list[str] = []
            self.removed: list[str] = []

        def invite(self, user: str) -> Person:
            self.made.append(user)
            if len(self.made) == 2:
                raise KeyboardInterrupt
            return Person(user, "token")

        def remove(self, user: str) -> None:
            self.removed.append(user)
            if len(self.removed) == 1:
                raise KeyboardInterrupt  # a second Ctrl-C does not save the other one

        def sweep(self) -> int:
            return 0

    guests = Interrupted()
    with pytest.raises(KeyboardInterrupt), throwaways(guests):
        pytest.fail("nobody is there")
    assert guests.removed == guests.made
    assert len(guests.made) == 2


def test_database_users_are_committed_step_by_step(house: tuple[Rest, Connection]) -> None:
    rest, owner = house
    with rest.database.connect() as connection:
        guests = DatabasePeople(connection, rest.keys.secret)
        with throwaways(guests, 1) as (person,):
            assert owner.execute(
                "select email from auth.users where id = %s", (person.id,)
            ).fetchall() == [(email_of(person.id),)]
        assert person.token not in repr(person)
        connection.execute("select")
        with pytest.raises(UsageError, match="inside a transaction"):
            DatabasePeople(connection, rest.keys.secret)


def test_who_may_not_make_users_is_told_so(house: tuple[Rest, Connection]) -> None:
    rest = house[0]
    with (
        psycopg.connect(rest.database.authenticator_url, autocommit=True) as weak,
        pytest.raises(OperationalError, match=r"auth\.users") as caught,
    ):
        prove_api(target(rest), narrowed(*TABLES), DatabasePeople(weak, rest.keys.secret))
    assert "role that may insert" in caught.value.next_step


def _port_without_anybody() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


WRONG: dict[str, tuple[Callable[[ApiTarget], ApiTarget], type[MeterledgerError], str]] = {
    "nobody answers": (
        lambda t: replace(t, url=f"http://127.0.0.1:{_port_without_anybody()}"),
        OperationalError,
        "nothing answers at",
    ),
    "no such host": (
        lambda t: replace(t, url="http://nowhere.invalid"),
        OperationalError,
        "nothing answers at",
    ),
    "a URL with a path": (lambda t: replace(t, url=f"{t.url}/rest/v1"), UsageError, "a path"),
    "no URL": (lambda t: replace(t, url="project"), UsageError, "https://HOST"),
    "a URL with a password": (
        lambda t: replace(t, url="https://me:hunter2secret@host"),
        UsageError,
        "https://HOST",
    ),
    "a URL without sense": (lambda t: replace(t, url="http://[x"), UsageError, "parsed"),
    "another project's anon key": (
        lambda t: replace(t, anon_key=Keys().anon),
        UsageError,
        "refuses the anon key",
    ),
    "another project's service key": (
        lambda t: replace(t, service_key=Keys().service),
        UsageError,
        "refuses the service key",
    ),
    "another project's secret": (
        lambda t: replace(t, jwt_secret=Keys().secret),
        UsageError,
        "refuses the token signed with the JWT secret",
    ),
    "the service key for the anon key": (
        lambda t: replace(t, anon_key=t.service_key or ""),
        UsageError,
        "the anon key is a key of another role",
    ),
    "a secret key for the anon key": (
        lambda t: replace(t, anon_key="sb_secret_x"),
        UsageError,
        "the anon key is a key of another role",
    ),
    "the anon key for the service key": (
        lambda t: replace(t, service_key=t.anon_key),
        UsageError,
        "the service key is a key of another role",
    ),
    "half a key": (lambda t: replace(t, anon_key=t.anon_key[:40]), UsageError, "no whole JWT"),
    "a key with a line's end": (
        lambda t: replace(t, anon_key=f"{t.anon_key}\n"),
        UsageError,
        "odd characters",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_target_is_one_clear_error_without_a_secret(
    house: tuple[Rest, Connection], name: str
) -> None:
    rest, owner = house
    spoil, kind, message = WRONG[name]
    spoiled = spoil(target(rest))
    with pytest.raises(kind) as caught:
        prove_api(spoiled, narrowed(*TABLES), people(rest, owner))

    error = caught.value
    assert message in error.message
    assert error.next_step
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    told = f"{error.message} {error.next_step} {error.details} {spoiled!r}"
    for secret in (spoiled.anon_key, spoiled.service_key, spoiled.jwt_secret):
        assert not secret or secret.strip() not in told
    with suppress(ValueError):
        assert "hunter2secret" not in f"{error.message} {error.next_step}"


def test_a_server_without_an_auth_server_is_told_from_one_with(
    house: tuple[Rest, Connection],
) -> None:
    """No fake here: below /auth/v1 nothing is found, as on a PostgREST of one's own."""
    with pytest.raises(OperationalError, match="cannot be listed"):
        prove_api(target(house[0]), narrowed(*TABLES), AdminPeople)


def test_a_fake_auth_server_that_refuses_the_service_key_is_told(
    auth: tuple[FakeAuth, ApiTarget],
) -> None:
    fake, given = auth
    fake.keys = Keys()
    with pytest.raises(UsageError, match="refuses the service key"):
        prove_api(given, narrowed(*TABLES), AdminPeople)
