"""The only module that opens database connections, and the only place that hides secrets."""

from __future__ import annotations

import re

import psycopg
from psycopg import conninfo
from psycopg.rows import TupleRow

from toolkit.errors import OperationalError, UsageError

CONNECT_TIMEOUT_SECONDS = 10
TRANSACTION_POOLER_PORT = "6543"
HIDDEN = "***"
_SHORTEST_SECRET = 3  # shorter ones would only make the rest unreadable

# A password may hold anything but white space, so it is taken greedily up to the last '@'
# of the word: hiding too much is fine, too little is not.
_URL_SECRET = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s:/@]*):\S*@", re.IGNORECASE)
_KEY_VALUE = re.compile(
    r"(?P<head>\b[\w-]*(?:passw(?:or)?d|secret|api_?key|role_key|anon_key|receipt_key|access_token)"
    r"[\"']?\s*[=:]\s*)"
    r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s&,;}]+)",
    re.IGNORECASE,
)
_JSON_WEB_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_SUPABASE_KEY = re.compile(r"\b(?:sb_secret|sbp|sb_publishable)_[\w-]+")


def connect(
    url: str,
    *,
    autocommit: bool = False,
    application_name: str = "meterledger",
    prepare: bool | None = None,
    connect_timeout: int = CONNECT_TIMEOUT_SECONDS,
) -> psycopg.Connection[TupleRow]:
    """Open a connection; the caller owns it and its transactions.

    Args:
        url: a postgresql:// URL or a key=value string.
        autocommit: each statement is its own transaction.
        application_name: what pg_stat_activity shows.
        prepare: whether psycopg may prepare statements on the server. None: yes, except
            on port 6543, where a transaction pooler hands each transaction another session.
        connect_timeout: seconds.

    Raises:
        UsageError: the URL cannot be parsed.
        OperationalError: the server refused or could not be reached. Neither error
            carries a password.
    """
    parts = parse(url)
    if prepare is None:
        prepare = parts.get("port") != TRANSACTION_POOLER_PORT
    try:
        return psycopg.connect(
            url,
            autocommit=autocommit,
            prepare_threshold=5 if prepare else None,
            application_name=application_name,
            connect_timeout=int(parts.get("connect_timeout", connect_timeout)),
        )
    except (psycopg.Error, UnicodeError) as error:
        # 'from None': the cause's text and frame hold the URL.
        raise _refused(parts, str(error)) from None


def parse(url: str) -> dict[str, str]:
    """The parts of a URL as libpq reads them.

    Raises:
        UsageError: it cannot be parsed, or a password that is not percent-encoded has
            spilled into the host's name. libpq's own message quotes the piece that it
            stumbled over, often of the password, so it is not repeated.
    """
    next_step = (
        "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with every special character "
        "of the password percent-encoded ('@' is %40, '/' is %2F, '#' is %23, '%' is %25)"
    )
    try:
        raw = conninfo.conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeError):
        raise UsageError("the database URL cannot be parsed", next_step=next_step) from None
    parts = {key: str(value) for key, value in raw.items() if value is not None}
    if _spills(url):
        raise UsageError("the database URL has an '@' out of place", next_step=next_step)
    if not all(port.isdigit() and 0 < int(port) < 65536 for port in _ports(parts)):
        raise UsageError("the database URL's port is no port number", next_step=next_step)
    return parts


def describe(url: str) -> str:
    """A URL without its secrets, for messages: user@host:port/database."""
    return _describe(parse(url))


def redact(text: str) -> str:
    """The text without passwords of URLs and key=value strings, tokens and API keys."""
    text = _URL_SECRET.sub(rf"\g<head>:{HIDDEN}@", text)
    text = _KEY_VALUE.sub(rf"\g<head>{HIDDEN}", text)
    text = _JSON_WEB_TOKEN.sub(HIDDEN, text)
    return _SUPABASE_KEY.sub(HIDDEN, text)


def _spills(url: str) -> bool:
    """Whether a password with a bare '@' or '/' has been taken for a host or a database."""
    _, scheme, rest = url.partition("://")
    if not scheme:
        return False
    authority, _, path = rest.partition("?")[0].partition("/")
    return authority.count("@") > 1 or "@" in path


def _ports(parts: dict[str, str]) -> list[str]:
    return [port for port in parts.get("port", "").split(",") if port]


def _describe(parts: dict[str, str]) -> str:
    host = parts.get("host") or parts.get("hostaddr") or "the default host"
    port = parts.get("port", "5432")
    return f"{parts.get('user', 'the default user')}@{host}:{port}/{parts.get('dbname', '')}"


# The server's and libpq's words for a failed connection, what to say, and what to do.
# libpq gives these no SQLSTATE, so words are all there is.
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed|no password supplied|SASL authentication failed",
        "the password of {who} is wrong or missing",
        "check the password in the URL; reset it in the project's database settings if it is lost",
    ),
    (
        r"resolve host|translate host name|Name or service not known",
        "the host of {who} is not known",
        "check the host's spelling and this machine's network",
    ),
    (
        r"database \"[^\"]*\" does not exist",
        "the database of {who} does not exist",
        "check the name after the last '/' of the URL",
    ),
    (
        r"role \"[^\"]*\" does not exist|Tenant or user not found",
        "the user of {who} does not exist",
        "check the user in the URL; poolers want USER.PROJECT",
    ),
    (
        r"Connection refused|Connection reset|server closed the connection",
        "nothing answers as PostgreSQL at {who}",
        "check host and port, and that the server runs; for the local one: meterledger local start",
    ),
    (
        r"timeout expired|timed out|Network is unreachable|No route to host",
        "{who} cannot be reached",
        "check host, port and firewall; a direct Supabase host may need IPv6 or the session pooler",
    ),
    (
        r"too many clients|remaining connection slots|MaxClients",
        "{who} has no connection left",
        "close other clients, or wait, and try again",
    ),
    (
        r"the database system is|not yet accepting",
        "{who} is starting up or shutting down",
        "try again in a few seconds",
    ),
    (
        r"certificate verify failed|root certificate file|does not match host name",
        "the certificate of {who} is not the one that is trusted",
        "check the host, and let sslrootcert in the URL name the project's own certificate (on "
        "Supabase: database settings, SSL); do not lower sslmode, somebody may be in between",
    ),
    (
        r"server does not support SSL",
        "{who} offers no TLS, and sslmode asks for it",
        "check host and port; where the server is yours, turn TLS on there",
    ),
    (
        r"pg_hba\.conf|SSL|sslmode|certificate",
        "{who} refuses this way of connecting",
        "check sslmode in the URL (hosted databases want sslmode=require)",
    ),
)


def _refused(parts: dict[str, str], text: str) -> OperationalError:
    who = _describe(parts)
    for pattern, message, next_step in _REFUSALS:
        if re.search(pattern, text):
            return OperationalError(message.format(who=who), next_step=next_step)
    line = redact(" ".join(text.split()))
    password = parts.get("password", "")
    if len(password) >= _SHORTEST_SECRET:
        line = line.replace(password, HIDDEN)
    return OperationalError(
        f"no connection to {who}: {line}",
        next_step="check every part of the database URL",
    )
