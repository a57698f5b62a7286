"""The databases of a run are where it was asked to take them from, and not silently elsewhere."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from testcontainers.core.docker_client import DockerClient
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

from tests.support.database import Database
from tests.support.servers import MakeDatabase, default_major
from tests.support.source import Kind, source
from toolkit.connection import connect
from toolkit.local.server import Server

IDENTITY = "select system_identifier from pg_catalog.pg_control_system()"


def asked(database: Database, query: str) -> str:
    with database.admin() as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def in_the_container(database: Database) -> bool:
    """What is written into this process's container is what the server reads."""
    mine = {"label": f"{LABEL_SESSION_ID}={SESSION_ID}"}
    found = DockerClient().client.containers.list(filters=mine)
    assert len(found) == 1, "this process has started no container"
    word = secrets.token_hex(16)
    written = found[0].exec_run(["sh", "-c", f"echo {word} >/tmp/word && chmod a+r /tmp/word"])
    return (
        written.exit_code == 0
        and not Path("/tmp/word").exists()  # noqa: S108 - the container's, not ours
        and asked(database, "select pg_read_file('/tmp/word')").strip() == word
    )


def on_the_given_server(database: Database) -> bool:
    with connect(source().where) as connection:
        row = connection.execute(IDENTITY.encode()).fetchone()
    return row is not None and asked(database, IDENTITY) == str(row[0])


def in_the_data_folder(database: Database, server: Server) -> bool:
    return Path(asked(database, "show data_directory")) == server.status().data


def test_a_database_of_the_runs_version_is_where_it_was_asked_for(
    make_database: MakeDatabase, embedded: Callable[[int], Server]
) -> None:
    database = make_database()

    assert database.major == default_major()
    match source().kind:
        case Kind.GIVEN:
            assert on_the_given_server(database)
        case Kind.CONTAINER:
            assert in_the_container(database)
        case Kind.EMBEDDED:
            assert in_the_data_folder(database, embedded(default_major()))


def test_one_of_another_version_is_embedded(
    make_database: MakeDatabase, embedded: Callable[[int], Server]
) -> None:
    other = 15 if default_major() == 17 else 17
    database = make_database(major=other)

    assert database.major == other
    assert in_the_data_folder(database, embedded(other))
