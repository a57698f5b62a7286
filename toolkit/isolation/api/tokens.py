"""Tokens: those of throw-away users, and forged ones that must open nothing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

_ALGORITHM = "HS256"
_HOUR = timedelta(hours=1)


def sign(claims: Mapping[str, Any], secret: str, *, lifetime: timedelta = _HOUR) -> str:
    """A token that the API takes for one of Supabase's; with a negative lifetime, an old one."""
    now = datetime.now(UTC)
    times = {"iat": now - 2 * _HOUR, "exp": now + lifetime}
    return jwt.encode({**times, **claims}, secret, algorithm=_ALGORITHM)


def user_claims(user: str) -> dict[str, Any]:
    """What the token of a signed-in user says at least."""
    return {"sub": user, "role": "authenticated", "aud": "authenticated"}


def expired(user: str, secret: str) -> str:
    """Rightly signed, and an hour too old."""
    return sign(user_claims(user), secret, lifetime=-_HOUR)


def forged(token: str) -> dict[str, str]:
    """What anybody can make of a valid token without the secret: what was done → the token."""
    claims = jwt.decode(token, options={"verify_signature": False})
    raised = {**claims, "role": "service_role"}
    stranger = secrets.token_urlsafe(48)
    head, body, signature = token.split(".")
    payload = jwt.encode(raised, stranger, algorithm=_ALGORITHM).split(".")[1]
    return {
        "a token signed with another key": jwt.encode(claims, stranger, algorithm=_ALGORITHM),
        "a token without a signature": f"{head}.{body}.",
        "a token that says it needs no signature": jwt.encode(claims, "", algorithm="none"),
        "a token with one letter of its signature changed": f"{head}.{body}.{_changed(signature)}",
        "a token raised to service_role, signed with another key": jwt.encode(
            raised, stranger, algorithm=_ALGORITHM
        ),
        "a token raised to service_role under its old signature": f"{head}.{payload}.{signature}",
        "a token raised to service_role that says it needs no signature": jwt.encode(
            raised, "", algorithm="none"
        ),
    }


def _changed(signature: str) -> str:
    """Another signature of the same length; its first letter carries six whole bits."""
    return ("A" if signature[0] != "A" else "B") + signature[1:]
