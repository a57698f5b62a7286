"""The pages of the documentation: their blocks, what is code between words, their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import CHECKOUT

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^ *```$", re.S | re.M)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)


@dataclass(frozen=True)
class Piece:
    """A block, a span of code or a link.

    Attributes:
        page: where it stands, from the checkout on.
        line: in it, counted from 1.
        language: of a block; empty for what stands between words.
        text: without fences and back-quotes.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def pages() -> list[Path]:
    """README, CHANGELOG and everything under docs."""
    return [
        *(CHECKOUT / name for name in ("README.md", "CHANGELOG.md")),
        *sorted((CHECKOUT / "docs").rglob("*.md")),
    ]


def blocks(page: Path) -> Iterator[Piece]:
    """Each fenced block of a page."""
    text = page.read_text("utf-8")
    for match in _FENCE.finditer(text):
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.M)
        yield _piece(page, text, match.start("code"), code, match["language"])


def spans(page: Path) -> Iterator[Piece]:
    """What stands between back-quotes, outside of blocks."""
    text = _without_blocks(page.read_text("utf-8"))
    for match in _SPAN.finditer(text):
        yield _piece(page, text, match.start(), match[1].replace("\\|", "|"))


def links(page: Path) -> Iterator[Piece]:
    """The targets of links, outside of blocks."""
    text = _without_blocks(page.read_text("utf-8"))
    for match in _LINK.finditer(text):
        yield _piece(page, text, match.start(), match[1])


def anchors(page: Path) -> set[str]:
    """What a link may name in a page after #, as GitHub makes it from headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(_without_blocks(page.read_text("utf-8"))):
        words = re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", ""))
        found.add(words.replace(" ", "-"))
    return found


def _without_blocks(text: str) -> str:
    """The text with its blocks blanked out, line for line."""
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def _piece(page: Path, text: str, at: int, code: str, language: str = "") -> Piece:
    name = str(page.relative_to(CHECKOUT)) if page.is_relative_to(CHECKOUT) else page.name
    return Piece(name, text.count("\n", 0, at) + 1, language, code)
