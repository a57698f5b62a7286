"""Reads pg_dump's SQL as a stream of entries: tables, their rows, constraints, grants.

pg_dump writes one comment before each entry ('-- Name: x; Type: TABLE; Schema: public; …').
Those comments are the structure, in every format once it is SQL. Only memory for one
statement, or one chunk of rows, is held.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from toolkit.errors import OperationalError
from toolkit.rehearse.lexer import SqlLexer

CHUNK_BYTES = 256 * 1024
# The database of a Supabase project; what pg_dumpall wrote of others is not ours.
CLUSTER_DATABASE = "postgres"

_HEADER = re.compile(
    rb"-- (?:(?P<kind>Data|Statistics) for )?Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); "
    rb"Schema: (?P<schema>.*?); Owner: (?P<owner>.*?)(?:; Tablespace: .*)?\s*"
)
_VERSION = re.compile(rb"-- Dumped (?P<what>from database|by pg_dump) version (?P<version>\S+)")
_BEGINS = re.compile(rb"-- PostgreSQL database (?:cluster )?dump\s*")
_ENDS = re.compile(rb"-- PostgreSQL database (?:cluster )?dump complete\s*")
_DATABASE = re.compile(rb'-- Database "(?P<name>.*)" dump\s*')
_WORD = rb'(?:"(?:[^"]|"")+"|[^\s."(]+)'
_COPY = re.compile(
    rb"COPY (?P<target>" + _WORD + rb"(?:\." + _WORD + rb")?)\s+(?:\(.*\)\s+)?FROM stdin;",
    re.DOTALL,
)
_COPY_ENDS = frozenset({b"\\.\n", b"\\.\r\n", b"\\."})
_BACKSLASH_STRINGS = re.compile(rb"SET standard_conforming_strings = (?P<value>on|off);")
_ENCODING = re.compile(rb"SET client_encoding = '(?P<name>[A-Za-z0-9_-]+)';")
# Where objects are stored, and as whom they are made, is this server's business.
_SETTING = re.compile(
    rb"SET (?:default_tablespace|default_table_access_method|default_with_oids) = .*;\s*"
    rb"|SET SESSION AUTHORIZATION .*;\s*"
)
# From 17.12 on a server keeps a mark of its own at each column, which an older pg_dump takes for an
# option, and which no server lets anybody set.
_COLUMN_OPTIONS = re.compile(
    rb"(?P<head>ALTER .+ ALTER COLUMN .+ SET \()(?P<options>.+)(?P<tail>\);\s*)"
)
_MARK = re.compile(rb'"?pg_attver"?=.*')
_STREAMED = frozenset({"TABLE DATA", "BLOBS", "BLOB", "STATISTICS DATA"})


class Source(Protocol):
    """Where the SQL comes from: a file, or pg_restore's output."""

    def readline(self) -> bytes:
        """The next line with its end; empty at the end of the stream."""

    def finish(self) -> None:
        """Called at the end of the stream; raises if it is not the dump's end."""


@dataclass(frozen=True)
class Header:
    """What pg_dump says about an entry; names are as the catalog has them, unquoted."""

    name: str
    type: str
    schema: str
    owner: str

    @property
    def table(self) -> str:
        """The table that a constraint, index, trigger or policy belongs to, its first word."""
        return self.name.split(" ", 1)[0]

    @property
    def label(self) -> str:
        """The name with its schema, for people."""
        return self.name if self.schema == "-" else f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Sql:
    """One or more whole statements."""

    text: bytes


@dataclass
class CopyData:
    """A COPY statement and its rows.

    Attributes:
        statement: 'COPY … FROM stdin'.
        target: the table as SQL, quoted where it must be.
        chunks: the rows as COPY's text, whole lines; must be read before anything else.
        rows: how many rows have been read from the dump so far.
    """

    statement: bytes
    target: bytes
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    rows: int = 0


@dataclass(frozen=True)
class Entry:
    """One entry of the dump; pieces() is read once, before the next entry."""

    header: Header
    pieces: Callable[[], Iterator[Sql | CopyData]]


