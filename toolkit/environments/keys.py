"""What a project's URL and API keys say of themselves, without asking anybody."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from toolkit.errors import UsageError

_JSON_WEB_TOKEN = "eyJ"  # what the older kind of Supabase's keys begins with
_ROLES = {"sb_secret_": "service_role", "sb_publishable_": "anon"}


def check_url(url: str) -> None:
    """Look at a project's URL.

    Raises:
        UsageError: it is not of the form https://HOST.
    """
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


def check_key(name: str, key: str, role: str) -> None:
    """Of a key that is a JWT, what role it says; of the newer kinds, which of them it is.

    Args:
        name: what to call the key in messages.
        key: the key.
        role: whose it must be, anon or service_role.

    Raises:
        UsageError: it is no key, or another role's.
    """
    next_step = f"take the {name} from the project's API settings"
    if not key.strip() or not key.isascii() or key != key.strip():
        raise UsageError(f"the {name} is empty or has odd characters", next_step=next_step)
    told = ""
    if key.startswith(_JSON_WEB_TOKEN):
        found = _claims(key)
        if found is None:
            raise UsageError(f"the {name} is no whole JWT", next_step=next_step)
        told = str(found.get("role"))
    for start, whose in _ROLES.items():
        if key.startswith(start):
            told = whose
    if told and told != role:
        raise UsageError(f"the {name} is a key of another role", next_step=next_step)


def claims(key: str) -> dict[str, Any]:
    """The claims of a key that is a JWT, unverified; empty for the newer kinds."""
    return (_claims(key) or {}) if key.startswith(_JSON_WEB_TOKEN) else {}


def signed_by(key: str, secret: str) -> bool | None:
    """Whether a JWT was signed with the secret; None where that cannot be told (no HS256)."""
    if not key.startswith(_JSON_WEB_TOKEN):
        return None
    import jwt  # noqa: PLC0415 - see _claims

    try:
        jwt.decode(
            key,
            secret,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_aud": False, "verify_iat": False},
        )
    except (jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
        return None
    except jwt.InvalidTokenError:
        return False
    return True


def _claims(key: str) -> dict[str, Any] | None:
    """The claims of a JWT, unverified; None where it is no whole one."""
    # It brings all of cryptography along, which every command would wait for.
    import jwt  # noqa: PLC0415

    try:
        found: dict[str, Any] = jwt.decode(key, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return None
    return found
