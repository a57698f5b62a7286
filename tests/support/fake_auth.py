"""A FAKE of Supabase's Auth server, not the real one, which cannot be had offline.

It answers the few requests that the isolation proof makes (an administrator creates, lists and
deletes users; a user signs in with a password) in the real server's shapes, and inserts and
deletes real rows of auth.users, so that the triggers and cascades behind it are real. What a
test shows with it, it shows of the client's side and of the database, never of Supabase's server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import jwt

from tests.support.database import Database
from tests.support.postgrest import Keys

Answer = tuple[int, dict[str, Any]]


@dataclass
class FakeAuth:
    """A fake of Supabase's Auth server.

    Attributes:
        database: whose auth.users it keeps.
        keys: what it signs tokens with, and knows the service key by.
        requests: what it was asked, as 'METHOD /path'.
        broken: of these ('METHOD /path' up to an id) it answers 500.
        takes_ids: whether it lets an administrator choose a new user's id.
    """

    database: Database
    keys: Keys = field(repr=False)
    requests: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    takes_ids: bool = True
    _passwords: dict[str, str] = field(default_factory=dict, repr=False)

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, Any]]:
        """One request; the status and the content."""
        parts = urlsplit(path)
        self.requests.append(f"{method} {parts.path}")
        if any(self.requests[-1].startswith(broken) for broken in self.broken):
            return _refusal(500, "unexpected_failure")
        content = json.loads(body) if body else {}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token" and query.get("grant_type") == "password":
            return self._sign_in(content)
        if parts.path.startswith("/admin/users"):
            return self._administer(method, parts.path, headers, query, content)
        return _refusal(404, "not_found")

    def _administer(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        content: Mapping[str, Any],
    ) -> Answer:
        if (status := self._administrator(headers)) != 200:
            return _refusal(status, "not_admin" if status == 403 else "no_authorization")
        if method == "POST":
            return self._create(content)
        if method == "DELETE":
            return self._delete(UUID(path.rpartition("/")[2]))
        return self._list(int(query.get("page", 1)), int(query.get("per_page", 50)))

    def _administrator(self, headers: Mapping[str, str]) -> int:
        token = str(headers.get("Authorization", "")).removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, self.keys.secret, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            return 401
        return 200 if claims.get("role") == "service_role" else 403

    def _create(self, content: Mapping[str, Any]) -> Answer:
        user = UUID(content["id"]) if self.takes_ids and "id" in content else uuid4()
        email = str(content["email"])
        if self.database.rows("select from auth.users where email = %s", (email,)):
            return _refusal(422, "email_exists")
        self.database.rows(
            "insert into auth.users (id, aud, role, email, email_confirmed_at)"
            " values (%s, 'authenticated', 'authenticated', %s, now())",
            (user, email),
        )
        self._passwords[email] = str(content.get("password", ""))
        return 200, self._user(user)

    def _delete(self, user: UUID) -> Answer:
        if not self.database.rows("delete from auth.users where id = %s returning id", (user,)):
            return _refusal(404, "user_not_found")
        return 200, {}

    def _list(self, page: int, size: int) -> Answer:
        rows = self.database.rows(
            "select id, email, created_at from auth.users order by created_at desc, id"
            " limit %s offset %s",
            (size, (page - 1) * size),
        )
        return 200, {"users": [_shape(*row) for row in rows], "aud": "authenticated"}

    def _sign_in(self, content: Mapping[str, Any]) -> Answer:
        email = str(content.get("email"))
        if self._passwords.get(email) != content.get("password"):
            return _refusal(400, "invalid_credentials")
        user = self.database.value("select id from auth.users where email = %s", (email,))
        return 200, {
            "access_token": self.keys.user(user, email=email),
            "token_type": "bearer",
            "expires_in": 3600,
            "refresh_token": "none",
            "user": self._user(user),
        }

    def _user(self, user: UUID) -> dict[str, Any]:
        return _shape(
            *self.database.rows(
                "select id, email, created_at from auth.users where id = %s", (user,)
            )[0]
        )


def _shape(user: UUID, email: str, created: datetime) -> dict[str, Any]:
    return {
        "id": str(user),
        "aud": "authenticated",
        "role": "authenticated",
        "email": email,
        "created_at": created.astimezone(UTC).isoformat(),
        "app_metadata": {},
        "user_metadata": {},
    }


def _refusal(status: int, code: str) -> Answer:
    return status, {"code": status, "error_code": code, "msg": f"refused: {code}"}
