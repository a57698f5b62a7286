"""The code of a page of docs, and what each block says it prints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = re.compile(
    r"^## (?P<section>[^\n]*)$|^```(?P<language>js|python)\n(?P<code>.*?)^```$", re.S | re.M
)
_PRINTS = re.compile(r"^(?://|#) → (.*)$", re.M)


@dataclass(frozen=True)
class CodeBlock:
    """A block of code.

    Attributes:
        section: the heading of level two that it stands under.
        language: js or python.
        code: its text.
    """

    section: str
    language: str
    code: str

    @property
    def prints(self) -> list[Any]:
        """What it says that it prints, one JSON value a line."""
        return [json.loads(line) for line in _PRINTS.findall(self.code)]


def code_blocks(page: Path) -> Iterator[CodeBlock]:
    """The blocks of JavaScript and Python, in their order."""
    section = ""
    for match in _BLOCK.finditer(page.read_text("utf-8")):
        if match["language"]:
            yield CodeBlock(section, match["language"], match["code"])
        else:
            section = match["section"]
