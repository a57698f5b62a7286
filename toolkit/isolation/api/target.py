"""Which API is proven, and with which keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import jwt

from toolkit.errors import UsageError

_JSON_WEB_TOKEN = "eyJ"  # what the older kind of Supabase's keys begins with


@dataclass(frozen=True)
class ApiTarget:
    """A Supabase project as a client knows it.

    Attributes:
        url: of the project, without /rest/v1.
        anon_key: the public key; the older kind (a JWT) or a publishable one.
        service_key: of the app's servers; without it, nothing is probed as service_role.
        jwt_secret: what HS256 tokens are signed with; without it, tokens that only its holder
            can make are not probed.
        refresh: call refresh_readings_mv() once as service_role, which recomputes everybody's
            readings.
        scratch: nothing in the database is anybody's, so that a write without any filter may
            be sent. On a database in use it would be the very accident it looks for.
    """

    url: str
    anon_key: str = field(repr=False)
    service_key: str | None = field(default=None, repr=False)
    jwt_secret: str | None = field(default=None, repr=False)
    refresh: bool = False
    scratch: bool = False

    @property
    def base(self) -> str:
        """The URL without a slash at its end."""
        return self.url.rstrip("/")

    def check(self) -> None:
        """Look at what can be told without asking anybody.

        Raises:
            UsageError: the URL or a key cannot be what it is said to be.
        """
        _check_url(self.url)
        _check_key("anon key", self.anon_key, "anon")
        if self.service_key is not None:
            _check_key("service key", self.service_key, "service_role")


def _check_url(url: str) -> None:
    next_step = "write the project's URL as its API settings show it, https://PROJECT.supabase.co"
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        raise UsageError("the API's URL cannot be parsed", next_step=next_step) from None
    if not well_formed or parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "the API's URL is not of the form https://HOST", next_step=next_step
        ) from None
    if parts.path.strip("/"):
        raise UsageError("the API's URL has a path", next_step=next_step) from None


def _check_key(name: str, key: str, role: str) -> None:
    """Of a key that is a JWT, what role it says; of the newer kinds, which of them it is."""
    next_step = f"take the {name} from the project's API settings"
    if not key.strip() or not key.isascii() or key != key.strip():
        raise UsageError(f"the {name} is empty or has odd characters", next_step=next_step)
    told = ""
    if key.startswith(_JSON_WEB_TOKEN):
        try:
            claims = jwt.decode(key, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            # 'from None': the cause quotes the token.
            raise UsageError(f"the {name} is no whole JWT", next_step=next_step) from None
        told = str(claims.get("role"))
    elif key.startswith("sb_secret_"):
        told = "service_role"
    elif key.startswith("sb_publishable_"):
        told = "anon"
    if told and told != role:
        raise UsageError(f"the {name} is a key of another role", next_step=next_step)
