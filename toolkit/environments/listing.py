"""The environments of a folder, one line each; one that cannot be read or reached says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from toolkit import settings
from toolkit.connection import connect, parse
from toolkit.environments import keys
from toolkit.environments.place import described
from toolkit.environments.record import recorded
from toolkit.errors import MeterledgerError

CONNECT_TIMEOUT_SECONDS = 3


@dataclass(frozen=True)
class Listed:
    """One environment.

    Attributes:
        name: of the environment.
        database: user@host:port/database; empty where there is no URL that can be read.
        protection: open or confirm; empty where the file cannot be read.
        recorded: what its database says that it is; None where it says nothing or was not asked.
        trouble: why it could not be read or asked, or what its database says instead; else empty.
    """

    name: str
    database: str
    protection: str
    recorded: str | None
    trouble: str = ""


def listed(name: str, *, ask: bool, folder: Path | None = None) -> Listed:
    """One environment's line.

    Args:
        name: of the environment.
        ask: connect to its database, for a few seconds at most.
        folder: of the `.env` files; the current one if left out.
    """
    try:
        environment = settings.environment(name, folder=folder)
    except MeterledgerError as error:
        return Listed(name, "", "", None, error.message)
    place, protection = described(environment), environment.protection
    if not place:
        trouble = "DATABASE_URL cannot be parsed" if environment.database_url else "no DATABASE_URL"
        return Listed(name, "", protection, None, trouble)
    if not ask:
        return Listed(name, place, protection, None)
    try:
        with connect(
            environment.database_url or "",
            autocommit=True,
            application_name="meterledger env",
            prepare=False,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        ) as connection:
            found = recorded(connection)
    except MeterledgerError as error:
        return Listed(name, place, protection, None, error.message)
    except psycopg.Error as error:
        return Listed(name, place, protection, None, str(error.diag.message_primary or "refused"))
    trouble = "" if found in (None, name) else f"its database says that it is {found!r}"
    return Listed(name, place, protection, found, trouble)


def from_file(name: str, *, folder: Path | None = None) -> settings.Environment | None:
    """What a file alone says; None where it cannot be read."""
    try:
        return settings.environment(name, {}, folder=folder)
    except MeterledgerError:
        return None


def others(name: str, *, folder: Path | None = None) -> tuple[settings.Environment, ...]:
    """The other environments as their files say: a variable of the process is meant for one."""
    found = (from_file(o, folder=folder) for o in settings.environments(folder) if o != name)
    return tuple(known for known in found if known is not None)


def check_values(name: str, values: Mapping[str, str]) -> None:
    """Look at the values that are to be written into `.env.<name>`, asking nobody.

    Raises:
        UsageError: one of them cannot be what it is said to be.
    """
    settings.protection_of(name, values.get("METERLEDGER_PROTECTION"))
    settings.retention_of(values.get("METERLEDGER_BACKUP_RETENTION_DAYS"))
    if "DATABASE_URL" in values:
        parse(values["DATABASE_URL"])
    if "SUPABASE_URL" in values:
        keys.check_url(values["SUPABASE_URL"])
    if "SUPABASE_ANON_KEY" in values:
        keys.check_key("anon key", values["SUPABASE_ANON_KEY"], "anon")
    if "SUPABASE_SERVICE_ROLE_KEY" in values:
        keys.check_key("service key", values["SUPABASE_SERVICE_ROLE_KEY"], "service_role")
