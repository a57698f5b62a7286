"""What a migration file holds, read and never run: statements, header, and what must not be there.

`supabase db push` runs a file as one implicit transaction, skips names that it does not know
without a word, and applies x.down.sql as an up migration; so the files are looked at before it
is let near them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.resources import supabase_folder

# One pass over the text; what is inside a literal or a comment is one token. A word is taken
# whole, so that an e or a $ inside it opens nothing.
_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*)
    | (?P<block>/\*)
    | (?P<text>[eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*"
        | (?P<tag>\$(?:[A-Za-z_\u0080-\U0010ffff]\w*)?\$).*?(?P=tag))
    | (?P<word>[A-Za-z_\u0080-\U0010ffff][\w$]*)
    | (?P<number>\d[\w.]*)
    | (?P<end>;)
    | (?P<meta>\\)
    | (?P<space>\s+)
    | (?P<open>['"])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")
_NAME = re.compile(r"(?P<version>\d+)_(?P<name>.+)\.sql")
_FIELD = re.compile(r"-- (?P<field>[A-Z][a-z]+): (?P<text>.+)")
_CONTINUED = re.compile(r"--   (?P<text>\S.*)")
_CONTROL = {"begin", "commit", "rollback", "end", "abort", "savepoint", "release", "start"}
_CONCURRENT = {"create", "drop", "reindex", "alter"}  # a refresh may share a transaction
_ALONE = ("vacuum", "alter system", "create database", "drop database", "create tablespace")
NO_TRANSACTION = "cannot share a transaction"


@dataclass(frozen=True)
class Statement:
    """One statement of a file.

    Attributes:
        text: as it stands there, from its first word to its last, comments inside included.
        line: where it begins, from 1.
        words: its bare words in lower case; what is in quotes is no word.
        canonical: its tokens with single spaces and no comments, to compare statements by.
        meta: a backslash stands outside of every literal: a command for psql.
    """

    text: str
    line: int
    words: tuple[str, ...]
    canonical: str
    meta: bool = False

    @property
    def first_line(self) -> str:
        """Enough of it to recognise it by."""
        return self.text.splitlines()[0] if self.text else ""

    @property
    def concurrent(self) -> bool:
        """It builds or drops beside running writers, in transactions of its own."""
        return bool(self.words) and self.words[0] in _CONCURRENT and "concurrently" in self.words

    @property
    def outside_transactions(self) -> bool:
        """The server refuses it inside a transaction, or it half-commits one."""
        return self.concurrent or " ".join(self.words[:2]).startswith(_ALONE)

    @property
    def controls_transaction(self) -> bool:
        """It is a begin, commit or rollback of its own."""
        first, second = (*self.words, "", "")[:2]
        return first in _CONTROL or (first, second) == ("prepare", "transaction")

    @property
    def copies_from_client(self) -> bool:
        """COPY … FROM STDIN: only psql can feed it."""
        return self.words[:1] == ("copy",) and ("from", "stdin") in zip(
            self.words, self.words[1:], strict=False
        )


@dataclass(frozen=True)
class MigrationFile:
    """One file of migrations/, inspected.

    Attributes:
        path: the file.
        version: its digits; empty where the name has none.
        name: what follows them.
        purpose: from the header comment.
        locks: from the header comment: what it takes and for how long.
        statements: in order.
        problems: why it must not be pushed, each a sentence; empty when it may.
    """

    path: Path
    version: str
    name: str
    purpose: str
    locks: str
    statements: tuple[Statement, ...]
    problems: tuple[str, ...]

    @property
    def concurrent(self) -> bool:
        """It works beside running writers, outside of a transaction."""
        return any(statement.concurrent for statement in self.statements)


def inspect_folder(folder: Path | None = None) -> tuple[MigrationFile, ...]:
    """Inspect all files of migrations/, in the order in which the CLI takes them.

    Args:
        folder: the project's supabase/ folder; the toolkit's own if left out.
    """
    migrations = (folder if folder is not None else supabase_folder()) / "migrations"
    found: list[MigrationFile] = []
    versions: dict[str, str] = {}
    for path in sorted(migrations.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        file = inspect_file(path)
        twin = versions.setdefault(file.version or path.name, path.name)
        if twin != path.name:
            problem = f"it has the version of {twin}, and the history can hold only one of them"
            file = replace(file, problems=(*file.problems, problem))
        found.append(file)
    return tuple(found)


def inspect_file(path: Path) -> MigrationFile:
    """Inspect one file, with its twin in verify/."""
    match = _NAME.fullmatch(path.name)
    version, name = (match["version"], match["name"]) if match else ("", path.name)
    problems = list(_problems_of_name(path, match is not None))
    try:
        text = path.read_bytes().decode("utf-8")
        statements = split(text)
        problems += _problems_of_statements(statements)
    except UnicodeDecodeError:
        text, statements = "", ()
        problems.append("it is no UTF-8 text")
    except UnfinishedTextError as error:
        text, statements = "", ()
        problems.append(str(error))
    header = _header(text)
    return MigrationFile(
        path=path,
        version=version,
        name=name,
        purpose=header.get("Purpose", ""),
        locks=header.get("Locks", ""),
        statements=statements,
        problems=tuple(problems),
    )


class UnfinishedTextError(ValueError):
    """A quote or a comment is opened and never closed."""


def split(text: str) -> tuple[Statement, ...]:
    """The statements of a text, without their semicolons; comments alone are none.

    Raises:
        UnfinishedTextError: a quote or a comment is never closed.
    """
    found: list[Statement] = []
    pending: list[tuple[str, str, int]] = []
    depth = 0  # of begin atomic … end and of case … end within it
    for kind, token, at in _tokens(text):
        if kind == "word":
            depth = _depth(depth, token.lower(), pending)
        if kind == "end" and depth == 0:
            found += _statement(text, pending)
            pending = []
        else:
            pending.append((kind, token, at))
    return (*found, *_statement(text, pending))


def canonical(text: str) -> tuple[str, ...]:
    """What a text does, whatever its comments and white space: its statements to compare."""
    return tuple(statement.canonical for statement in split(text))


def _depth(depth: int, word: str, pending: list[tuple[str, str, int]]) -> int:
    """How deep in the body of an SQL-standard function this word leaves us."""
    before = pending[-1][1].lower() if pending else ""
    if (word == "atomic" and before == "begin") or (depth and word == "case"):
        return depth + 1
    return depth - 1 if depth and word == "end" else depth


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and position of each token that is neither white space nor a comment."""
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None  # noqa: S101 - the last alternative takes any character
        kind = match.lastgroup or "other"
        kind = "text" if kind == "tag" else kind
        end = _end_of_block(text, at) if kind == "block" else match.end()
        if kind == "open" or (kind == "other" and _opens_body(text, at)):
            raise UnfinishedTextError(f"line {_line(text, at)}: a quote is never closed")
        if kind not in ("comment", "block", "space"):
            yield kind, text[at:end], at
        at = end


