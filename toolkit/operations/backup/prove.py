"""The proof: the backup restored into a throw-away server, and compared with its manifest."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.bootstrap import DefaultPrivileges
from toolkit.connection import connect
from toolkit.local.binaries import Binaries
from toolkit.local.temporary import temporary_server
from toolkit.operations.backup.compare import Difference, Lost, compare
from toolkit.operations.backup.facts import Facts, read_facts
from toolkit.operations.backup.load import (
    Failure,
    Told,
    constraint_name,
    is_of_public_itself,
    load,
)
from toolkit.operations.backup.manifest import DUMP_FILE, USERS_FILE, Manifest
from toolkit.operations.backup.tools import find_server
from toolkit.operations.backup.users import read_users
from toolkit.rehearse import failures
from toolkit.rehearse.scratch import ScratchDatabase
from toolkit.rehearse.select import EXTENSIONS, Weight, weigh

_DATABASE = "proof"
RELAXED = "rows of the original break it, so it holds for new rows only"
# Objects of which a failed one makes nothing else missing.
_SINGLE = {"TRIGGER": "trigger ", "FK CONSTRAINT": "constraint "}
_WHOLE = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "FUNCTION", "PROCEDURE", "SEQUENCE"})


@dataclass(frozen=True)
class Proof:
    """What a restore of a backup gave.

    Attributes:
        differences: from the manifest; empty for a good backup.
        left_out: what this server cannot have and the rollout does not touch, with the reason.
    """

    differences: tuple[Difference, ...]
    left_out: tuple[str, ...]


@dataclass
class _Refused:
    """The entries that the proof's server refused, and which of them may be missing."""

    left_out: list[str] = field(default_factory=list)
    relations: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    relaxed: tuple[str, ...] = ()

    def note(self, failure: Failure) -> None:
        header = failure.header
        self.left_out.append(
            f"{header.type.lower()} {header.label}: {failures.reason(failure.error)}"
        )
        optional = weigh(header, failure.statements) is Weight.OPTIONAL
        if not optional or not failures.is_missing(failure.error):
            return
        if header.type in _WHOLE:
            # The catalog writes a function's arguments without the blanks.
            self.relations.add(header.label.replace(", ", ","))
        elif header.type in _SINGLE:
            name = constraint_name(header)
            self.names.add(name.replace("constraint ", _SINGLE[header.type], 1))


def prove(folder: Path, manifest: Manifest, tools: Binaries, told: Told) -> Proof:
    """Restore a backup into a temporary server and compare everything that the manifest says.

    Args:
        folder: the backup's.
        manifest: of it.
        tools: with a pg_restore that reads its dump.
        told: how far it is.

    Raises:
        OperationalError: there is no server of the version, the disk is full, or the dump cannot
            be read.
    """
    binaries = find_server(manifest.major, tools=tools)
    refused = _Refused()
    with temporary_server(binaries=binaries) as server:
        try:
            server.create_database(_DATABASE, DefaultPrivileges.GRANT_NOTHING)
        except psycopg.Error as error:
            raise failures.trouble(error, server.status().data, "the backup") from error
        url = server.admin_url(_DATABASE)
        with connect(url, autocommit=True, prepare=False) as connection:
            scratch = ScratchDatabase(connection)
            try:
                restore_copy(folder, manifest, tools, scratch, refused, told)
                found = facts_of_copy(connection)
            except psycopg.Error as error:
                raise failures.trouble(error, scratch.data_directory(), "the backup") from error
    lost = Lost(refused.relations, refused.names, refused.relaxed)
    majors = (manifest.major, binaries.major)
    differences = compare(manifest.facts, found, majors=majors)
    return Proof(
        tuple(difference for difference in differences if not lost.excuses(difference)),
        tuple(refused.left_out),
    )


def restore_copy(
    folder: Path,
    manifest: Manifest,
    tools: Binaries,
    scratch: ScratchDatabase,
    refused: _Refused,
    told: Told,
) -> None:
    """Fill the temporary database."""
    _make_extensions(scratch.connection, manifest)
    if USERS_FILE in manifest.files:
        read_users(scratch.connection, folder / USERS_FILE)

    def failed(failure: Failure) -> None:
        if failures.is_trouble(failure.error):
            raise failure.error
        refused.note(failure)

    dump, skip = folder / DUMP_FILE, is_of_public_itself
    refused.relaxed = load(dump, tools, scratch, skip=skip, failed=failed, told=told)
    refused.left_out.extend(f"{name}: {RELAXED}" for name in refused.relaxed)


def facts_of_copy(connection: psycopg.Connection[TupleRow]) -> Facts:
    """What the copy holds."""
    with connection.transaction():
        return read_facts(connection)


def _make_extensions(connection: psycopg.Connection[TupleRow], manifest: Manifest) -> None:
    """The harmless ones of the original that this server has; what misses one is listed later."""
    for name, schema in manifest.extensions.items():
        if name not in EXTENSIONS:
            continue
        with suppress(psycopg.Error), connection.transaction():
            connection.execute(
                sql.SQL("create schema if not exists {}").format(sql.Identifier(schema))
            )
            connection.execute(
                sql.SQL("create extension if not exists {} with schema {}").format(
                    sql.Identifier(name), sql.Identifier(schema)
                )
            )
