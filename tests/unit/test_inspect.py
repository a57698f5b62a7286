"""What is told of a migration file without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.rollout.inspect import (
    MigrationFile,
    UnfinishedTextError,
    canonical,
    inspect_file,
    inspect_folder,
    split,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("migrations", "verify"):
        (tmp_path / name).mkdir()
    return tmp_path


def inspected(folder: Path, text: str, name: str = "1_planted.sql") -> MigrationFile:
    (folder / "migrations" / name).write_text(text, "utf-8")
    (folder / "verify" / name).write_text("select 1;")
    return inspect_file(folder / "migrations" / name)


@pytest.mark.parametrize(
    "text",
    [
        "select 'a;b'",
        "select E'it\\';s'",
        'select 1 as "a;b"',
        "select $$;$$",
        "do $x$ begin perform $$;$$; end $x$",
        "select 1 -- ; not here",
        "select /* ; /* ; */ ; */ 1",
        "select 'two''s;'",
        "select a$b$ from t",
        "select $1",
        "create function f() returns int language sql begin atomic"
        " select case when true then 1 end; select 2; end",
    ],
)
def test_a_semicolon_in_a_literal_ends_nothing(text: str) -> None:
    [first, second] = split(f"{text}\n; select 'next'")

    assert text.startswith(first.text)
    assert second.text == "select 'next'"


def test_statements_carry_their_lines_and_comments_alone_are_none() -> None:
    found = split("-- one\n\nselect 1;\n/* two */\n;;\n  select\n 2;\n-- end")

    assert [(one.text, one.line) for one in found] == [("select 1", 3), ("select\n 2", 6)]
    assert found[1].first_line == "select"


@pytest.mark.parametrize("text", ["select 'x", "select $$ x", "/* /* */", 'select "x'])
def test_what_is_never_closed_is_said_with_its_line(text: str) -> None:
    with pytest.raises(UnfinishedTextError, match=r"line 2: a (quote|comment) is never closed"):
        split(f"select 1;\n{text}")


def test_comments_and_white_space_do_nothing() -> None:
    assert canonical("select 1; -- x\nselect\t'a  b';") == canonical(
        "select /* y */ 1;select 'a  b'"
    )
    assert canonical("select 'a b'") != canonical("select 'a  b'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("create index concurrently i on t (a); select 1;", "line 1: CONCURRENTLY cannot share"),
        ("select 1;\nDROP INDEX CONCURRENTLY i;", "line 2: CONCURRENTLY cannot share"),
        ("select 1;\nvacuum t;", "line 2: VACUUM cannot share"),
        ("begin; select 1; commit;", "line 1: BEGIN breaks the one transaction"),
        ("select 1;\nstart transaction;", "line 2: START breaks"),
        ("select 1;\nrollback;", "line 2: ROLLBACK breaks"),
        ("\\set x 1\nselect 1;", "line 1: a backslash command"),
        ("select 1 \\gexec", "line 1: a backslash command"),
        ("copy t from stdin;\n1\n\\.\n", "line 1: COPY … FROM STDIN"),
        ("select 'x", "line 1: a quote is never closed"),
    ],
)
def test_what_the_cli_would_half_apply_is_a_problem(folder: Path, text: str, words: str) -> None:
    assert any(problem.startswith(words) for problem in inspected(folder, text).problems)


@pytest.mark.parametrize(
    "text",
    [
        "create index concurrently if not exists i on t (a);",
        "refresh materialized view concurrently v; select 1;",
        "do $$ begin commit; end $$;",
        "create function f() returns void language plpgsql as $$ begin end; $$; select 1;",
        "select 'begin; commit; \\x copy t from stdin'; -- begin; create index concurrently",
        "copy t to stdout;",
        "create table concurrently_built (a int); select 1;",
        'create index i on t ("concurrently"); select 1;',
    ],
)
def test_what_may_be_pushed_is_none(folder: Path, text: str) -> None:
    assert inspected(folder, text).problems == ()


def test_names_that_the_cli_would_skip_or_misuse(folder: Path) -> None:
    for name in ("1_fine.sql", "1_again.sql", "2_gone.down.sql", "notes.txt", "x_late.sql"):
        inspected(folder, "select 1;", name)
    (folder / "migrations" / "3_alone.sql").write_text("select 1;")
    (folder / "migrations" / ".hidden").touch()
    found = {file.path.name: " ".join(file.problems) for file in inspect_folder(folder)}

    assert found.pop("1_again.sql") == ""
    assert "has the version of 1_again.sql" in found.pop("1_fine.sql")
    assert "down-file" in found.pop("2_gone.down.sql")
    assert "no twin verify/3_alone.sql" in found.pop("3_alone.sql")
    assert all("skip it silently" in problem for problem in found.values())
    assert sorted(found) == ["notes.txt", "x_late.sql"]


def test_a_file_that_is_no_text(folder: Path) -> None:
    (folder / "migrations" / "1_x.sql").write_bytes(b"\xff\xfe")

    assert "it is no UTF-8 text" in inspect_file(folder / "migrations" / "1_x.sql").problems


def test_the_header_says_purpose_and_locks(folder: Path) -> None:
    file = inspected(
        folder,
        "-- Purpose: one,\n--   two\n-- Locks: none\n-- That is all.\n--   not more\nselect 1;\n"
        "-- Purpose: not here\n",
    )

    assert (file.purpose, file.locks) == ("one, two", "none")


def test_our_own_files_may_all_be_pushed() -> None:
    files = inspect_folder()

    assert len(files) >= 12
    assert [file.path.name for file in files if file.problems] == []
    assert all(file.purpose and file.locks and file.statements for file in files)
    assert [len(file.statements) for file in files if file.concurrent] == [1, 1, 1]