def _opens_body(text: str, at: int) -> bool:
    return re.match(r"\$(?:[A-Za-z_]\w*)?\$", text[at : at + 70]) is not None


def _end_of_block(text: str, at: int) -> int:
    """Where a block comment ends; they nest."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(text, at):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    raise UnfinishedTextError(f"line {_line(text, at)}: a comment is never closed")


def _statement(text: str, tokens: list[tuple[str, str, int]]) -> tuple[Statement, ...]:
    if not tokens:
        return ()
    begin, end = tokens[0][2], tokens[-1][2] + len(tokens[-1][1])
    return (
        Statement(
            text=text[begin:end],
            line=_line(text, begin),
            words=tuple(token.lower() for kind, token, _ in tokens if kind == "word"),
            canonical=" ".join(token for _, token, _ in tokens),
            meta=any(kind == "meta" for kind, _, _ in tokens),
        ),
    )


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _problems_of_name(path: Path, matches: bool) -> Iterator[str]:
    if not matches:
        yield "its name is no <digits>_<name>.sql, so the Supabase CLI would skip it silently"
    elif path.name.endswith(".down.sql"):
        yield "it is a down-file, which the Supabase CLI would apply as a migration"
    elif not (path.parents[1] / "verify" / path.name).is_file():
        yield f"it has no twin verify/{path.name}, so nobody can say whether it holds"


def _problems_of_statements(statements: tuple[Statement, ...]) -> Iterator[str]:
    for statement in statements:
        where = f"line {statement.line}"
        if statement.outside_transactions and len(statements) > 1:
            what = "CONCURRENTLY" if statement.concurrent else statement.words[0].upper()
            yield f"{where}: {what} {NO_TRANSACTION} with the file's other statements"
        if statement.controls_transaction:
            word = statement.words[0].upper()
            yield f"{where}: {word} breaks the one transaction that the file is pushed in"
        if statement.meta:
            yield f"{where}: a backslash command of psql, which only psql understands"
        if statement.copies_from_client:
            yield f"{where}: COPY … FROM STDIN, whose data only psql can send"


def _header(text: str) -> dict[str, str]:
    """The fields of the comment that the file begins with."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        field, more = _FIELD.fullmatch(line), _CONTINUED.fullmatch(line)
        if field is not None:
            last = field["field"]
            fields[last] = field["text"].strip()
        elif more is not None and last:
            fields[last] += f" {more['text'].strip()}"
        else:
            last = ""
    return fields
