"""Two users who exist only while the proof runs, by either of two ways to make and remove them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid4

import httpx
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from supabase_auth.errors import AuthApiError, AuthError

from supabase import Client, create_client
from toolkit.connection import redact
from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.isolation.api.target import ApiTarget
from toolkit.isolation.api.tokens import sign, user_claims
from toolkit.isolation.api.wire import Wire

PREFIX = "meterledger-isolation-"
DOMAIN = "@example.invalid"
ABANDONED = timedelta(hours=1)
_PAGE, _PAGES = 500, 20  # how far back leftovers are looked for, newest users first


@dataclass(frozen=True)
class Person:
    """A throw-away user.

    Attributes:
        id: in auth.users.
        token: of the signed-in user.
    """

    id: str
    token: str = field(repr=False)


class People(Protocol):
    """A way to make users and to remove them."""

    def invite(self, user: str) -> Person:
        """Make a user, if possible with this id, and sign it in."""

    def remove(self, user: str) -> None:
        """Remove a user, who may not be there."""

    def sweep(self) -> int:
        """Remove what a run that was killed left over an hour ago; how many users."""


@contextmanager
def throwaways(people: People, count: int = 2) -> Iterator[tuple[Person, ...]]:
    """Users for the length of a block; removed however it ends, by Ctrl-C too.

    Raises:
        OperationalError: one could not be made or removed.
    """
    people.sweep()
    wanted: list[str] = []
    try:
        made = []
        for _ in range(count):
            wanted.append(str(uuid4()))  # before it is made: whatever interrupts, it is removed
            person = people.invite(wanted[-1])
            wanted[-1] = person.id
            made.append(person)
        yield tuple(made)
    finally:
        _remove_all(people, wanted)


def _remove_all(people: People, users: list[str]) -> None:
    """Each is tried, even if another fails or an interruption comes in between."""
    failure: BaseException | None = None
    for user in users:
        try:
            people.remove(user)
        except BaseException as error:
            failure = error
    if failure is not None:
        raise failure


def email_of(user: str) -> str:
    """The address by which leftovers are known; no mail ever reaches it."""
    return f"{PREFIX}{user}{DOMAIN}"


class AdminPeople:
    """By the Auth server's admin API; needs the service key."""

    def __init__(self, target: ApiTarget, wire: Wire) -> None:
        """Nothing is asked yet.

        Raises:
            UsageError: the target has no service key.
        """
        if target.service_key is None:
            raise UsageError(
                "users cannot be made without the service key",
                next_step="give the service key, or a database URL and the JWT secret",
            )
        self._admin = create_client(target.base, target.service_key, wire.client_options())
        self._target, self._wire = target, wire

    def invite(self, user: str) -> Person:
        """Make a user and sign it in by its password."""
        email, password = email_of(user), secrets.token_urlsafe(32)
        try:
            made = self._admin.auth.admin.create_user(
                {"id": user, "email": email, "password": password, "email_confirm": True}
            ).user.id
            try:
                return Person(made, self._sign_in(email, password))
            except BaseException:
                self.remove(made)  # a server that chose another id than we asked for
                raise
        except (AuthError, httpx.HTTPError) as error:
            raise self._failed("a throw-away user cannot be made", error) from None

    def remove(self, user: str) -> None:
        """Delete it for good; its rows go with it."""
        try:
            self._admin.auth.admin.delete_user(user)
        except (AuthError, httpx.HTTPError) as error:
            if getattr(error, "status", None) == 404:
                return
            what = f"the throw-away user {email_of(user)} cannot be removed"
            raise self._failed(what, error) from None

    def sweep(self) -> int:
        """Look through the newest users."""
        limit = datetime.now(UTC) - ABANDONED
        old: list[str] = []
        try:
            for page in range(1, _PAGES + 1):
                users = self._admin.auth.admin.list_users(page=page, per_page=_PAGE)
                old += [
                    user.id
                    for user in users
                    if (user.email or "").startswith(PREFIX) and user.created_at < limit
                ]
                if len(users) < _PAGE:
                    break
        except (AuthError, httpx.HTTPError) as error:
            raise self._failed("the Auth server's users cannot be listed", error) from None
        for user in old:
            self.remove(user)
        return len(old)

    def _sign_in(self, email: str, password: str) -> str:
        client: Client = create_client(
            self._target.base, self._target.anon_key, self._wire.client_options()
        )
        answer = client.auth.sign_in_with_password({"email": email, "password": password})
        if answer.session is None:
            raise OperationalError(
                "a throw-away user was signed in without a session",
                next_step="allow sign-in by e-mail and password in the project's Auth settings",
            )
        return answer.session.access_token

    def _failed(self, what: str, error: Exception) -> MeterledgerError:
        """The server's words may quote anything, so they are redacted and cut."""
        if isinstance(error, AuthApiError):
            if error.status in (401, 403):
                return UsageError(
                    f"{what}: the Auth server refuses the service key",
                    next_step="take the service_role (or secret) key from the API settings",
                )
            said = redact(f"{error.status} {error.code or ''} {error.message}")[:200]
            return OperationalError(
                f"{what}: the Auth server answered {said}",
                next_step="see the project's Auth logs and settings (sign-in by e-mail and "
                "password must be allowed); then run it again, which removes leftovers",
            )
        return OperationalError(
            f"{what}: nothing answers as Supabase's Auth server at {self._target.base}",
            next_step="check the URL and this machine's network; for a server without Auth, give "
            "a database URL and the JWT secret",
        )


class DatabasePeople:
    """By rows of auth.users, where there is no Auth server; signs tokens with the JWT secret."""

    def __init__(self, connection: psycopg.Connection[TupleRow], secret: str) -> None:
        """Users must be seen by other sessions, so each step commits.

        Args:
            connection: of a role that may write auth.users; outside of any transaction.
            secret: what the API verifies tokens with.

        Raises:
            UsageError: the connection is in a transaction.
        """
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            raise UsageError(
                "throw-away users cannot be made inside a transaction",
                next_step="commit it first, or give another connection",
            )
        self._connection, self._secret = connection, secret

    def invite(self, user: str) -> Person:
        """Insert a user; its profile is made by the app's trigger."""
        self._run(
            "insert into auth.users (id, aud, role, email, created_at)"
            " values (%s, 'authenticated', 'authenticated', %s, now())",
            (UUID(user), email_of(user)),
        )
        return Person(user, sign(user_claims(user), self._secret))

    def remove(self, user: str) -> None:
        """Delete it; its rows go with it."""
        self._run("delete from auth.users where id = %s", (UUID(user),))

    def sweep(self) -> int:
        """Delete all old ones at once."""
        return self._run(
            "delete from auth.users where email like %s and created_at < now() - %s",
            (f"{PREFIX}%{DOMAIN}", ABANDONED),
        )

    def _run(self, statement: str, parameters: tuple[object, ...]) -> int:
        try:
            with self._connection.transaction():
                return self._connection.execute(statement.encode(), parameters).rowcount
        except psycopg.Error as error:
            raise OperationalError(
                f"auth.users cannot be written: {redact(str(error).splitlines()[0])}",
                next_step="connect as a role that may insert into and delete from auth.users",
            ) from None
