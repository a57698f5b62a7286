"""Feeds a dump, as pg_restore reads it, to a database: the same way for a proof and for real."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg

from toolkit.local.binaries import Binaries
from toolkit.rehearse.source import open_dump
from toolkit.rehearse.toc import CopyData, DumpReader, Header, Sql

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*")

Told = Callable[[str, int], None]
"""Called while rows are loaded, with the table's name and its rows so far."""


class Sink(Protocol):
    """Where the dump goes."""

    def run(self, statements: bytes) -> int:
        """Run statements, all of them or none."""

    def copy(self, statement: bytes, chunks: Iterable[bytes]) -> int:
        """Load rows in COPY's text format."""


@dataclass(frozen=True)
class Failure:
    """An entry that the database refused.

    Attributes:
        header: what it is.
        statements: its SQL; empty for rows.
        error: the server's words.
    """

    header: Header
    statements: bytes
    error: psycopg.Error


def load(
    dump: Path,
    tools: Binaries,
    sink: Sink,
    *,
    skip: Callable[[Header], bool],
    failed: Callable[[Failure], None],
    told: Told,
) -> tuple[str, ...]:
    """Load every entry of a dump in its order.

    Args:
        dump: in custom format.
        tools: with a pg_restore that is not older than the pg_dump that made it.
        sink: of the database.
        skip: entries to pass over.
        failed: takes an entry that was refused; it raises, or the load goes on.
        told: how far it is.

    Returns:
        Foreign keys that rows of the original break, which hold for new rows only: as facts name
        them. The original's was never checked on them, or was switched off while they came.

    Raises:
        OperationalError: the dump cannot be read to its end.
    """
    relaxed: list[str] = []
    with open_dump(dump, tools) as source:
        for entry in DumpReader(source).entries():
            if skip(entry.header):
                continue
            text = b""
            try:
                for piece in entry.pieces():
                    if isinstance(piece, Sql):
                        text = piece.text
                        if _run(sink, entry.header, text):
                            relaxed.append(constraint_name(entry.header))
                    else:
                        sink.copy(piece.statement, _told(entry.header.label, piece, told))
            except psycopg.Error as error:
                failed(Failure(entry.header, text, error))
    return tuple(relaxed)


def constraint_name(header: Header) -> str:
    """As the facts name it."""
    table, _, name = header.name.partition(" ")
    return f"constraint {quoted(name)} of {quoted(header.schema)}.{quoted(table)}"


def quoted(name: str) -> str:
    """A name as the catalog's format('%I') writes it, but for keywords."""
    return name if _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def is_of_public_itself(header: Header) -> bool:
    """Whether an entry is about schema public and not about what is in it: the target has one."""
    return header.schema == "-" and (header.type, header.name) in {
        ("SCHEMA", "public"),
        ("COMMENT", "SCHEMA public"),
        ("ACL", "SCHEMA public"),
    }


def _run(sink: Sink, header: Header, text: bytes) -> bool:
    """Run an entry; True for a foreign key that was made for new rows only."""
    try:
        sink.run(text)
    except psycopg.errors.ForeignKeyViolation:
        if header.type != "FK CONSTRAINT":
            raise
        head, _, tail = text.rpartition(b";")
        sink.run(head + b" not valid;" + tail)
        return True
    return False


def _told(label: str, data: CopyData, told: Told) -> Iterator[bytes]:
    for chunk in data.chunks:
        yield chunk
        told(label, data.rows)
