"""The commands of a block of shell: enough of its grammar for what a page shows."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator

_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_HERE_DOCUMENT = re.compile(r"<<-?'?(?P<end>\w+)'?(?P<rest>[^\n]*)\n.*?^(?P=end)$", re.S | re.M)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_ENDS = frozenset({"&&", "||", "|", ";", "&", "(", ")", "{", "}"})
_REDIRECTIONS = frozenset({">", ">>", "<", ">&", "&>"})
_KEYWORDS = frozenset({"do", "then", "else", "if", "while", "until", "!", "exec", "time"})
# `a | b`, or `A|B`, in a span of code means either.
_EITHER = re.compile(r"(?<= )[^\s|]+(?: ?\| ?[^\s|]+)+")


def commands(code: str) -> Iterator[list[str]]:
    """Each simple command as its words, those within $(…) too, without what is set before it."""
    code = _HERE_DOCUMENT.sub(lambda match: match["rest"], code).replace("\\\n", " ")
    while match := _SUBSTITUTION.search(code):
        yield from commands(match[1])
        code = f"{code[: match.start()]}SUBSTITUTED{code[match.end() :]}"
    for line in _lines(code):
        words: list[str] = []
        for word in [*line, ";"]:
            if word in _ENDS:
                if command := _command(words):
                    yield command
                words = []
            else:
                words.append(word)


def alternatives(span: str) -> list[str]:
    """`env list | show` is `env list` and `env show`."""
    parts = [
        re.split(r" ?\| ?", part) if i % 2 else [part]
        for i, part in enumerate(re.split(f"({_EITHER.pattern})", span))
    ]
    return ["".join(words) for words in itertools.product(*parts)]


def _lines(code: str) -> Iterator[list[str]]:
    """The words of each line; a quoted text may go over several."""
    waiting = ""
    for line in code.splitlines():
        waiting += line
        lexer = shlex.shlex(waiting, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # a quotation that goes on
            waiting += "\n"
            continue
        yield words
        waiting = ""
    if waiting:
        raise ValueError(f"a quotation that nothing ends: {waiting}")


def _command(words: list[str]) -> list[str]:
    """Without assignments, keywords and redirections."""
    words = list(itertools.dropwhile(lambda w: bool(_ASSIGNMENT.match(w)) or w in _KEYWORDS, words))
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _REDIRECTIONS:
            skip = True
            if kept and kept[-1].isdigit():  # 2>file
                kept.pop()
        else:
            kept.append(word)
    return kept
