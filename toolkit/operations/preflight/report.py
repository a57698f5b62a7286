"""What the checklist found: one item a question, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

SHOWN = 6  # findings that an item's detail spells out; all of them are in its figures
_STEPS = 4


class Verdict(StrEnum):
    """How an item stands."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


_WORSE = (Verdict.SKIP, Verdict.PASS, Verdict.WARN, Verdict.FAIL)


@dataclass(frozen=True)
class Finding:
    """One row of an item's statement.

    Attributes:
        verdict: how bad it is; PASS rows are told as figures.
        subject: what it is about: a table, a session, a reason.
        text: one sentence.
        next_step: what to do.
        amount: a count, bytes or seconds, as the text says.
    """

    verdict: Verdict
    subject: str
    text: str
    next_step: str
    amount: int = 1


@dataclass(frozen=True)
class CheckItem:
    """One item of the checklist.

    Attributes:
        name: a stable word for programs.
        title: what was looked at.
        verdict: pass; warn: go on if you know why; fail: don't roll out; skip: not asked.
        detail: what was found, one line, without secrets.
        next_step: what to do; empty where there is nothing.
        figures: numbers and findings, for --json.
    """

    name: str
    title: str
    verdict: Verdict
    detail: str
    next_step: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class PreflightReport:
    """All items of one database.

    Attributes:
        environment: its name.
        database: user@host:port/name.
        items: in the order of the checklist.
        seconds: how long it took.
    """

    environment: str
    database: str
    items: tuple[CheckItem, ...]
    seconds: float

    @property
    def ready(self) -> bool:
        """True when nothing fails."""
        return self.count(Verdict.FAIL) == 0

    def count(self, verdict: Verdict) -> int:
        """How many items stand so."""
        return sum(item.verdict is verdict for item in self.items)

    def item(self, name: str) -> CheckItem:
        """The item of that name; KeyError where there is none."""
        return {item.name: item for item in self.items}[name]


def judged(
    name: str,
    title: str,
    findings: Sequence[Finding],
    *,
    quiet: str,
    figures: Mapping[str, object] | None = None,
) -> CheckItem:
    """The item that findings make: the worst of them is its verdict.

    Args:
        name: see CheckItem.
        title: see CheckItem.
        findings: in the order in which they are told.
        quiet: the detail where there is nothing to complain about.
        figures: further ones.
    """
    bad = [f for f in findings if f.verdict in (Verdict.WARN, Verdict.FAIL)]
    bad.sort(key=lambda f: f.verdict is not Verdict.FAIL)  # the worst ones first
    return CheckItem(
        name=name,
        title=title,
        verdict=max((f.verdict for f in bad), key=_WORSE.index, default=Verdict.PASS),
        detail=_told(bad) if bad else quiet,
        next_step="; ".join(_distinct(f.next_step for f in bad)[:_STEPS]),
        figures={**(figures or {}), **_figures(findings)},
    )


def _told(findings: Sequence[Finding]) -> str:
    more = len(findings) - SHOWN
    told = "; ".join(f.text for f in findings[:SHOWN])
    return f"{told}; and {more} more" if more > 0 else told


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _figures(findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "findings": [
            {
                "verdict": f.verdict.value,
                "subject": f.subject,
                "finding": f.text,
                "next_step": f.next_step,
                "amount": f.amount,
            }
            for f in findings
        ]
    }
