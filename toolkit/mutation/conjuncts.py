"""Splits SQL conditions at their top-level ANDs, and finds the WHERE clauses of a query.

No parser of SQL: a scanner that knows strings, quoted names, comments, parentheses and CASE,
which is enough for what Postgres deparses and for the bodies of SQL functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>\s+ | --[^\n]*
      | /\*(?:(?!/\*|\*/). | /\*(?:(?!/\*|\*/).)*\*/)*\*/)
  | (?P<string>[eE]'(?:[^'\\]|\\.|'')*' | (?:[uU]&|[bBxX])?'(?:[^']|'')*'
      | \$(?P<tag>[A-Za-z_]\w*|)\$.*?\$(?P=tag)\$)
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<word>[^\W\d][\w$]*)
  | (?P<number>\d[\w.]*)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = frozenset("(["), frozenset(")]")
# What may follow a condition at its own level.
_AFTER_WHERE = frozenset(
    (
        *("group", "having", "window", "order", "limit", "offset", "fetch", "for"),
        *("union", "intersect", "except", "returning"),
    )
)


@dataclass(frozen=True)
class Token:
    """A word, name, string or mark of a text.

    Attributes:
        kind: space, string, quoted, word, number or mark.
        text: as written; of a word in lower case.
        start: its first character's place in the text.
        end: the place after its last one.
        depth: how many parentheses and CASEs are open around it; a parenthesis itself
            stands outside.
    """

    kind: str
    text: str
    start: int
    end: int
    depth: int


def tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a text without white space and comments."""
    found: list[Token] = []
    depth = cases = 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        kind = "string" if kind == "tag" else kind
        if kind == "space":
            continue
        word = match.group().lower() if kind == "word" else match.group()
        ends_case = kind == "word" and word == "end" and cases > 0
        if ends_case or (kind == "mark" and word in _CLOSING):
            depth -= 1
            cases -= ends_case
        found.append(Token(kind, word, match.start(), match.end(), depth))
        begins_case = kind == "word" and word == "case"
        if begins_case or (kind == "mark" and word in _OPENING):
            depth += 1
            cases += begins_case
    return tuple(found)


def split(condition: str) -> tuple[str, ...]:
    """The conjuncts of a condition: one for each operand of its top-level ANDs.

    A condition with a top-level OR is one conjunct, since OR binds looser; the AND of a
    BETWEEN is none. Parentheses around the whole are taken off first.
    """
    condition = _bare(condition)
    here = [token for token in tokens(condition) if token.depth == 0 and token.kind == "word"]
    if any(token.text == "or" for token in here):
        return (condition,)
    cuts: list[Token] = []
    in_between = False
    for token in here:
        if token.text == "between":
            in_between = True
        elif token.text == "and":
            if not in_between:
                cuts.append(token)
            in_between = False
    starts = [0, *(cut.end for cut in cuts)]
    ends = [*(cut.start for cut in cuts), len(condition)]
    pairs = zip(starts, ends, strict=True)
    return tuple(condition[start:end].strip() for start, end in pairs)


def join(conjuncts: Iterable[str]) -> str:
    """The condition that holds where all of them do; true if there are none."""
    # A line's end, since a conjunct may end with a comment.
    return (
        " and ".join(
            f"({conjunct}\n)" if "--" in conjunct else f"({conjunct})" for conjunct in conjuncts
        )
        or "true"
    )


def without_each(condition: str) -> Iterator[tuple[str, str]]:
    """(conjunct, the condition without it), one after the other."""
    parts = split(condition)
    for place, part in enumerate(parts):
        yield part, join(parts[:place] + parts[place + 1 :])


@dataclass(frozen=True)
class Clause:
    """The condition of a WHERE in a text.

    Attributes:
        start: of the condition.
        end: the place after it.
        text: the condition.
    """

    start: int
    end: int
    text: str


def where_clauses(query: str) -> tuple[Clause, ...]:
    """The WHERE clauses of a query at its top level and in its CTEs, not in subqueries.

    Args:
        query: one or more statements; each UNION branch has its own clause.
    """
    found = tokens(query)
    queries = _query_levels(found)
    clauses = []
    for place, token in enumerate(found):
        if token.kind != "word" or token.text != "where" or place not in queries:
            continue
        end = next(
            (
                other.start
                for other in found[place + 1 :]
                if other.depth < token.depth or _ends_where(other, token.depth)
            ),
            len(query),
        )
        start = token.end + len(query[token.end : end]) - len(query[token.end : end].lstrip())
        text = query[start:end].rstrip()
        clauses.append(Clause(start, start + len(text), text))
    return tuple(clauses)


def words(text: str) -> frozenset[str]:
    """The names and key words of a text, lower-cased, strings and comments left out."""
    return frozenset(
        token.text.strip('"') for token in tokens(text) if token.kind in ("word", "quoted")
    )


def _query_levels(found: tuple[Token, ...]) -> frozenset[int]:
    """Places of tokens that stand directly in the query itself or in one of its CTEs."""
    inside: set[int] = set()
    # Whether each open parenthesis, or the text itself, holds a query of ours.
    stack = [True]
    for place, token in enumerate(found):
        if token.kind == "mark" and token.text in _OPENING:
            stack.append(stack[-1] and _opens_cte(found, place))
        elif token.kind == "mark" and token.text in _CLOSING and len(stack) > 1:
            stack.pop()
        elif stack[-1]:
            inside.add(place)
    return frozenset(inside)


def _opens_cte(found: tuple[Token, ...], place: int) -> bool:
    """Whether a parenthesis follows `as`, `as materialized` or `as not materialized`."""
    before = [token.text for token in found[max(0, place - 3) : place] if token.kind == "word"]
    while before and before[-1] in ("materialized", "not"):
        before.pop()
    return bool(before) and before[-1] == "as"


def _ends_where(token: Token, depth: int) -> bool:
    return token.depth == depth and (
        (token.kind == "mark" and token.text == ";")
        or (token.kind == "word" and token.text in _AFTER_WHERE)
    )


def _bare(condition: str) -> str:
    """Without parentheses that enclose the whole."""
    while True:
        condition = condition.strip()
        found = tokens(condition)
        outside = [token for token in found if token.depth == 0]
        if [token.text for token in outside] != ["(", ")"]:
            return condition
        condition = condition[found[0].end : found[-1].start]
