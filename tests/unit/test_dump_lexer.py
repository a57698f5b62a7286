"""The lexer knows whether a line begins inside a literal, a body or a comment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.rehearse.lexer import SqlLexer


def is_plain_after(*lines: str) -> bool:
    lexer = SqlLexer()
    for line in lines:
        lexer.feed(line.encode() + b"\n")
    return lexer.plain


@pytest.mark.parametrize(
    "lines",
    [
        ["select 1;"],
        ["select 'it''s';"],
        [r"select 'ends with a backslash\';"],
        [r"select E'quote \' inside';"],
        ["select 'two", "lines';"],
        ['select "a""b";'],
        ["select $$it's$$;"],
        ["select $a$ $$ $b$ $a$;"],
        ["create function f() returns int", "as $f$", "-- it's", "$f$;"],
        ["/* it's /* nested */ still */ select 1;"],
        ["-- it's a comment"],
        ["select 1; -- it's"],
        ["select date'2026-01-01', type'x';"],
        ["select a$b$c, d$b$ from t;"],
        ["select $1, '$$';"],
    ],
)
def test_whole_statements_end_between_tokens(lines: list[str]) -> None:
    assert is_plain_after(*lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["select 'open"],
        [r"select E'open\'"],
        ['select "open'],
        ["select $$open"],
        ["select $a$ open $b$ $$"],
        ["select /* open /* closed */"],
        ["select 'open -- ", '$$ /* "'],
    ],
)
def test_open_literals_and_comments_are_inside(lines: list[str]) -> None:
    assert not is_plain_after(*lines)


def test_without_standard_strings_a_backslash_escapes() -> None:
    lexer = SqlLexer()
    lexer.standard_strings = False
    lexer.feed(rb"select 'a\';" + b"\n")
    assert not lexer.plain
    lexer.feed(b"';\n")
    assert lexer.plain


text = st.text(
    alphabet=st.sampled_from(list("a'\"$\\-/*\n;E_é ")) | st.characters(codec="utf-8"), max_size=60
)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _escaped(value: str) -> str:
    return "E'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _named(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _dollared(value: str) -> str:
    return "$tag$" + value.replace("$tag$", "") + "$tag$" if "$" not in value else _quoted(value)


@given(
    st.lists(st.tuples(st.sampled_from([_quoted, _escaped, _named, _dollared]), text), max_size=6)
)
def test_any_text_in_any_quotes_leaves_the_lexer_plain(pieces: list[tuple[object, str]]) -> None:
    statement = "select " + ", ".join(quote(value) for quote, value in pieces) + ";\n"  # type: ignore[operator]
    lexer = SqlLexer()
    for line in statement.encode().splitlines(keepends=True):
        lexer.feed(line)
    assert lexer.plain
