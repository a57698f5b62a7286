"""What an environment's file, its API and its keys tell, and whether they are of one project."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from toolkit.environments import keys
from toolkit.environments.items import Item, failed, passed, refused, warned
from toolkit.environments.place import HOSTED, ref_of_database
from toolkit.errors import MeterledgerError
from toolkit.settings import Environment

API_TIMEOUT_SECONDS = 5.0
SHORTEST_RECEIPT_KEY = 32
_KEYS = (
    ("anon key", "SUPABASE_ANON_KEY", "anon"),
    ("service key", "SUPABASE_SERVICE_ROLE_KEY", "service_role"),
)


def file_items(environment: Environment) -> Iterator[Item]:
    """Who may read the file, and what the process's environment changes of it."""
    name = f".env.{environment.name}"
    if environment.file is None:
        yield passed("file", f"no {name}: everything is the process's environment's")
    elif (mode := stat.S_IMODE(environment.file.stat().st_mode)) & 0o077:
        yield warned(
            "file", f"others on this machine may reach {name} ({mode:04o})", f"chmod 600 {name}"
        )
    else:
        yield passed("file", f"{name}, for its owner only")
    if environment.overridden:
        yield warned(
            "process",
            f"its environment gives other values than {name} to "
            f"{', '.join(environment.overridden)}",
            "unset them where you mean the file",
        )


def api_items(environment: Environment, *, ask: bool) -> Iterator[Item]:
    """Whether the API answers, and whether the keys are what they are said to be.

    Args:
        environment: whose they are.
        ask: send one request, without any key.
    """
    if environment.api_url is None:
        yield warned(
            "api",
            "SUPABASE_URL is missing: isolation --api needs it",
            f"write SUPABASE_URL=https://PROJECT.supabase.co into .env.{environment.name}",
        )
    else:
        yield _api(environment.api_url, ask=ask)
    for name, variable, role in _KEYS:
        key = environment.anon_key if role == "anon" else environment.service_key
        if key is None:
            if environment.api_url is not None:
                yield warned(
                    name,
                    f"{variable} is missing: isolation --api needs it",
                    f"take the {name} from the project's API settings",
                )
        else:
            yield _key(name, key, role, environment.jwt_secret)


def _api(url: str, *, ask: bool) -> Item:
    try:
        keys.check_url(url)
    except MeterledgerError as error:
        return refused("api", error)
    host = urlsplit(url).netloc
    if not ask:
        return passed("api", host)
    try:
        # No key is sent: a wrong host learns nothing.
        answer = httpx.get(f"{url.rstrip('/')}/rest/v1/", timeout=API_TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return failed(
            "api",
            f"{host} does not answer ({type(error).__name__})",
            "check SUPABASE_URL's spelling and this machine's network; a paused project must be "
            "restored first",
        )
    if answer.status_code >= 500:
        return failed(
            "api", f"{host} answers {answer.status_code}", "look at the project's own status page"
        )
    return passed("api", f"{host} answers")


def _key(name: str, key: str, role: str, secret: str | None) -> Item:
    next_step = f"take the {name} from the project's API settings"
    try:
        keys.check_key(name, key, role)
    except MeterledgerError as error:
        return refused(name, error)
    expires = keys.claims(key).get("exp")
    if isinstance(expires, int | float) and expires < time.time():
        return failed(name, "it has expired", next_step)
    if secret is not None and keys.signed_by(key, secret) is False:
        return failed(
            name,
            "SUPABASE_JWT_SECRET did not sign it: one of them is another project's, or was rotated",
            "take both from the same project's API settings",
        )
    return passed(name, f"of {role}")


def project_items(environment: Environment) -> Iterator[Item]:
    """Whether the URLs, the keys and the project ref speak of the same project."""
    told = _project_refs(environment)
    if not told:
        return
    refs = set(told.values())
    if len(refs) > 1:
        yield failed(
            "project",
            "two projects are mixed: " + ", ".join(f"{n} is of {ref}" for n, ref in told.items()),
            "take all of them from one project's settings",
        )
    else:
        yield passed("project", f"{refs.pop()}, says {' and '.join(told)}")


def receipt_items(environment: Environment) -> Iterator[Item]:
    """Whether receipts can be signed."""
    make_one = (
        "write one of random characters (openssl rand -hex 32), the same for the environments "
        "that are promoted into each other"
    )
    key = environment.receipt_key
    if key is None:
        yield warned(
            "receipt key",
            "METERLEDGER_RECEIPT_KEY is missing: a rollout here leaves no receipt to promote by",
            make_one,
        )
    elif len(key) < SHORTEST_RECEIPT_KEY:
        yield warned("receipt key", f"shorter than {SHORTEST_RECEIPT_KEY} characters", make_one)
    else:
        yield passed("receipt key", "there")


def _project_refs(environment: Environment) -> dict[str, str]:
    """Variable → the project that it is of, of those that tell."""
    told: dict[str, str | None] = {"SUPABASE_PROJECT_REF": environment.project_ref}
    if environment.database_url is not None:
        told["DATABASE_URL"] = ref_of_database(environment.database_url)
    if environment.api_url is not None:
        told["SUPABASE_URL"] = _ref_of_host(environment.api_url)
    for key, (_, variable, _) in zip(
        (environment.anon_key, environment.service_key), _KEYS, strict=True
    ):
        ref = keys.claims(key).get("ref") if key is not None else None
        told[variable] = ref if isinstance(ref, str) else None
    return {name: ref for name, ref in told.items() if ref}


def _ref_of_host(url: str) -> str | None:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None
    return host.split(".")[0] if host.endswith(HOSTED) else None
