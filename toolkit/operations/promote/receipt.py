"""Receipts: what a rollout was proven to be, signed, so that production can demand it.

A receipt holds no secret. Its signature is HMAC-SHA256 under METERLEDGER_RECEIPT_KEY over the
canonical JSON of its body (keys sorted, no spaces, UTF-8).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from toolkit.errors import FindingsError, OperationalError, UsageError

KEY_VARIABLE = "METERLEDGER_RECEIPT_KEY"
SHORTEST_KEY = 32
MAX_AGE = timedelta(hours=24)
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Receipt:
    """What was proven of one environment.

    Attributes:
        environment: its name.
        database: user@host:port/name, without secrets.
        phases: version → SHA-256 of its file, in hex.
        fingerprint: SHA-256 over the catalog, in hex; empty where it was not taken.
        validation: valid, differences, pending, checks (name → verdict).
        isolation: isolated, probes, denials, vacuous, findings.
        versions: meterledger, server.
        git_commit: of the checkout that did it; empty where there is none.
        made_at: ISO 8601, UTC.
    """

    environment: str
    database: str
    phases: Mapping[str, str]
    fingerprint: str
    validation: Mapping[str, Any]
    isolation: Mapping[str, Any]
    versions: Mapping[str, str]
    git_commit: str
    made_at: str

    @property
    def green(self) -> bool:
        """Whether everything that was proven holds."""
        return bool(self.validation.get("valid")) and bool(self.isolation.get("isolated"))


def check_key(key: str | None) -> str:
    """The signing key, long enough.

    Raises:
        UsageError: it is missing or too short to be one.
    """
    if key is None or len(key) < SHORTEST_KEY:
        what = "is not set" if key is None else f"is shorter than {SHORTEST_KEY} characters"
        raise UsageError(
            f"{KEY_VARIABLE} {what}",
            next_step="make one: python -c 'import secrets; print(secrets.token_hex(32))', and "
            "give staging and production the same",
        )
    return key


def canonical(receipt: Receipt) -> bytes:
    """The bytes that are signed."""
    return json.dumps(
        asdict(receipt), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def sign(receipt: Receipt, key: str) -> str:
    """HMAC-SHA256 in hex."""
    return hmac.new(key.encode(), canonical(receipt), hashlib.sha256).hexdigest()


def require(
    receipt: Receipt,
    signature: str,
    key: str,
    *,
    environment: str,
    phases: Mapping[str, str],
    max_age: timedelta = MAX_AGE,
    now: datetime | None = None,
) -> None:
    """Refuse a receipt that does not vouch for what is about to be rolled out.

    Args:
        receipt: of the environment that comes before.
        signature: hex.
        key: shared by both.
        environment: whose receipt it must be.
        phases: version → checksum of the files at hand.
        max_age: how old it may be.
        now: stands in for the clock.

    Raises:
        FindingsError: forged, of another environment, red, too old, or of other files.
    """
    if not hmac.compare_digest(sign(receipt, key), signature):
        raise FindingsError(
            f"the receipt of {receipt.environment} is not signed with this {KEY_VARIABLE}",
            next_step=f"give both environments the same key, then: meterledger receipt "
            f"{environment}",
        )
    again = f"meterledger rollout {environment}"
    if receipt.environment != environment:
        raise FindingsError(
            f"the receipt is of {receipt.environment}, not of {environment}",
            next_step=f"take the receipt of {environment}, or make one: {again}",
        )
    if not receipt.green:
        raise FindingsError(
            f"{environment} was not proven: {_red(receipt)}",
            next_step=f"mend it, then: {again}",
        )
    age = (now or datetime.now(UTC)) - datetime.fromisoformat(receipt.made_at)
    if age > max_age or age < -_CLOCK_SKEW:
        raise FindingsError(
            f"the receipt of {environment} is of {receipt.made_at}: older than "
            f"{max_age.total_seconds() / 3600:g} hours, or from the future",
            next_step=f"prove it again: meterledger receipt {environment}",
        )
    other = sorted(
        {v for v in {*phases, *receipt.phases} if phases.get(v) != receipt.phases.get(v)}
    )
    if other:
        raise FindingsError(
            f"{environment} was proven with other files: {', '.join(other)}",
            next_step=f"roll these files out there first: {again}",
        )


def _red(receipt: Receipt) -> str:
    parts = []
    if waiting := receipt.validation.get("pending"):
        parts.append(f"the backfill is pending: {waiting} rows wait")
    elif not receipt.validation.get("valid"):
        parts.append(f"{receipt.validation.get('differences', '?')} differences in validation")
    if not receipt.isolation.get("isolated"):
        parts.append(f"{receipt.isolation.get('findings', '?')} findings in isolation")
    return " and ".join(parts)


def store(connection: psycopg.Connection[TupleRow], receipt: Receipt, signature: str) -> int:
    """Put it on record in its own database; its number."""
    row = connection.execute(
        "insert into ledger.receipts (environment, body, signature) values (%s, %s, %s) "
        "returning receipt_id",
        (receipt.environment, Jsonb(asdict(receipt)), signature),
    ).fetchone()
    return int(row[0]) if row else 0


def newest(connection: psycopg.Connection[TupleRow]) -> tuple[Receipt, str] | None:
    """The newest receipt on record with its signature; None where there is none."""
    there = connection.execute("select to_regclass('ledger.receipts')").fetchone()
    if there is None or there[0] is None:
        return None
    row = connection.execute(
        "select r.body, r.signature from ledger.receipts as r order by r.receipt_id desc limit 1"
    ).fetchone()
    return (_receipt(row[0], "ledger.receipts"), str(row[1])) if row else None


def write(path: Path, receipt: Receipt, signature: str) -> None:
    """Write it as a file, for a pipeline to keep.

    Raises:
        OperationalError: the file cannot be written.
    """
    text = json.dumps({"receipt": asdict(receipt), "signature": signature}, indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", "utf-8")
    except OSError as error:
        raise OperationalError(
            f"{path} cannot be written: {error.strerror}", next_step="name another file"
        ) from error


def read(path: Path) -> tuple[Receipt, str]:
    """A receipt's file.

    Raises:
        UsageError: there is none, or it is no receipt.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", next_step="name the receipt's file"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON", next_step="name the receipt's file") from error
    if not isinstance(content, dict) or not isinstance(content.get("signature"), str):
        raise UsageError(f"{path} is no receipt", next_step="name the receipt's file")
    return _receipt(content.get("receipt"), str(path)), content["signature"]


def _receipt(body: Any, where: str) -> Receipt:  # noqa: ANN401 - whatever somebody wrote
    try:
        receipt = Receipt(**body)
        if datetime.fromisoformat(receipt.made_at).tzinfo is None:
            raise ValueError(receipt.made_at)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{where} holds something that is no receipt", next_step="make one: meterledger receipt"
        ) from error
    return receipt
