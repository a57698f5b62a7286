"""What a cutover and a cutback would do, and what they did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

# What an operator vouches for, and what is meant by it.
TOPICS = {
    "upserts": "no client sends on conflict (id) or PUT to electricity_readings",
    "policies": "no client needs what the policies named here say beyond own rows",
    "functions": "the functions named here insert, update and delete as a view allows",
    "realtime": "no client follows electricity_readings through Realtime",
}


class Verdict(StrEnum):
    """What a finding does to the cutover."""

    REFUSE = "refuse"
    ACKNOWLEDGE = "acknowledge"
    MOVE = "move"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One line of ledger.cutover_findings().

    Attributes:
        topic: what it belongs to; what is to be acknowledged is acknowledged by this word.
        verdict: what it does to the cutover.
        subject: an object's name.
        text: one sentence.
        next_step: what to do about it.
    """

    topic: str
    verdict: Verdict
    subject: str
    text: str
    next_step: str

    def as_object(self) -> dict[str, str]:
        """For --json."""
        return {
            "topic": self.topic,
            "verdict": self.verdict.value,
            "subject": self.subject,
            "finding": self.text,
            "next_step": self.next_step,
        }


@dataclass(frozen=True)
class Standing:
    """The cutover that stands.

    Attributes:
        cutover_id: its number in ledger.cutovers.
        since: when it was made; `by`: by which role.
        contracted_at: when the archived table was emptied; None: it was not.
    """

    cutover_id: int
    since: datetime
    by: str
    contracted_at: datetime | None


@dataclass(frozen=True)
class CutoverPlan:
    """What a cutover meets; read in one snapshot.

    Attributes:
        database: without secrets.
        standing: the cutover that is done already, if one is; then there are no findings.
        acknowledged: topics that the operator vouches for.
        findings: in the order refuse, acknowledge, move, note.
    """

    database: str
    standing: Standing | None
    acknowledged: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """What no word of the operator removes."""
        return tuple(f for f in self.findings if f.verdict is Verdict.REFUSE)

    @property
    def unacknowledged(self) -> tuple[Finding, ...]:
        """What waits for the operator's word."""
        return tuple(
            f
            for f in self.findings
            if f.verdict is Verdict.ACKNOWLEDGE and f.topic not in self.acknowledged
        )

    @property
    def topics(self) -> tuple[str, ...]:
        """All that is to be acknowledged here, whether it was or not."""
        return tuple(sorted({f.topic for f in self.findings if f.verdict is Verdict.ACKNOWLEDGE}))

    @property
    def ready(self) -> bool:
        """Whether the switch may be made."""
        return not self.refusals and not self.unacknowledged

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "database": self.database,
            "cut_over": self.standing is not None,
            "cut_over_at": None if self.standing is None else self.standing.since.isoformat(),
            "ready": self.ready,
            "acknowledged": sorted(self.acknowledged),
            "to_acknowledge": sorted({f.topic for f in self.unacknowledged}),
            "findings": [found.as_object() for found in self.findings],
        }


@dataclass(frozen=True)
class CutoverReport:
    """What a cutover did.

    Attributes:
        plan: what it had said.
        already: it was done before; nothing was changed.
        cutover_id: its number in ledger.cutovers.
        views_moved: views of the app that read the new view now.
        rows: readings under the old name afterwards, as many as the projection holds.
        archived: rows of the archived table.
        attempts: how often the switch was tried.
        held_seconds: for how long writers and readers of electricity_readings waited, at most.
        seconds: in all.
    """

    plan: CutoverPlan
    already: bool
    cutover_id: int
    views_moved: int = 0
    rows: int = 0
    archived: int = 0
    attempts: int = 0
    held_seconds: float = 0.0
    seconds: float = 0.0

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            **self.plan.as_object(),
            "cut_over": True,
            "already": self.already,
            "cutover_id": self.cutover_id,
            "views_moved": self.views_moved,
            "rows": self.rows,
            "archived": self.archived,
            "attempts": self.attempts,
            "held_seconds": round(self.held_seconds, 3),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Unfit:
    """A reading that the table cannot take back."""

    user_id: str
    reading_id: str
    problem: str

    def as_object(self) -> dict[str, str]:
        """For --json."""
        return {"user_id": self.user_id, "reading_id": self.reading_id, "problem": self.problem}


@dataclass(frozen=True)
class CutbackPlan:
    """What a cutback would do.

    Attributes:
        database: without secrets.
        standing: the cutover that it takes back; None: electricity_readings is the table.
        users: of whom there are readings; `unmerged`: whose have yet to be merged.
        unfit_count: readings that the table cannot take back; `unfit`: the first of them.
    """

    database: str
    standing: Standing | None
    users: int = 0
    unmerged: int = 0
    unfit_count: int = 0
    unfit: tuple[Unfit, ...] = ()

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "database": self.database,
            "cut_over": self.standing is not None,
            "cut_over_at": None if self.standing is None else self.standing.since.isoformat(),
            "contracted": self.standing is not None and self.standing.contracted_at is not None,
            "users": self.users,
            "unmerged_users": self.unmerged,
            "set_aside": self.unfit_count,
            "readings": [one.as_object() for one in self.unfit],
        }


@dataclass(frozen=True)
class CutbackReport:
    """What a cutback did.

    Attributes:
        plan: what it had said.
        already: electricity_readings was the table before; nothing was changed.
        merged_before: users who were merged beside running writers.
        merged_in_switch: users who were merged in the switching transaction.
        set_aside: readings that the table could not take back, in ledger.set_aside.
    """

    plan: CutbackPlan
    already: bool
    merged_before: int = 0
    merged_in_switch: int = 0
    set_aside: int = 0
    attempts: int = 0
    held_seconds: float = 0.0
    seconds: float = 0.0

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            **self.plan.as_object(),
            "cut_over": False,
            "already": self.already,
            "merged_before": self.merged_before,
            "merged_in_switch": self.merged_in_switch,
            "set_aside": self.set_aside,
            "attempts": self.attempts,
            "held_seconds": round(self.held_seconds, 3),
            "seconds": round(self.seconds, 3),
        }
