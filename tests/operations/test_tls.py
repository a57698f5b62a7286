"""TLS really in use: each way to the database takes it, and a wrong certificate stops each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.backups import Silent
from tests.support.database import Database
from tests.support.deploying import QUICK, Heard
from tests.support.servers import Databases, NoBinariesError, Template, binaries_of
from tests.support.tls import Certificate, self_signed, turn_on, with_mode
from toolkit.bootstrap import StartingPoint
from toolkit.connection import connect
from toolkit.environments.check import check_environment
from toolkit.environments.items import Grade
from toolkit.errors import OperationalError
from toolkit.local.temporary import temporary_server
from toolkit.operations.backup.make import make_backup
from toolkit.operations.deploy import run_deploy
from toolkit.operations.preflight import options
from toolkit.operations.preflight.run import preflight
from toolkit.operations.status import read_status
from toolkit.rollout import phases, push
from toolkit.settings import Environment


@dataclass(frozen=True)
class Secured:
    """A server that takes TLS alone.

    Attributes:
        database: an app before the rollout; its own URLs are refused.
        certificate: the server's.
        folder: with root.crt (the server's own), other.crt (of somebody else).
    """

    database: Database
    certificate: Certificate
    folder: Path

    def url(self, mode: str, root: str | None = None) -> str:
        return with_mode(self.database.url, mode, self.folder / root if root else None)


@pytest.fixture(scope="module", params=[17, 15])
def secured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    try:
        binaries = binaries_of(request.param)
    except NoBinariesError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("roots")
    certificate = self_signed()
    (folder / "root.crt").write_bytes(certificate.certificate)
    (folder / "other.crt").write_bytes(self_signed().certificate)
    with temporary_server(binaries=binaries) as server:
        database = Databases(server).make(Template(StartingPoint.DUAL_WRITE))
        turn_on(server, certificate)
        yield Secured(database, certificate, folder)


@pytest.mark.parametrize(
    ("mode", "root"),
    [("require", None), ("verify-ca", "root.crt"), ("verify-full", "root.crt")],
)
def test_each_mode_is_in_use(mode: str, root: str | None, secured: Secured) -> None:
    with connect(secured.url(mode, root)) as connection:
        assert connection.pgconn.ssl_in_use
        used = connection.execute(
            "select s.ssl, s.version from pg_stat_ssl as s where s.pid = pg_backend_pid()"
        ).fetchone()
    assert used is not None
    assert used[0] is True
    assert used[1].startswith("TLSv1.")


@pytest.mark.parametrize(
    ("mode", "grade"), [("prefer", "warn"), ("require", "pass"), ("verify-full", "pass")]
)
def test_a_check_tells_what_is_in_use(mode: str, grade: str, secured: Secured) -> None:
    environment = Environment("staging", secured.url(mode, "root.crt"))
    items = {item.name: item for item in check_environment(environment, ask_api=False).items}

    assert items["tls"].grade == grade
    assert f"sslmode={mode}" in items["tls"].found
    assert items["connection"].grade is Grade.PASS


def _backup(url: str, folder: Path) -> None:
    make_backup(url, "local", folder, verify=False, observer=Silent())


WAYS: dict[str, Callable[[str, Path], object]] = {
    "connect": lambda url, _: connect(url).close(),
    "preflight": lambda url, _: preflight(url, options("staging")),
    "deploy": lambda url, _: run_deploy(url, replace(QUICK, environment="local"), Heard()),
    "the CLI alone": lambda url, _: push(url),
    "backup": _backup,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("mode", "root"),
    [("verify-full", "other.crt"), ("verify-ca", "other.crt"), ("verify-full", "none.crt")],
)
def test_a_wrong_root_is_one_clear_error(
    mode: str, root: str, way: str, secured: Secured, tmp_path: Path
) -> None:
    with pytest.raises(OperationalError, match="is not the one that is trusted") as refused:
        WAYS[way](secured.url(mode, root), tmp_path)

    assert refused.value.exit_code == 3
    assert "sslrootcert" in refused.value.next_step
    assert "do not lower sslmode" in refused.value.next_step


def test_a_certificate_of_another_host_is_refused(secured: Secured, tmp_path: Path) -> None:
    url = secured.url("verify-full", "root.crt").replace("127.0.0.1", "localhost")
    with pytest.raises(OperationalError, match="is not the one that is trusted"):
        connect(url)
    with connect(url.replace("verify-full", "verify-ca")) as connection:
        assert connection.pgconn.ssl_in_use


def test_without_tls_on_the_server_the_error_says_so(make_database: Callable[[], Database]) -> None:
    with pytest.raises(OperationalError, match="offers no TLS") as refused:
        connect(with_mode(make_database().url, "require"))
    assert "turn TLS on there" in refused.value.next_step


def test_in_the_clear_the_server_refuses(secured: Secured) -> None:
    """So that everything else here did go by TLS."""
    with pytest.raises(OperationalError, match="refuses this way of connecting") as refused:
        connect(secured.url("disable"))
    assert "sslmode=require" in refused.value.next_step


@pytest.mark.parametrize(("mode", "root"), [("require", None), ("verify-full", "root.crt")])
def test_a_rollout_and_a_proven_backup_go_by_tls(
    mode: str, root: str | None, secured: Secured, tmp_path: Path
) -> None:
    """psycopg, the Supabase CLI and pg_dump each make connections of their own."""
    url = secured.url(mode, root)
    report = run_deploy(url, replace(QUICK, time_zone="UTC"), Heard())
    made = make_backup(url, "local", tmp_path, observer=Silent())

    # The second mode finds it deployed by the first one.
    assert len(report.applied) in (0, len(phases()))
    assert made.manifest.verified
    with connect(url, autocommit=True) as connection:
        assert read_status(connection, environment="local", url=url) is not None
