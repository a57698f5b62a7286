"""A connection that is refused gives one clear error, and never a password."""

from __future__ import annotations

import socket
import traceback

import pytest

from toolkit.connection import connect
from toolkit.errors import EXIT_OPERATIONAL, OperationalError
from toolkit.local.server import Server

SECRET = "hushed-and-long"


def refusal(url: str) -> OperationalError:
    """The error, after making sure that nothing of it shows the password."""
    with pytest.raises(OperationalError) as refused:
        connect(url, connect_timeout=2).close()
    error = refused.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + error.next_step
    assert SECRET not in shown
    assert error.__cause__ is None
    assert error.exit_code == EXIT_OPERATIONAL
    return error


def test_a_wrong_password(server: Server) -> None:
    right = server.url()
    password = right.split(":")[2].split("@")[0]
    error = refusal(right.replace(password, SECRET))

    assert "password" in error.message
    assert "postgres@127.0.0.1" in error.message


def test_no_password(server: Server) -> None:
    right = server.url()
    password = right.split(":")[2].split("@")[0]

    assert "password" in refusal(right.replace(f":{password}@", "@")).message


def test_a_wrong_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = refusal(f"postgresql://postgres:{SECRET}@127.0.0.1:{port}/postgres")

    assert "nothing answers" in error.message
    assert "meterledger local start" in error.next_step


def test_a_wrong_host() -> None:
    error = refusal(f"postgresql://postgres:{SECRET}@nowhere.invalid:5432/postgres")

    assert "host of postgres@nowhere.invalid" in error.message


def test_a_wrong_database(server: Server) -> None:
    error = refusal(server.url("missing"))

    assert "database" in error.message
    assert "/missing" in error.message


def test_a_wrong_user(server: Server) -> None:
    # PostgreSQL says no more of an unknown user than of a wrong password.
    assert "password" in refusal(server.url(user="somebody")).message


def test_a_server_that_is_none() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        error = refusal(f"postgresql://postgres:{SECRET}@127.0.0.1:{port}/postgres")

    assert "cannot be reached" in error.message


def test_encryption_that_the_server_does_not_offer(server: Server) -> None:
    error = refusal(server.url().replace("sslmode=disable", "sslmode=require"))

    assert "offers no TLS" in error.message


def test_a_role_that_may_not_log_in(server: Server) -> None:
    assert refusal(server.url(user="anon")).next_step


def test_the_right_url_is_let_in(server: Server) -> None:
    with connect(server.url()) as connection:
        assert connection.execute("select current_user::text").fetchone() == ("postgres",)
        assert connection.execute("show application_name").fetchone() == ("meterledger",)


@pytest.mark.parametrize(("port", "prepares"), [("6543", None), ("5432", 5)])
def test_behind_a_transaction_pooler_nothing_is_prepared(
    server: Server, monkeypatch: pytest.MonkeyPatch, port: str, prepares: int | None
) -> None:
    monkeypatch.setattr("toolkit.connection.parse", lambda _: {"port": port})

    with connect(server.url()) as connection:
        assert connection.prepare_threshold == prepares
