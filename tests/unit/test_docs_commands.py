"""Every command of the documentation is one that there is, with the options that it names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.doc_cli import complaint, top_level
from tests.support.doc_pages import Piece, anchors, blocks, links, pages, spans
from tests.support.doc_shell import alternatives, commands
from tests.support.processes import CHECKOUT

LANGUAGES = {"js", "mermaid", "python", "sh", "sql", "text", "toml"}
# What else a block may call, each with the reason why nothing more is asked of it here.
OTHER_PROGRAMS = {
    ".": "the shell's own: the file is made by make",
    "export": "the shell's own",
    "unset": "the shell's own",
    "mv": "the system's",
    "pg_dump": "PostgreSQL's: the walks run it",
    "python3": "the interpreter: the walks run it",
    "supabase": "a reader's own push, with a … for the URL: the migrations' tests push so",
}
# Spans that begin with the program's name and are no command.
NO_COMMANDS = {"meterledger deploy user@host pid": "the name of a session in pg_stat_activity"}
# Files that commands are given.
FILES = ("app.dump", "DUMP", "FILE", "app.toml", "staging.json")
# Folders whose pages share an entry of the index.
OF_ONE_ENTRY = {"bench", "decisions"}
COMMAND = re.compile(r"^(meterledger|make) ", re.M)
USAGE = "docs/reference/commands.md"  # whose usage lines are no commands
TARGETS = re.compile(r"^([a-z0-9-]+):.*?\n((?:\t.*\n)*)", re.M)


@pytest.fixture(autouse=True)
def _in_a_folder_with_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).touch()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_command_is_one_that_there_is(page: Path) -> None:
    assert list(faults(page)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("```sh\nmeterledger deploy staging --defer-backfil\n```\n", "--defer-backfil"),
        ("```sh\nX=1 make demo && meterledger rolout staging >out\n```\n", "rolout"),
        ('```sh\nsh -c x "$(meterledger local url --databse demo)"\n```\n', "--databse"),
        ("```sh\nmeterledger rollback staging\n```\n", "--to"),
        ("```sh\nmeterledger backfill staging --share much\n```\n", "much"),
        ("```sh\nmake tests\n```\n", "make tests"),
        ('```sh\nmake demo ARGS="--row 5"\n```\n', "--row"),
        ("```sh\nrm -rf build\n```\n", "rm"),
        ("```\nmeterledger demo\n```\n", "language"),
        ("```text\nmeterledger demo\n```\n", "is no text"),
        ("words `meterledger status staging --jsn` words", "--jsn"),
        ("words `meterledger env list | shov` words", "shov"),
        ("words `rollout --form validate` words", "--form"),
        ("words `make tests` words", "make tests"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, text: str, words: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{text}\n")
    assert words in "\n".join(faults(page))


def test_what_is_right_is_no_fault(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\n# a word\nmeterledger local psql --database x -c 'select 1;\nselect 2'  # and one\n"
        "cat=1 meterledger status staging --json > \\\n  out 2>/dev/null\n```\n"
        "`meterledger rollback production --to … --allow-loss N`, `meterledger promote`\n"
    )
    assert list(faults(page)) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [str(link) for link in links(page) if not leads(page, link.text)] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_file_of_ours_that_is_named_is_there(page: Path) -> None:
    named = re.compile(r"(?:docs|functions|supabase|tests|toolkit|tools)/[\w./-]*\w")
    missing = [
        str(span)
        for span in spans(page)
        if named.fullmatch(span.text) and not (CHECKOUT / span.text).exists()
    ]
    assert missing == []


def test_every_page_is_in_the_index() -> None:
    docs = CHECKOUT / "docs"
    listed = {(docs / link.text).resolve() for link in links(docs / "README.md")}
    found = {page for page in docs.rglob("*.md") if page.parent.name not in OF_ONE_ENTRY}
    assert found - listed == {docs / "README.md"}


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `page`, here\n")
    assert leads(page, "page.md#a-page-here")
    assert not leads(page, "page.md#a-page-there")
    assert not leads(page, "other.md")


def faults(page: Path) -> Iterator[str]:
    """What is wrong with the commands of a page."""
    for block in blocks(page):
        if block.language not in LANGUAGES:
            yield f"{block}: no language that is known"
        if block.language == "text" and COMMAND.search(block.text) and block.page != USAGE:
            yield f"{block}: a command is no text: ```sh"
        if block.language == "sh":
            yield from wrong(block, block.text)
    for span in spans(page):
        first = span.text.split()[0]
        if span.text not in NO_COMMANDS and (first in ("meterledger", "make") or short(span.text)):
            prefix = "meterledger " if short(span.text) else ""
            for text in alternatives(f"{prefix}{span.text}"):
                yield from wrong(span, text, mention=True)


def short(text: str) -> bool:
    """Whether a span is a command with options, without the program's name."""
    return text.partition(" ")[0] in top_level() and " --" in text


def wrong(piece: Piece, text: str, *, mention: bool = False) -> Iterator[str]:
    """What is wrong with each command of a text."""
    for command in commands(text):
        program, *words = command
        said: str | None = None
        if program == "meterledger":
            said = complaint(words, mention=mention) if words else None
        elif program == "make":
            said = complaint_of_make(words)
        elif program not in OTHER_PROGRAMS and not (CHECKOUT / program).is_file():
            said = f"{program} is not among OTHER_PROGRAMS"
        if said:
            yield f"{piece.page}:{piece.line}: {' '.join(command)}: {said}"


def complaint_of_make(words: list[str]) -> str | None:
    """Why make would not take these words."""
    recipes = dict(TARGETS.findall((CHECKOUT / "Makefile").read_text("utf-8")))
    targets = [word for word in words if "=" not in word]
    if unknown := [target for target in targets if target not in recipes]:
        return f"there is no target {unknown[0]}"
    for word in words:
        name, _, value = word.partition("=")
        if not value:
            continue
        recipe = "".join(recipes[target] for target in targets)
        if f"$({name})" not in recipe:
            return f"{name} is not used"
        called = re.search(r"meterledger (\w+) \$\(ARGS\)", recipe)
        if name == "ARGS" and called:
            return complaint([called[1], *shlex.split(value)])
    return None


def leads(page: Path, target: str) -> bool:
    """Whether a link of a page leads to a file that there is, and to a heading of it."""
    if re.match(r"https?:", target):
        return True
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    return there.exists() and (not anchor or anchor in anchors(there))
