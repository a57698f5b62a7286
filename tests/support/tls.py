"""TLS really in use: an embedded server with a certificate that the test has made."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.processes import wait_until
from toolkit.connection import connect
from toolkit.errors import OperationalError
from toolkit.local.server import Server


@dataclass(frozen=True)
class Certificate:
    """A self-signed one, which is its own root, with its key; both as PEM."""

    certificate: bytes
    key: bytes


def self_signed(host: str = "127.0.0.1") -> Certificate:
    """A certificate for one address, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def turn_on(server: Server, certificate: Certificate) -> None:
    """Have a running server take connections by TLS alone from now on."""
    data = server.status().data
    owner = data.stat()
    for name, content in (
        ("server.crt", certificate.certificate),
        ("server.key", certificate.key),
    ):
        file = data / name
        file.write_bytes(content)
        file.chmod(0o600)
        os.chown(file, owner.st_uid, owner.st_gid)
    with connect(server.admin_url(), autocommit=True) as connection:
        connection.execute("alter system set ssl = on")
        rules = data / "pg_hba.conf"
        rules.write_text(re.sub(r"(?m)^host\b", "hostssl", rules.read_text()))
        connection.execute("select pg_reload_conf()")
    wait_until(lambda: not _takes(server.admin_url()))


def _takes(url: str) -> bool:
    try:
        connect(url).close()
    except OperationalError:
        return False
    return True


def with_mode(url: str, mode: str, root: Path | None = None) -> str:
    """A URL of a test server with another sslmode, and the root to trust."""
    more = f"&sslrootcert={root}" if root is not None else ""
    return url.replace("sslmode=disable", f"sslmode={mode}") + more
