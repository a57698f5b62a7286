"""Which database a URL names, whoever connects and whichever way."""

from __future__ import annotations

from toolkit.connection import describe, parse
from toolkit.errors import MeterledgerError
from toolkit.settings import Environment

HOSTED = (".supabase.co", ".supabase.net")

Place = tuple[str, ...]


def place_of(url: str | None) -> Place | None:
    """What two URLs of one database have in common; None for one that cannot be read.

    A Supabase project is the same behind its direct host and behind its poolers. Elsewhere the
    tenant of the user belongs to it, where a pooler tells projects by it.
    """
    try:
        parts = parse(url) if url else {}
    except MeterledgerError:
        return None
    if not parts:
        return None
    database = parts.get("dbname", parts.get("user", ""))
    project = ref_of_database(url)
    if project is not None:
        return project, database
    host = (parts.get("host") or parts.get("hostaddr", "")).lower()
    tenant = parts.get("user", "").partition(".")[2]
    return host, parts.get("port", "5432"), tenant, database


def ref_of_database(url: str | None) -> str | None:
    """The id of the Supabase project that a URL is of; None where it does not tell."""
    try:
        parts = parse(url) if url else {}
    except MeterledgerError:
        return None
    host = parts.get("host", "")
    if host.startswith("db.") and host.endswith(HOSTED):
        return host.split(".")[1]
    if ".pooler." in host:
        _, dot, ref = parts.get("user", "").partition(".")
        return ref if dot else None
    return None


def described(environment: Environment) -> str:
    """user@host:port/database of an environment; empty where there is no URL that can be read."""
    try:
        return describe(environment.database_url) if environment.database_url else ""
    except MeterledgerError:
        return ""
