"""Scores a proof of isolation: which mutants of a database it finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import redact
from toolkit.errors import FindingsError, OperationalError
from toolkit.isolation.access import Access
from toolkit.isolation.report import Finding, Part, Section
from toolkit.mutation.model import Mutant, MutantKind

# Sections in which somebody acts; the others read the catalog alone.
DOING = frozenset({Section.PROBES, Section.ATTACKS, Section.API})
_SHOWN_FINDINGS = 20
# What may keep a mutant from a database: rows that violate it, what depends on the object, a
# right that postgres lacks in this version. Any other refusal is a defect of the mutant.
_INAPPLICABLE_CLASSES = ("23", "2B")
_INAPPLICABLE = ("42501",)


class Prover(Protocol):
    """What proves the database that the open transaction sees."""

    def __call__(
        self, connection: psycopg.Connection[TupleRow], access: Access, /
    ) -> tuple[Part, ...]:
        """The parts of the proof, with their findings."""


Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant.

    Attributes:
        mutant: which.
        killed_by: the sections that found something; empty where none did.
        inapplicable: the server's reason why it cannot be on this database; empty where it can.
    """

    mutant: Mutant
    killed_by: tuple[Section, ...] = ()
    inapplicable: str = ""

    @property
    def killed(self) -> bool:
        """Whether the proof found it."""
        return bool(self.killed_by)

    @property
    def survived(self) -> bool:
        """Whether it was there and nothing was found."""
        return not self.killed_by and not self.inapplicable

    @property
    def by_doing(self) -> bool:
        """Whether a probe or an attack found it, which needs no rule that foresaw it."""
        return not DOING.isdisjoint(self.killed_by)


@dataclass(frozen=True)
class Score:
    """The outcomes of mutants, and what they come to."""

    outcomes: tuple[Outcome, ...]

    @property
    def mutants(self) -> int:
        """All that were tried."""
        return len(self.outcomes)

    @property
    def killed(self) -> int:
        """Those that the proof found."""
        return sum(outcome.killed for outcome in self.outcomes)

    @property
    def by_doing(self) -> int:
        """Those that a probe or an attack found."""
        return sum(outcome.by_doing for outcome in self.outcomes)

    @property
    def by_reading(self) -> int:
        """Those that only a reading of the catalog found."""
        return self.killed - self.by_doing

    @property
    def survivors(self) -> tuple[Outcome, ...]:
        """Those that were there, and nothing was found."""
        return tuple(outcome for outcome in self.outcomes if outcome.survived)

    @property
    def inapplicable(self) -> tuple[Outcome, ...]:
        """Those that could not be on this database; neither killed nor survivors."""
        return tuple(outcome for outcome in self.outcomes if outcome.inapplicable)

    @property
    def percent(self) -> float:
        """Killed of those that could be applied, rounded down: 100 means all of them."""
        applied = self.mutants - len(self.inapplicable)
        return math.floor(1000 * self.killed / applied) / 10 if applied else 0.0

    @property
    def complete(self) -> bool:
        """Whether there were mutants, and every one that could be applied was killed."""
        return self.killed > 0 and not self.survivors

    def by_kind(self) -> dict[MutantKind, Score]:
        """The score of each kind that occurs, in the order of MutantKind."""
        kinds = {
            kind: Score(tuple(o for o in self.outcomes if o.mutant.kind is kind))
            for kind in MutantKind
        }
        return {kind: score for kind, score in kinds.items() if score.mutants}

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            **self._totals(),
            "kinds": {kind.value: score._totals() for kind, score in self.by_kind().items()},
            "survivors": [
                {
                    "name": outcome.mutant.name,
                    "kind": outcome.mutant.kind.value,
                    "subject": outcome.mutant.subject,
                    "statements": list(outcome.mutant.statements),
                }
                for outcome in self.survivors
            ],
            "inapplicable_mutants": {o.mutant.name: o.inapplicable for o in self.inapplicable},
        }

    def _totals(self) -> dict[str, float]:
        return {
            "mutants": self.mutants,
            "killed": self.killed,
            "killed_by_doing": self.by_doing,
            "killed_by_reading": self.by_reading,
            "survived": len(self.survivors),
            "inapplicable": len(self.inapplicable),
            "percent": self.percent,
        }


