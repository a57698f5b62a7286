"""How an isolation report reads, on every medium: the matrix in letters, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from toolkit.isolation.access import ALL, NO, NONE, ONCE, OWN
from toolkit.isolation.report import IsolationReport, Kind, Row, Section

LETTERS = {
    "select": "s",
    "insert": "i",
    "update": "u",
    "delete": "d",
    "execute": "x",
    "usage": "g",
    "create": "c",
}
REFUSED, NOTHING, BROKEN, UNKNOWN = "·", "-", "!", "?"
_ROW_OPERATIONS = ("select", "insert", "update", "delete")
# In the order in which a matrix shows them; every operation keeps its place in a cell.
_OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "schema": ("usage", "create"),
    "table": _ROW_OPERATIONS,
    "view": _ROW_OPERATIONS,
    "materialized view": ("select",),
    "function": ("execute",),
    "sequence": ("usage",),
}
_PLURALS = {
    "schema": "schemas",
    "table": "tables",
    "view": "views",
    "materialized view": "materialized views",
    "function": "functions",
    "sequence": "sequences",
}
_WORDS = {
    OWN: "own rows",
    ONCE: "own row, once",
    ALL: "everybody's",
    NONE: "nothing comes of it",
    NO: "refused",
}

# What stands in a cell, and what it means; both renderings show it beside the matrix.
LEGEND: tuple[tuple[str, str], ...] = (
    ("s i u d", "select, insert, update, delete"),
    ("x g c", "execute, usage, create"),
    ("lower-case", "own rows only (also where a user may have only one)"),
    ("UPPER-CASE", "everybody's rows; of what has no rows, the whole of it"),
    (NOTHING, "nothing comes of it: refused, or no row is found"),
    (REFUSED, "refused; alone in its cell: every operation is"),
    (f"{BROKEN}s", "BROKEN: the database does otherwise than declared; see the findings"),
)

MEANINGS: Mapping[Kind, str] = {
    Kind.LEAK: "somebody did what the declaration denies",
    Kind.LOST: "somebody could not do what the declaration allows",
    Kind.UNCLEAR: "a denial for another reason than it must have",
    Kind.VACUOUS: "a denial whose allowed twin did not succeed: it proves nothing",
    Kind.UNNAMED: "an object or a right that the declaration does not name",
    Kind.GONE: "a rule without its object",
    Kind.WEAK: "a guard that is missing or not as it must be",
}


class Standing(StrEnum):
    """The verdict. PARTIAL: nothing was found, by a proof that is not whole."""

    ISOLATED = "isolated"
    PARTIAL = "isolated as far as it was proven"
    OPEN = "not isolated"


@dataclass(frozen=True)
class Letter:
    """One operation in a cell.

    Attributes:
        operation: its name.
        text: what the cell shows for it.
        words: the same without signs.
        broken: whether the database does otherwise than declared.
    """

    operation: str
    text: str
    words: str
    broken: bool


@dataclass(frozen=True)
class Cell:
    """What one identity may do with one object."""

    letters: tuple[Letter, ...]

    @property
    def broken(self) -> bool:
        """Whether any operation is."""
        return any(letter.broken for letter in self.letters)

    @property
    def closed(self) -> bool:
        """Whether every operation is refused."""
        return all(letter.text == REFUSED for letter in self.letters)

    @property
    def wide(self) -> bool:
        """Whether an operation reaches everybody's rows."""
        return any(letter.text.strip(BROKEN).isupper() for letter in self.letters)

    @property
    def text(self) -> str:
        """As the matrix shows it."""
        return REFUSED if self.closed else "".join(letter.text for letter in self.letters)

    @property
    def words(self) -> str:
        """The same in words."""
        if self.closed:
            return "everything refused"
        return "; ".join(letter.words for letter in self.letters)


def cell(row: Row, identity: str) -> Cell:
    """One cell of the matrix; an operation that the row does not speak of is refused."""
    reach = row.reach.get(identity, {})
    return Cell(
        tuple(
            _letter(operation, reach.get(operation, NO), (identity, operation) in row.broken)
            for operation in _operations(row)
        )
    )