class DumpReader:
    """Cuts the SQL of a dump into entries.

    Attributes:
        server_version: of the server that was dumped, such as '15.8'; None until read.
        pg_dump_version: of the pg_dump that wrote it.
        encoding: the dump's client_encoding, such as 'UTF8'.
    """

    def __init__(self, source: Source) -> None:
        self.server_version: str | None = None
        self.pg_dump_version: str | None = None
        self.encoding: str | None = None
        self._source = source
        self._lexer = SqlLexer()
        self._pending: bytes | None = None
        self._opened = self._closed = 0
        self._database: str | None = None

    def entries(self) -> Iterator[Entry]:
        """Every entry in the dump's order; parts that the caller leaves are passed over.

        Raises:
            OperationalError: the stream ends before the dump does.
        """
        while line := self._next():
            header = self._header(line)
            if header is None:
                self._preamble(line)
                continue
            pieces = self._pieces(header)
            if self._database in (None, CLUSTER_DATABASE):
                yield Entry(header, lambda taken=pieces: taken)  # type: ignore[misc]
            for _ in pieces:
                pass
        if self._opened == 0 or self._closed < self._opened:
            raise truncated("its last line is missing")

    def _next(self) -> bytes:
        if self._pending is not None:
            line, self._pending = self._pending, None
            return line
        line = self._source.readline()
        if not line:
            self._source.finish()
        return line

    def _header(self, line: bytes) -> Header | None:
        if not self._lexer.plain or not line.startswith(b"-- "):
            return None
        found = _HEADER.fullmatch(line)
        if found is None:
            return None
        kind = "STATISTICS DATA" if found["kind"] == b"Statistics" else _text(found["type"])
        return Header(_text(found["name"]), kind, _text(found["schema"]), _text(found["owner"]))

    def _preamble(self, line: bytes) -> None:
        """A line outside all entries: it is never run, only looked at."""
        if self._lexer.plain and line.startswith(b"\\"):
            return
        if self._lexer.plain and line.startswith(b"--"):
            self._remark(line)
        elif self._lexer.plain and (found := _BACKSLASH_STRINGS.match(line)):
            self._lexer.standard_strings = found["value"] == b"on"
        elif self._lexer.plain and (found := _ENCODING.match(line)):
            self.encoding = _text(found["name"])
        self._lexer.feed(line)

    def _remark(self, line: bytes) -> None:
        if _BEGINS.fullmatch(line):
            self._opened += 1
        elif _ENDS.fullmatch(line):
            self._closed += 1
        elif found := _DATABASE.fullmatch(line):
            self._database = _text(found["name"])
        elif found := _VERSION.match(line):
            if found["what"] == b"by pg_dump":
                self.pg_dump_version = _text(found["version"])
            else:
                self.server_version = _text(found["version"])

    def _pieces(self, header: Header) -> Iterator[Sql | CopyData]:
        buffer, start = bytearray(), 0
        while line := self._next():
            if self._lexer.plain:
                if self._ends_entry(line):
                    self._pending = line
                    break
                line = _unmarked(line)
                if line.startswith((b"--", b"\\")) or _is_setting(line, header):
                    continue  # comments, and commands meant for psql: \connect, \restrict
            self._lexer.feed(line)
            buffer += line
            if not self._lexer.plain or not line.rstrip().endswith(b";"):
                continue
            if copy := _copy_statement(buffer, start):
                yield from _sql(buffer[:start])
                yield from self._copied(copy)
                buffer.clear()
            elif header.type in _STREAMED and len(buffer) > CHUNK_BYTES:
                yield from _sql(buffer)
                buffer.clear()
            start = len(buffer)
        else:
            raise truncated(f"it ends within {header.type.lower()} {header.label}")
        yield from _sql(buffer)

    def _ends_entry(self, line: bytes) -> bool:
        return line.startswith(b"-- ") and (
            _HEADER.fullmatch(line) is not None or _ENDS.fullmatch(line) is not None
        )

    def _copied(self, copy: re.Match[bytes]) -> Iterator[CopyData]:
        data = CopyData(statement=copy.group().removesuffix(b";"), target=copy["target"])
        data.chunks = self._rows(data)
        yield data
        for _ in data.chunks:
            pass

    def _rows(self, data: CopyData) -> Iterator[bytes]:
        """COPY's lines in chunks. No row is its end mark: COPY doubles a row's backslashes."""
        lines: list[bytes] = []
        size = 0
        while (line := self._next()) not in _COPY_ENDS:
            if not line:
                raise truncated(f"it ends within the rows of {_text(data.target)}")
            lines.append(line)
            size += len(line)
            data.rows += 1
            if size >= CHUNK_BYTES:
                yield b"".join(lines)
                lines, size = [], 0
        if lines:
            yield b"".join(lines)


def truncated(how: str) -> OperationalError:
    """The error for a dump that stops before its end."""
    return OperationalError(
        f"the dump is truncated: {how}",
        next_step="copy the file again, or make the dump again and let pg_dump finish",
    )


def _copy_statement(buffer: bytearray, start: int) -> re.Match[bytes] | None:
    statement = buffer[start : start + 6].lstrip()
    return _COPY.fullmatch(bytes(buffer[start:]).strip()) if statement[:4] == b"COPY" else None


def _sql(text: bytes | bytearray) -> Iterator[Sql]:
    if text.strip():
        yield Sql(bytes(text))


def _is_setting(line: bytes, header: Header) -> bool:
    # Grants made by another role need their SET SESSION AUTHORIZATION.
    return header.type != "ACL" and _SETTING.fullmatch(line) is not None


def _unmarked(line: bytes) -> bytes:
    """The line without the server's mark of a column; a line end where it says nothing else."""
    if b"pg_attver" not in line or not (found := _COLUMN_OPTIONS.fullmatch(line)):
        return line
    kept = [option for option in found["options"].split(b", ") if not _MARK.fullmatch(option)]
    return found["head"] + b", ".join(kept) + found["tail"] if kept else b"\n"


def _text(name: bytes) -> str:
    return name.decode("utf-8", errors="replace")
