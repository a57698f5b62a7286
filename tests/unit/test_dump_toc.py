"""The reader cuts a dump into its entries, whatever the data imitates."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import OperationalError
from toolkit.rehearse.toc import CHUNK_BYTES, CopyData, DumpReader, Header, Sql

PREAMBLE = """--
-- PostgreSQL database dump
--

\\restrict abc

-- Dumped from database version 15.8 (Debian 15.8-1)
-- Dumped by pg_dump version 17.10

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

"""
END = """--
-- PostgreSQL database dump complete
--

\\unrestrict abc

"""
IMITATION = "--\n-- Name: fake; Type: TABLE; Schema: public; Owner: me\n--\n\\connect other\n\\.\n"


class TextSource:
    """A dump in memory."""

    def __init__(self, text: str) -> None:
        self._stream = io.BytesIO(text.encode())
        self.readline = self._stream.readline
        self.finished = False

    def finish(self) -> None:
        self.finished = True


@dataclass
class Taken:
    """What a reader gave for one entry."""

    header: Header
    sql: str
    rows: str
    count: int


def header(name: str, kind: str = "TABLE", schema: str = "public", data: bool = False) -> str:
    prefix = "Data for " if data else ""
    return f"--\n-- {prefix}Name: {name}; Type: {kind}; Schema: {schema}; Owner: postgres\n--\n\n"


def take(text: str) -> list[Taken]:
    return list(_taken(DumpReader(TextSource(text))))


def _taken(reader: DumpReader) -> Iterator[Taken]:
    for entry in reader.entries():
        taken = Taken(entry.header, "", "", 0)
        for piece in entry.pieces():
            if isinstance(piece, CopyData):
                taken.rows += b"".join(piece.chunks).decode()
                taken.count += piece.rows
            else:
                taken.sql += piece.text.decode()
        yield taken


def test_entries_come_with_their_headers_and_statements() -> None:
    dump = (
        PREAMBLE
        + header("readings")
        + "CREATE TABLE public.readings (\n    id uuid\n);\n\n\n"
        + "ALTER TABLE public.readings OWNER TO postgres;\n\n"
        + header("readings readings_pkey", "CONSTRAINT")
        + "ALTER TABLE ONLY public.readings\n    ADD CONSTRAINT readings_pkey PRIMARY KEY (id);\n\n"
        + END
    )
    table, constraint = take(dump)
    assert table.header == Header("readings", "TABLE", "public", "postgres")
    assert table.sql.startswith("\nCREATE TABLE public.readings (")
    assert table.sql.rstrip().endswith("OWNER TO postgres;")
    assert constraint.header.table == "readings"
    assert constraint.header.label == "public.readings readings_pkey"


def test_a_servers_own_mark_of_a_column_is_no_option() -> None:
    column = "ALTER TABLE ONLY public.readings ALTER COLUMN"
    body = f"CREATE FUNCTION f() AS $$\n{column} a SET (pg_attver=7);\n$$;\n"
    dump = (
        PREAMBLE
        + header("readings")
        + "CREATE TABLE public.readings (\n    id uuid\n);\n"
        + f"{column} id SET (pg_attver=26621536);\n"
        + f'{column} "odd SET (x" SET (n_distinct=5, pg_attver=26621536);\n'
        + f"{column} kwh SET (n_distinct=6);\n"
        + header("f()", "FUNCTION")
        + body
        + END
    )
    table, function = take(dump)
    assert [line for line in table.sql.splitlines() if line.startswith("ALTER")] == [
        f'{column} "odd SET (x" SET (n_distinct=5);',
        f"{column} kwh SET (n_distinct=6);",
    ]
    assert function.sql.strip() == body.strip()


def test_the_preamble_tells_versions_and_encoding() -> None:
    reader = DumpReader(TextSource(PREAMBLE + header("a") + "SELECT 1;\n" + END))
    list(_taken(reader))
    assert reader.server_version == "15.8"
    assert reader.pg_dump_version == "17.10"
    assert reader.encoding == "UTF8"


def test_headers_with_semicolons_tablespaces_and_toc_numbers_are_read() -> None:
    dump = (
        PREAMBLE
        + "--\n-- TOC entry 215 (class 1259 OID 16390)\n-- Dependencies: 5\n"
        + "-- Name: odd; Type: VIEW; Type: TABLE; Schema: my schema; Owner: o o; Tablespace: t\n"
        + "--\n\nSELECT 1;\n"
        + END
    )
    (entry,) = take(dump)
    assert entry.header == Header("odd; Type: VIEW", "TABLE", "my schema", "o o")


def test_rows_of_a_copy_are_not_read_as_sql() -> None:
    rows = "1\t--\n-- Name: fake; Type: TABLE; Schema: public; Owner: me\nit's\t$$ /*\n\\\\.\n"
    dump = (
        PREAMBLE
        + header("t", "TABLE DATA", data=True)
        + f"COPY public.t (a, b) FROM stdin;\n{rows}\\.\n\n\n"
        + header("after")
        + "SELECT 1;\n"
        + END
    )
    data, after = take(dump)
    assert data.rows == rows
    assert data.count == 4
    assert after.header.name == "after"


def test_copy_names_its_table_as_sql() -> None:
    target = 'public."Odd (t) "" FROM stdin;"'
    dump = PREAMBLE + header("t", "TABLE DATA") + f"COPY {target} (a) FROM stdin;\n1\n\\.\n" + END
    entry = next(DumpReader(TextSource(dump)).entries())
    piece = next(entry.pieces())
    assert isinstance(piece, CopyData)
    assert piece.target.decode() == target
    assert piece.statement.decode() == f"COPY {target} (a) FROM stdin"


def test_a_table_without_columns_can_be_copied() -> None:
    (entry,) = take(
        PREAMBLE + header("t", "TABLE DATA") + "COPY public.t  FROM stdin;\n\n\\.\n" + END
    )
    assert entry.count == 1


def test_rows_that_nobody_takes_are_passed_over() -> None:
    dump = (
        PREAMBLE
        + header("t", "TABLE DATA", data=True)
        + "COPY public.t (a) FROM stdin;\n1\n2\n\\.\n"
        + header("after")
        + "SELECT 1;\n"
        + END
    )
    assert [entry.header.name for entry in DumpReader(TextSource(dump)).entries()] == ["t", "after"]


def test_many_rows_come_in_chunks_of_whole_lines() -> None:
    row = "x" * 999 + "\n"
    count = 3 * CHUNK_BYTES // 1000
    dump = (
        PREAMBLE
        + header("t", "TABLE DATA", data=True)
        + f"COPY public.t (a) FROM stdin;\n{row * count}\\.\n"
        + END
    )
    entry = next(DumpReader(TextSource(dump)).entries())
    piece = next(entry.pieces())
    assert isinstance(piece, CopyData)
    chunks = list(piece.chunks)
    assert len(chunks) > 1
    assert all(chunk.endswith(b"\n") and len(chunk) < 2 * CHUNK_BYTES for chunk in chunks)
    assert piece.rows == count


def test_many_inserts_come_in_chunks_of_whole_statements() -> None:
    insert = "INSERT INTO public.t VALUES ('" + "it''s;\n" * 100 + "');\n"
    count = 3 * CHUNK_BYTES // len(insert)
    dump = PREAMBLE + header("t", "TABLE DATA", data=True) + insert * count + END
    entry = next(DumpReader(TextSource(dump)).entries())
    pieces = [piece.text.decode() for piece in entry.pieces() if isinstance(piece, Sql)]
    assert len(pieces) > 1
    assert all(piece.endswith("');\n") and piece.startswith("INSERT") for piece in pieces[1:])
    assert "".join(pieces).strip() == (insert * count).strip()


def test_commands_for_psql_and_storage_settings_are_dropped() -> None:
    dump = (
        PREAMBLE
        + header("a")
        + "CREATE TABLE public.a (\n    id uuid\n);\n\n"
        + "SET default_tablespace = '';\n\nSET default_table_access_method = heap;\n\n"
        + "SET SESSION AUTHORIZATION 'app';\n\n\\connect app\n\n"
        + header("TABLE a", "ACL")
        + "SET SESSION AUTHORIZATION app;\nGRANT ALL ON TABLE public.a TO anon;\n"
        + END
    )
    table, grants = take(dump)
    assert table.sql.split() == ["CREATE", "TABLE", "public.a", "(", "id", "uuid", ");"]
    assert "SET SESSION AUTHORIZATION app;" in grants.sql


def test_statements_before_the_first_entry_are_never_given() -> None:
    dump = (
        PREAMBLE + "DROP TABLE public.a;\nDROP DATABASE app;\n" + header("a") + "SELECT 1;\n" + END
    )
    (entry,) = take(dump)
    assert entry.sql.strip() == "SELECT 1;"


def test_of_a_cluster_dump_only_the_database_postgres_is_read() -> None:
    dump = (
        "--\n-- PostgreSQL database cluster dump\n--\n\n"
        + "CREATE ROLE anon;\nALTER ROLE anon WITH PASSWORD 'it''s';\n\n"
        + '--\n-- Database "template1" dump\n--\n\n\\connect template1\n\n'
        + PREAMBLE
        + header("not this one")
        + "SELECT 1;\n"
        + END
        + '--\n-- Database "postgres" dump\n--\n\n\\connect postgres\n\n'
        + PREAMBLE
        + header("this one")
        + "SELECT 2;\n\n"
        + END
        + "--\n-- PostgreSQL database cluster dump complete\n--\n\n"
    )
    (entry,) = take(dump)
    assert entry.header.name == "this one"
    assert entry.sql.strip() == "SELECT 2;"
    with pytest.raises(OperationalError, match="truncated"):
        take(dump.replace("cluster dump complete", ""))


def test_a_dump_with_windows_line_ends_is_read() -> None:
    dump = (
        PREAMBLE
        + header("t", "TABLE DATA", data=True)
        + "COPY public.t (a) FROM stdin;\n1\n\\.\n"
        + header("after")
        + "SELECT 1;\n"
        + END
    )
    data, after = take(dump.replace("\n", "\r\n"))
    assert data.count == 1
    assert after.sql.strip() == "SELECT 1;"


@pytest.mark.parametrize(
    "cut",
    [
        "",
        header("a") + "CREATE TABLE public.a (\n",
        header("a") + "SELECT 'open",
        header("t", "TABLE DATA", data=True) + "COPY public.t (a) FROM stdin;\n1\n",
        header("t", "TABLE DATA", data=True) + "COPY public.t (a) FROM stdin;\n1\n\\.\n",
    ],
)
def test_a_dump_without_its_end_is_truncated(cut: str) -> None:
    source = TextSource(PREAMBLE + cut)
    with pytest.raises(OperationalError, match="truncated") as error:
        list(_taken(DumpReader(source)))
    assert source.finished
    assert "copy the file again" in error.value.next_step


notes = st.lists(
    st.sampled_from([*IMITATION.splitlines(keepends=True), "'", '"', "$$", "/*", "\\", ";\n", END])
    | st.text(max_size=20),
    max_size=8,
).map("".join)


def _copy_row(note: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        note = note.replace(plain, escaped)
    return note + "\n"


def _insert(note: str) -> str:
    return "INSERT INTO public.t VALUES ('{}');\n".replace("{}", note.replace("'", "''"))


def _function(note: str) -> str:
    body = note.replace("$", "")
    return f"CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $_${body}$_$;\n"


def _comment(note: str) -> str:
    return "COMMENT ON TABLE public.t IS '" + note.replace("'", "''") + "';\n"


@given(st.lists(st.tuples(st.sampled_from(["copy", "insert", "function", "comment"]), notes)))
def test_no_text_of_a_user_changes_the_structure(entries: list[tuple[str, str]]) -> None:
    dump, expected = PREAMBLE, []
    for kind, note in entries:
        if kind == "copy":
            row = _copy_row(note)
            dump += header("t", "TABLE DATA") + f"COPY public.t (a) FROM stdin;\n{row}\\.\n\n"
            expected.append(("TABLE DATA", "", row))
            continue
        statement = {"insert": _insert, "function": _function, "comment": _comment}[kind](note)
        dump += header("t", "COMMENT") + statement
        expected.append(("COMMENT", statement, ""))
    got = [(e.header.type, e.sql.removeprefix("\n"), e.rows) for e in take(dump + END)]
    assert got == expected
