"""What the probes came to: the tally, and a finding for each that did not end as declared."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from toolkit.connection import redact
from toolkit.isolation.api.wire import Answer
from toolkit.isolation.report import Finding, Kind, Section, Tally

REFUSED = ("42501",)  # PostgreSQL: no right, or a policy forbids it
INVALID_TOKEN = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
NO_SCHEMA = ("PGRST106",)
NO_FUNCTION = ("PGRST202",)
NO_RELATION = ("42P01", "PGRST205")
_NEXT = {
    Kind.LEAK: "close it: hold grants, policies and options of {} against supabase/access.toml",
    Kind.LOST: "give it back: hold grants and policies of {} against supabase/access.toml",
    Kind.UNCLEAR: "run the command: either a right on {} is wider than declared, or it was "
    "refused by something else than its own rights",
    Kind.VACUOUS: "make the allowed twin succeed first; until then nothing is proven of {}",
    Kind.GONE: "push the rollout, or take {} out of supabase/access.toml",
    Kind.WEAK: "look at why rows of a removed user stay in {}",
}


@dataclass(frozen=True)
class Probe:
    """Who tries what on which object."""

    subject: str
    identity: str
    operation: str


@dataclass(frozen=True)
class Denial:
    """The reasons for which a request must come to nothing.

    Attributes:
        codes: errors that are the right ones.
        about: what the error must name; empty: nothing.
        nothing: whether finding no row is right too.
    """

    codes: Collection[str] = REFUSED
    about: str = ""
    nothing: bool = False

    def judge(self, answer: Answer) -> Kind | None:
        """None where it was denied for the right reason."""
        if answer.ok:
            if answer.touched:
                return Kind.LEAK
            return None if self.nothing else Kind.UNCLEAR
        right = answer.code in self.codes and (not self.about or answer.names(self.about))
        return None if right else Kind.UNCLEAR


@dataclass
class Record:
    """Counts probes and keeps what was found."""

    findings: list[Finding] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def allowed(self, probe: Probe, answer: Answer, holds: bool) -> bool:
        """A case that must succeed; whether it did."""
        if holds:
            self.tally += Tally(allowed=1)
        else:
            self.tally += Tally(failed=1)
            text = f"must succeed, and answered {answer.told}, {answer.touched} rows"
            self._find(Kind.LOST, probe, text, answer)
        return holds

    def denied(self, probe: Probe, answer: Answer, denial: Denial, *, twin: bool) -> bool:
        """A case that must be denied, for the right reason, beside a twin that succeeded."""
        return self.verdict(probe, answer, denial.judge(answer), twin=twin)

    def both(self, probe: Probe, answer: Answer, *, own: bool, foreign: bool, twin: bool) -> bool:
        """One request that must bring or change own rows, and none of anybody else's.

        Args:
            probe: what it is.
            answer: what came.
            own: whether it did what it must.
            foreign: whether it did more.
            twin: whether there was more to be had.
        """
        if foreign:
            return self.verdict(probe, answer, Kind.LEAK, twin=twin)
        held = self.allowed(probe, answer, own)
        return self.verdict(probe, answer, None, twin=held and twin)

    def verdict(self, probe: Probe, answer: Answer, kind: Kind | None, *, twin: bool) -> bool:
        """A case that must be denied and was judged already."""
        if kind is None and twin:
            self.tally += Tally(denials=1)
            return True
        if kind is None or (kind is not Kind.LEAK and not twin):
            # Without a twin that succeeded, no reason tells anything.
            self.tally += Tally(vacuous=1)
            text = "is denied, and so is its allowed twin, or it has no row to find"
            self._find(Kind.VACUOUS, probe, text, answer)
            return False
        self.tally += Tally(failed=1)
        text = {
            Kind.LEAK: f"must come to nothing, and answered {answer.told}, {answer.touched} rows",
            Kind.UNCLEAR: f"must be refused for its own reason, and answered {answer.told}",
        }.get(kind, f"answered {answer.told}")
        self._find(kind, probe, text, answer)
        return False

    def changed(self, probe: Probe, changed: bool, *, twin: bool) -> None:
        """Whether rows changed that must not, whatever the answers said."""
        self.verdict(probe, Answer(0, "rows changed"), Kind.LEAK if changed else None, twin=twin)

    def gone(self, probe: Probe, answer: Answer) -> None:
        """A rule whose object the API does not know."""
        self._find(Kind.GONE, probe, "is declared, and the API does not know it", answer)

    def weak(self, probe: Probe, answer: Answer, text: str) -> None:
        """A guard that is missing."""
        self.tally += Tally(failed=1)
        self._find(Kind.WEAK, probe, text, answer)

    def skip(self, reason: str) -> None:
        """Probes that could not be made, once for each reason."""
        if reason not in self.skipped:
            self.skipped.append(reason)

    def _find(self, kind: Kind, probe: Probe, text: str, answer: Answer) -> None:
        self.findings.append(
            Finding(
                section=Section.API,
                kind=kind,
                subject=probe.subject,
                text=redact(f"{probe.operation} as {probe.identity} {text}"),
                identity=probe.identity,
                operation=probe.operation,
                reproduce=answer.curl,
                next_step=_NEXT[kind].format(probe.subject),
            )
        )