def score(
    connection: psycopg.Connection[TupleRow],
    access: Access,
    prove: Prover,
    chosen: Sequence[Mutant],
    on_progress: Progress | None = None,
) -> Score:
    """Apply each mutant, prove, and roll it back.

    Args:
        connection: of the role postgres, outside a transaction; left as it was.
        access: the declaration.
        prove: the proof that is scored.
        chosen: mutants of this database.
        on_progress: called with (done, total) after each mutant.

    Raises:
        FindingsError: the proof finds something without any mutant, so that what it finds
            with one would say nothing.
        OperationalError: a mutant is no valid SQL here, the connection broke, or the proof
            itself failed. None of this counts as a kill; the message names the mutant.
    """
    require_clean(connection, access, prove)
    outcomes = []
    for done, mutant in enumerate(chosen, start=1):
        outcomes.append(judge(connection, access, prove, mutant))
        if on_progress is not None:
            on_progress(done, len(chosen))
    return Score(tuple(outcomes))


def require_clean(connection: psycopg.Connection[TupleRow], access: Access, prove: Prover) -> None:
    """The proof must find nothing in the database as it is.

    Raises:
        FindingsError: it does.
        OperationalError: it failed.
    """
    with connection.transaction(force_rollback=True):
        try:
            parts = prove(connection, access)
        except Exception as error:
            raise _failed("the database without any mutant", error) from error
    found = [finding for part in parts for finding in part.findings]
    if found:
        raise FindingsError(
            f"the proof finds {len(found)} things in the database before any mutant",
            next_step="mend them first: meterledger isolation shows them",
            details=tuple(_line(finding) for finding in found[:_SHOWN_FINDINGS]),
        )


def judge(
    connection: psycopg.Connection[TupleRow], access: Access, prove: Prover, mutant: Mutant
) -> Outcome:
    """Apply one mutant, prove, roll it back; the database must be clean without it.

    Raises:
        OperationalError: see score().
    """
    with connection.transaction(force_rollback=True):
        reason = _apply(connection, mutant)
        if reason:
            return Outcome(mutant, inapplicable=reason)
        try:
            parts = prove(connection, access)
        except Exception as error:
            raise _failed(f"the mutant {mutant.name!r}", error) from error
    return Outcome(mutant, tuple(part.section for part in parts if part.findings))


def _apply(connection: psycopg.Connection[TupleRow], mutant: Mutant) -> str:
    """Run a mutant's statements; why they cannot be, where the database does not allow them."""
    try:
        with connection.transaction():
            for statement in mutant.statements:
                connection.execute(statement.encode())
    except psycopg.Error as error:
        state = error.sqlstate or ""
        reason = error.diag.message_primary or type(error).__name__
        if state.startswith(_INAPPLICABLE_CLASSES) or state in _INAPPLICABLE:
            return f"{reason} ({state})"
        raise OperationalError(
            f"the mutant {mutant.name!r} cannot be applied: {redact(reason)} {state}".rstrip(),
            next_step="report it as a defect, with the statements",
            details=mutant.statements,
        ) from error
    return ""


def _failed(where: str, error: Exception) -> OperationalError:
    text = redact(" ".join(str(error).split())) or "no message"
    return OperationalError(
        f"the proof failed on {where}: {type(error).__name__}: {text}",
        next_step="a proof that breaks off proves nothing: mend it, then score it again",
    )


def _line(finding: Finding) -> str:
    return f"{finding.section.value}: {finding.subject}: {finding.text}"