def identities(report: IsolationReport) -> dict[str, str]:
    """Every identity, in the order of the columns: name → who that is.

    Also those that only the matrix knows: nothing that it says may fall out of the picture.
    """
    named = dict(report.identities)
    for row in report.matrix:
        for name in (*row.reach, *sorted(name for name, _ in row.broken)):
            named.setdefault(name, "")
    return named


def role(report: IsolationReport, identity: str) -> str:
    """The database role of an identity, from details["roles"]; empty where it is not told."""
    roles = report.details.get("roles", {})
    return str(roles.get(identity, "")) if isinstance(roles, Mapping) else ""


def grouped(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows by kind, under its plural: known kinds first, then others as they come."""
    groups: dict[str, list[Row]] = {plural: [] for plural in _PLURALS.values()}
    for row in rows:
        groups.setdefault(_PLURALS.get(row.kind, row.kind), []).append(row)
    return {plural: members for plural, members in groups.items() if members}


# What every proof of a database has; the API and the advisors are asked for.
_ALWAYS = (Section.PHASES, Section.COVERAGE, Section.PROBES, Section.ATTACKS, Section.LINTS)


def gaps(report: IsolationReport) -> tuple[str, ...]:
    """What keeps the proof from being whole, one phrase each."""
    ran = {part.section for part in report.parts}
    tally = report.tally
    found = [f"{part.section} skipped: {part.skipped}" for part in report.parts if part.skipped]
    found += [f"{section} missing from this report" for section in _ALWAYS if section not in ran]
    if not tally.probes:
        found.append("no probe was made")
    if tally.vacuous:
        found.append(f"{tally.vacuous:,} of the denials prove nothing: their twin failed")
    if tally.failed and report.isolated:
        found.append(f"{tally.failed:,} of the probes did not end as declared")
    return tuple(found)


def standing(report: IsolationReport) -> Standing:
    """The verdict."""
    if not report.isolated or any(row.broken for row in report.matrix):
        return Standing.OPEN
    return Standing.PARTIAL if gaps(report) else Standing.ISOLATED


def verdict(report: IsolationReport) -> str:
    """The verdict in one sentence."""
    judged = standing(report)
    if judged is Standing.ISOLATED:
        return "Isolated: every probe ended as declared, and nothing else was found."
    if judged is Standing.PARTIAL:
        return f"Isolated as far as it was proven, which is not whole: {'; '.join(gaps(report))}."
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.by_kind().items())
    missing = f"; and the proof is not whole: {'; '.join(gaps(report))}" if gaps(report) else ""
    found = f"{_findings(report)} ({kinds})" if kinds else "cells of the matrix are broken"
    return f"Not isolated: {found}{missing}."


def summary(report: IsolationReport) -> str:
    """The counts and the verdict in one line."""
    tally = report.tally
    failed = f", {tally.failed:,} not as declared" if tally.failed else ""
    short = dict.fromkeys(part.section.value for part in report.parts if part.skipped)
    skipped = f"; skipped: {', '.join(short)}" if short else ""
    return (
        f"PostgreSQL {report.server_version}, {tally.probes:,} probes: {tally.denials:,} denials "
        f"each beside an allowed case, {tally.allowed:,} allowed, {tally.vacuous:,} vacuous"
        f"{failed}; {_findings(report)}: {standing(report)}{skipped}"
    )


def _findings(report: IsolationReport) -> str:
    count = len(report.findings)
    return f"{count:,} finding{'' if count == 1 else 's'}"


def _operations(row: Row) -> tuple[str, ...]:
    """Those of its kind, and whatever else it speaks of."""
    told = (operation for reach in row.reach.values() for operation in reach)
    broken = sorted(operation for _, operation in row.broken)
    return tuple(dict.fromkeys((*_OPERATIONS.get(row.kind, ()), *told, *broken)))


def _letter(operation: str, reach: str, broken: bool) -> Letter:
    letter = LETTERS.get(operation, f"[{operation}]")
    words = f"{operation}: {_WORDS.get(reach, f'declared as {reach!r}')}"
    shown = letter.upper() if reach == ALL else letter
    if broken:
        return Letter(operation, BROKEN + shown, f"BROKEN {words} is what was declared", True)
    signs = {OWN: shown, ONCE: shown, ALL: shown, NONE: NOTHING, NO: REFUSED}
    return Letter(operation, signs.get(reach, UNKNOWN), words, False)
