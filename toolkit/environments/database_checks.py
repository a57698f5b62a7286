"""What a database tells of itself and of the way to it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import connect, describe, parse, redact
from toolkit.environments.items import Item, failed, passed, refused, warned
from toolkit.environments.record import recorded
from toolkit.environments.way import Way, way_of
from toolkit.errors import MeterledgerError
from toolkit.settings import LOCAL, Environment

OLDEST_MAJOR = 15
# libpq's modes that fall back to a connection in the clear when a man in the middle says so.
_FALLS_BACK = ("disable", "allow", "prefer")
_ROLE = (
    "select current_user::text, r.rolsuper or r.rolbypassrls "
    "from pg_catalog.pg_roles as r where r.rolname = current_user"
)
_ZONE = "select z.name from pg_catalog.pg_timezone_names as z where z.name = %s"

Connection = psycopg.Connection[TupleRow]


def database_items(environment: Environment, connect_timeout: int) -> Iterator[Item]:
    """Look at the URL, then at what answers under it.

    Args:
        environment: whose DATABASE_URL is meant.
        connect_timeout: seconds to wait for the server.
    """
    url = environment.database_url
    if url is None:
        yield failed(
            "database url",
            "DATABASE_URL is missing",
            f"write DATABASE_URL=postgresql://… (direct or session pooler) into "
            f".env.{environment.name}",
        )
        return
    try:
        where = describe(url)
        yield passed("database url", where)
        connection = connect(
            url,
            autocommit=True,
            application_name="meterledger env",
            prepare=False,
            connect_timeout=connect_timeout,
        )
    except MeterledgerError as error:
        known = "connection" if _parses(url) else "database url"
        yield refused(known, error)
        return
    with connection:
        for name, look in _LOOKS.items():
            yield _tried(name, look, connection, environment)
    yield _way(url)


def _parses(url: str) -> bool:
    try:
        parse(url)
    except MeterledgerError:
        return False
    return True


Look = Callable[[Connection, Environment], Item]


def _tried(name: str, look: Look, connection: Connection, environment: Environment) -> Item:
    try:
        return look(connection, environment)
    except psycopg.Error as error:
        return failed(
            name,
            f"the server refused: {redact(str(error.diag.message_primary or error))}",
            "connect as the owner of the ledger, on Supabase the role postgres, and check again",
        )


def _server(connection: Connection, environment: Environment) -> Item:
    major = connection.info.server_version // 10_000
    found = f"PostgreSQL {connection.info.parameter_status('server_version')}"
    if major < OLDEST_MAJOR:
        return failed(
            "connection", f"{found} is too old", f"upgrade to PostgreSQL {OLDEST_MAJOR} or newer"
        )
    if connection.execute("select pg_is_in_recovery()").fetchone() == (True,):
        return warned(
            "connection",
            f"{found}, a replica: it can be looked at, and takes no writes",
            f"point DATABASE_URL of .env.{environment.name} at the primary",
        )
    return passed("connection", found)


def _role(connection: Connection, _: Environment) -> Item:
    row = connection.execute(_ROLE).fetchone()
    name, bypasses = row if row is not None else ("?", False)
    if bypasses:
        return passed("role", f"{name}, which row level security does not bind")
    return failed(
        "role",
        f"row level security binds {name}: it would see its own rows for all there are",
        "connect as a role that bypasses it and owns the tables, on Supabase postgres",
    )


def tls_item(connection: Connection, environment: Environment) -> Item:
    """Whether what travels is encrypted, and whether it must be."""
    if connection.pgconn.ssl_in_use:
        mode = parse(environment.database_url or "").get("sslmode", "prefer")
        if mode in _FALLS_BACK:
            return warned(
                "tls",
                f"in use, but sslmode={mode} would do without",
                "add sslmode=require (better: verify-full with the project's certificate) to "
                "DATABASE_URL",
            )
        return passed("tls", f"in use, sslmode={mode}")
    if _this_machine(connection.info.host, connection.info.hostaddr):
        return passed("tls", "not in use, and not needed on this machine")
    return failed(
        "tls",
        "not in use: whoever listens on the network reads everything",
        "add sslmode=require to DATABASE_URL; where the server has no TLS, turn it on there",
    )


def _this_machine(host: str, address: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address or host).is_loopback
    except ValueError:
        return False


def _recorded(connection: Connection, environment: Environment) -> Item:
    found = recorded(connection)
    name = environment.name
    if found is None:
        return warned(
            "recorded name",
            "the database does not say which environment it is",
            f"once it has had the phases: meterledger env record {name}",
        )
    if name not in (found, LOCAL):
        return failed(
            "recorded name",
            f"the database says that it is {found!r}",
            f"check DATABASE_URL of .env.{name}; only if this database is a copy that is to be "
            f"{name} from now on: meterledger env record {name} --replace {found}",
        )
    return passed("recorded name", found)


def _time_zone(connection: Connection, environment: Environment) -> Item:
    zone = environment.time_zone
    confirmed = _confirmed_zone(connection)
    if zone is None:
        if confirmed is not None:
            return passed("time zone", f"{confirmed}, confirmed in the database")
        return warned(
            "time zone",
            "METERLEDGER_TIME_ZONE is missing, and the data migration stops without one",
            "write the zone that the app's users live by, for example "
            f"METERLEDGER_TIME_ZONE=Asia/Jakarta, into .env.{environment.name}",
        )
    if connection.execute(_ZONE, (zone,)).fetchone() is None:
        return failed(
            "time zone",
            f"the server knows no time zone {zone!r}",
            "write a name such as Asia/Jakarta, see pg_timezone_names",
        )
    if confirmed not in (None, zone):
        return failed(
            "time zone",
            f"{zone} here, and {confirmed} is confirmed in the database",
            "find out which one the app's users live by; it cannot change while there are "
            "migrated events",
        )
    return passed("time zone", zone)


def _confirmed_zone(connection: Connection) -> str | None:
    there = connection.execute("select to_regclass('ledger.settings') is not null").fetchone()
    if there != (True,):
        return None
    row = connection.execute("select s.time_zone from ledger.settings as s").fetchone()
    return str(row[0]) if row is not None and row[0] is not None else None


def _way(url: str) -> Item:
    try:
        way = way_of(url)
    except MeterledgerError as error:
        return refused("pooler", error)
    if way is Way.TRANSACTION:
        return failed(
            "pooler",
            "a transaction pooler, through which locks and settings of a session leak or vanish",
            "use the direct host, or the session pooler (port 5432), in DATABASE_URL",
        )
    return passed("pooler", "a direct connection" if way is Way.DIRECT else "a session pooler")


_LOOKS: dict[str, Look] = {
    "connection": _server,
    "role": _role,
    "tls": tls_item,
    "recorded name": _recorded,
    "time zone": _time_zone,
}
