"""Where a line of SQL leaves us: between tokens, or inside a string, a body or a comment.

A dump's structure lies in comments and statement ends, and a user's note or a function's
body can imitate both. So every line outside COPY data is followed through its quotes.
"""

from __future__ import annotations

import re
from enum import Enum

_IDENTIFIER = rb"A-Za-z0-9_$\x80-\xff"
# What can end the plain state, in one pass. An E or $ inside a word opens nothing.
_OPENER = re.compile(
    rb"(?P<line>--)|(?P<block>/\*)|(?P<escape>(?<![" + _IDENTIFIER + rb"])[eE]')|(?P<quote>')"
    rb'|(?P<name>")|(?P<dollar>(?<![' + _IDENTIFIER + rb"])"
    rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$)"
)
_IN_QUOTE = re.compile(rb"''|'")
_IN_ESCAPE = re.compile(rb"\\.|''|'", re.DOTALL)
_IN_NAME = re.compile(rb'""|"')
_IN_BLOCK = re.compile(rb"/\*|\*/")


class _State(Enum):
    PLAIN = "plain"
    QUOTE = "'…'"
    ESCAPE = "E'…'"
    NAME = '"…"'
    DOLLAR = "$…$"
    BLOCK = "/*…*/"


_CLOSERS = {_State.QUOTE: _IN_QUOTE, _State.ESCAPE: _IN_ESCAPE, _State.NAME: _IN_NAME}


class SqlLexer:
    """Follows quotes, dollar quotes and comments over the lines of an SQL text."""

    def __init__(self) -> None:
        self.standard_strings = True
        self._state = _State.PLAIN
        self._tag = b""
        self._depth = 0

    @property
    def plain(self) -> bool:
        """True between tokens: what stands here is SQL, not text inside a literal."""
        return self._state is _State.PLAIN

    def feed(self, line: bytes) -> None:
        """Take one whole line, with its line end."""
        at, end = 0, len(line)
        while at < end:
            at = self._plain(line, at) if self._state is _State.PLAIN else self._inside(line, at)

    def _plain(self, line: bytes, at: int) -> int:
        found = _OPENER.search(line, at)
        if found is None or found.lastgroup == "line":
            return len(line)
        match found.lastgroup:
            case "block":
                self._state, self._depth = _State.BLOCK, 1
            case "escape":
                self._state = _State.ESCAPE
            case "quote":
                self._state = _State.QUOTE if self.standard_strings else _State.ESCAPE
            case "name":
                self._state = _State.NAME
            case _:
                self._state, self._tag = _State.DOLLAR, found.group()
        return found.end()

    def _inside(self, line: bytes, at: int) -> int:
        if self._state is _State.DOLLAR:
            return self._in_dollar(line, at)
        if self._state is _State.BLOCK:
            return self._in_block(line, at)
        for found in _CLOSERS[self._state].finditer(line, at):
            if len(found.group()) == 1:  # a doubled quote and an escape stay inside
                self._state = _State.PLAIN
                return found.end()
        return len(line)

    def _in_dollar(self, line: bytes, at: int) -> int:
        end = line.find(self._tag, at)
        if end < 0:
            return len(line)
        self._state = _State.PLAIN
        return end + len(self._tag)

    def _in_block(self, line: bytes, at: int) -> int:
        for found in _IN_BLOCK.finditer(line, at):
            self._depth += 1 if found.group() == b"/*" else -1
            if self._depth == 0:
                self._state = _State.PLAIN
                return found.end()
        return len(line)
