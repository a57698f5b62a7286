"""What an isolation proof says: outcomes of probes, findings, and the matrix over them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Section(StrEnum):
    """The parts of the proof, in the order in which they run."""

    PHASES = "phases"
    COVERAGE = "coverage"
    PROBES = "probes"
    ATTACKS = "attacks"
    LINTS = "lints"
    ADVISORS = "advisors"
    API = "api"


class Kind(StrEnum):
    """What is wrong.

    LEAK: somebody did what the declaration denies. LOST: somebody could not do what it
    allows. UNCLEAR: a denial for another reason than it must have. VACUOUS: a denial whose
    allowed twin did not succeed, so that it proves nothing. UNNAMED: an object or a right that
    the declaration does not name. GONE: a rule without its object. WEAK: a guard that is
    missing or not as it must be.
    """

    LEAK = "leak"
    LOST = "lost"
    UNCLEAR = "unclear"
    VACUOUS = "vacuous"
    UNNAMED = "unnamed"
    GONE = "gone"
    WEAK = "weak"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the declaration says.

    Attributes:
        section: which part of the proof found it.
        kind: see Kind.
        subject: the object, schema-qualified, or what else it is about.
        text: what is wrong, one sentence, without anybody's data.
        identity: as whom; empty where nobody acted.
        operation: select, insert, … or the attack's name; empty where nothing was done.
        reproduce: statements that show it, to be run by hand; empty where there are none.
        next_step: what to do about it.
    """

    section: Section
    kind: Kind
    subject: str
    text: str
    identity: str = ""
    operation: str = ""
    reproduce: str = ""
    next_step: str = ""


@dataclass(frozen=True)
class Tally:
    """How many probes a part of the proof made, and what they came to.

    Attributes:
        allowed: cases that must succeed, and did.
        denials: cases that must be denied, and were, each beside an allowed twin.
        vacuous: denials whose allowed twin did not succeed.
        failed: cases that did not end as declared.
    """

    allowed: int = 0
    denials: int = 0
    vacuous: int = 0
    failed: int = 0

    @property
    def probes(self) -> int:
        """All of them."""
        return self.allowed + self.denials + self.vacuous + self.failed

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.allowed + other.allowed,
            self.denials + other.denials,
            self.vacuous + other.vacuous,
            self.failed + other.failed,
        )


@dataclass(frozen=True)
class Part:
    """The outcome of one section.

    Attributes:
        section: which.
        tally: its probes; all zero where it only reads.
        findings: what it found.
        skipped: why it did not run, or not whole; empty where it did.
        seconds: how long it took.
        facts: what a reader of the report wants to know besides (waivers, versions).
    """

    section: Section
    tally: Tally = Tally()
    findings: tuple[Finding, ...] = ()
    skipped: str = ""
    seconds: float = 0.0
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One object's row of the matrix.

    Attributes:
        subject: the object, schema-qualified.
        kind: table, view, materialized view, function, sequence, schema.
        reach: identity → operation → what it may: own, all, none, no (see access.toml).
        broken: (identity, operation) where the database does otherwise.
    """

    subject: str
    kind: str
    reach: dict[str, dict[str, str]]
    broken: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class IsolationReport:
    """The whole proof of one database.

    Attributes:
        database: user@host:port/name, without secrets.
        server_version: for example 17.10.
        proven_at: ISO 8601, UTC.
        identities: name → who that is.
        matrix: one row an object.
        parts: one for each section, in the order of Section.
    """

    database: str
    server_version: str
    proven_at: str
    identities: dict[str, str]
    matrix: tuple[Row, ...]
    parts: tuple[Part, ...]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them."""
        return tuple(finding for part in self.parts for finding in part.findings)

    @property
    def tally(self) -> Tally:
        """The probes of all parts."""
        return sum((part.tally for part in self.parts), Tally())

    @property
    def isolated(self) -> bool:
        """True when nothing was found."""
        return not self.findings

    def by_kind(self) -> dict[str, int]:
        """How many findings there are of each kind."""
        return dict(Counter(finding.kind.value for finding in self.findings))
