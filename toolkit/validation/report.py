"""What a validation says: one result a check, and the verdict over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What came of a check.

    OK: nothing found. NOTE: something for a person to look at. PENDING: a step of the rollout is
    still to be done, and what it will do cannot be proven yet. FAIL: not as it must be.
    """

    OK = "ok"
    NOTE = "note"
    PENDING = "pending"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One offending row.

    Attributes:
        user_id: whose it is; None where the finding is about no user.
        row_id: the reading's or event's id, where there is one.
        text: what is wrong with it.
    """

    user_id: str | None
    row_id: str | None
    text: str


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        name: short, stable, for machines.
        title: what it asks, for people.
        verdict: see Verdict.
        count: findings in all.
        findings: the first few.
        next_step: what to do about them; empty when there is nothing to do.
        seconds: how long it took.
        figures: numbers worth showing (sizes in bytes, rows, milliseconds).
    """

    name: str
    title: str
    verdict: Verdict
    count: int = 0
    findings: tuple[Finding, ...] = ()
    next_step: str = ""
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ValidationReport:
    """All checks of one run.

    Attributes:
        database: user@host:port/name, without secrets.
        checks: in the order in which they ran.
        seconds: how long they took together.
    """

    database: str
    checks: tuple[CheckResult, ...]
    seconds: float

    @property
    def valid(self) -> bool:
        """True when no check failed and nothing is pending; notes do not count."""
        return not (self.failed or self.pending)

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that found a defect."""
        return tuple(check for check in self.checks if check.verdict is Verdict.FAIL)

    @property
    def pending(self) -> tuple[CheckResult, ...]:
        """What a later step of the rollout has still to do."""
        return tuple(check for check in self.checks if check.verdict is Verdict.PENDING)

    @property
    def differences(self) -> int:
        """Findings of the checks that failed, added up."""
        return sum(check.count for check in self.failed)

    def result(self, name: str) -> CheckResult:
        """One check's result by its name."""
        return next(check for check in self.checks if check.name == name)
