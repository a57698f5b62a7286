"""Probes: what is tried, as whom, what must come of it, and how it came out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import pairwise

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from toolkit.errors import OperationalError
from toolkit.isolation.report import Finding, Kind, Section, Tally

OWNER = "none"  # `set role none`: whoever the connection belongs to
REFUSED = "42501"
NO_SUCH_PARENT = "23503"
_FINE = "00000"
_TELLING = ("", "true", "false")
_AT_ONCE = 200
_PATIENCE = 2  # inconclusive probes of one object; then the rest of it is not tried
# A timeout or a lock says nothing of who may do what.
_INCONCLUSIVE = ("55P03", "57014", "40P01", "53100", "53200")


@dataclass(frozen=True)
class Step:
    """One statement of a probe.

    Attributes:
        sql: complete, without parameters.
        role: the database role; OWNER: the connection's own.
        claims: what request.jwt.claims holds, as JSON; empty: nothing.
        returns: whether it gives rows; their first value counts. Otherwise its row count does.
    """

    sql: str
    role: str = OWNER
    claims: str = ""
    returns: bool = True


@dataclass(frozen=True)
class Expected:
    """What must come of a probe's last statement.

    Attributes:
        allowed: it must succeed, with a value that fits.
        least: of an allowed case, the smallest count.
        exactly: of an allowed case, the only value; None: any from `least` on.
        states: of a denial, the SQLSTATEs that are the right refusal.
        zero: of a denial, whether success with 0 is one too.
    """

    allowed: bool
    least: int = 0
    exactly: str | None = None
    states: tuple[str, ...] = ()
    zero: bool = False


def allowed(least: int = 1, exactly: object | None = None) -> Expected:
    """It must succeed, and find at least so many rows, or give exactly this value."""
    return Expected(True, least=least, exactly=None if exactly is None else str(exactly))


def refused(*states: str) -> Expected:
    """It must fail with one of these SQLSTATEs; 42501 if none is named."""
    return Expected(False, states=states or (REFUSED,))


def nothing(*states: str) -> Expected:
    """It must find no row, or fail with one of these SQLSTATEs; 42501 if none is named."""
    return Expected(False, states=states or (REFUSED,), zero=True)


def empty() -> Expected:
    """It must succeed and find no row."""
    return Expected(False, zero=True)


@dataclass(frozen=True)
class Probe:
    """One thing that is tried.

    Attributes:
        key: unique.
        subject: the object.
        identity: as whom, by the declaration's name; owner for the twin of a private object.
        operation: of the matrix, or an attack's name.
        what: what is tried, for a sentence that begins with the identity.
        steps: in one transaction; the last one counts.
        expected: what must come of it.
        twin: of a denial, the key of the allowed case beside it.
        section: probes or attacks.
    """

    key: str
    subject: str
    identity: str
    operation: str
    what: str
    steps: tuple[Step, ...]
    expected: Expected
    twin: str = ""
    section: Section = Section.PROBES


@dataclass(frozen=True)
class Outcome:
    """How a probe ended.

    Attributes:
        state: SQLSTATE of the step that failed, 00000 where none did.
        value: of the last step; empty where it failed.
        step: number of the step that failed, or the last one, from 1.
        message: the server's words, with its detail.
    """

    state: str
    value: str
    step: int
    message: str


def install_runner(connection: psycopg.Connection[TupleRow]) -> None:
    """Create the temporary function that runs probes, inside the caller's transaction."""
    script = resources.files(__package__).joinpath("probe_runner.sql").read_bytes()
    connection.execute(script)


def run_probes(
    connection: psycopg.Connection[TupleRow], probes: Sequence[Probe]
) -> dict[str, Outcome]:
    """Run each probe and take it back; key → outcome.

    Raises:
        OperationalError: two probes share a key.
    """
    if len({probe.key for probe in probes}) != len(probes):
        keys = sorted(probe.key for probe in probes)
        twice = next(key for key, after in pairwise(keys) if key == after)
        raise OperationalError(
            f"two probes are called {twice!r}", next_step="report this as a defect of meterledger"
        )
    outcomes: dict[str, Outcome] = {}
    stuck: Counter[str] = Counter()
    for start in range(0, len(probes), _AT_ONCE):
        some = [p for p in probes[start : start + _AT_ONCE] if stuck[p.subject] < _PATIENCE]
        outcomes |= _run(connection, some)
        stuck.update(p.subject for p in some if outcomes[p.key].state in _INCONCLUSIVE)
    waited = Outcome(_INCONCLUSIVE[0], "", 0, "")
    return {probe.key: outcomes.get(probe.key, waited) for probe in probes}


def _run(connection: psycopg.Connection[TupleRow], probes: Sequence[Probe]) -> dict[str, Outcome]:
    """Some probes, one statement each, sent in one go."""
    found: list[TupleRow | None] = []
    arguments = [(Jsonb(_steps(probe)),) for probe in probes]
    with connection.cursor() as cursor:
        cursor.executemany("select pg_temp.meterledger_probe(%s)", arguments, returning=True)
        while len(found) < len(probes):
            found.append(cursor.fetchone())
            cursor.nextset()
    return {
        probe.key: Outcome(r["state"], r["value"] or "", r["step"], r["message"])
        for probe, row in zip(probes, found, strict=True)
        for r in [row[0] if row else {}]
    }


def judge(
    probes: Sequence[Probe],
    outcomes: dict[str, Outcome],
    setting: str,
    hidden: Mapping[str, str] | None = None,
) -> dict[Section, tuple[Tally, tuple[Finding, ...]]]:
    """Hold each outcome against what had to come; by section.

    Args:
        probes: all of them, with their twins.
        outcomes: from run_probes().
        setting: the statements that made the users, for whoever reproduces a finding.
        hidden: real users' ids → the words that stand for them in what is shown.
    """
    good = {probe.key for probe in probes if _fits(probe, outcomes[probe.key])}
    tallies = {Section.PROBES: Tally(), Section.ATTACKS: Tally()}
    findings: dict[Section, list[Finding]] = {section: [] for section in tallies}
    for probe in probes:
        outcome = outcomes[probe.key]
        kind = _verdict(probe, outcome, probe.key in good, probe.twin in good)
        if kind is None:
            tally = Tally(allowed=1) if probe.expected.allowed else Tally(denials=1)
        else:
            tally = Tally(vacuous=1) if kind is Kind.VACUOUS else Tally(failed=1)
            finding = _finding(probe, outcome, kind, setting)
            for id_, word in (hidden or {}).items():
                finding = replace(finding, reproduce=finding.reproduce.replace(id_, word))
            findings[probe.section].append(finding)
        tallies[probe.section] += tally
    return {section: (tallies[section], tuple(findings[section])) for section in tallies}


def _steps(probe: Probe) -> list[dict[str, object]]:
    return [
        {"sql": step.sql, "role": step.role, "claims": step.claims, "returns": step.returns}
        for step in probe.steps
    ]


def _fits(probe: Probe, outcome: Outcome) -> bool:
    expected = probe.expected
    if outcome.state != _FINE:
        # Only the step that counts may be the one that is refused.
        at_last = outcome.step == len(probe.steps)
        return not expected.allowed and at_last and outcome.state in expected.states
    if not expected.allowed:
        return expected.zero and outcome.value in ("", "0", "f", "false")
    if expected.exactly is not None:
        return outcome.value == expected.exactly
    return not expected.least or _number(outcome.value) >= expected.least


def _too_many(expected: Expected, outcome: Outcome) -> bool:
    """Whether more rows were reached than there must be: a write that met another's rows."""
    due = expected.exactly or ""
    return outcome.state == _FINE and due.isdigit() and _number(outcome.value) > int(due)


def _number(value: str) -> int:
    return int(value) if value.lstrip("-").isdigit() else int(bool(value))


def _verdict(probe: Probe, outcome: Outcome, good: bool, twin_good: bool) -> Kind | None:
    if good:
        return None if probe.expected.allowed or twin_good else Kind.VACUOUS
    if outcome.state in _INCONCLUSIVE:
        return Kind.UNCLEAR
    if probe.expected.allowed:
        return Kind.LEAK if _too_many(probe.expected, outcome) else Kind.LOST
    return Kind.LEAK if outcome.state == _FINE else Kind.UNCLEAR


_TEXTS = {
    Kind.LEAK: "{who} may do what must be denied: {what} ({came})",
    Kind.LOST: "{who} may not do what must be allowed: {what} ({came})",
    Kind.UNCLEAR: "{who}: {what} failed for another reason than it must ({came})",
    Kind.VACUOUS: "{who}: {what} was denied, but so was the case beside it that must be allowed, "
    "so this proves nothing",
}
_NEXT = {
    Kind.LEAK: "compare the object's grants, policies and options with the migrations, and close "
    "it before anybody finds it",
    Kind.LOST: "compare the object's grants and policies with the migrations: users are locked out",
    Kind.UNCLEAR: "run the statements by hand and see what stands in the way",
    Kind.VACUOUS: "mend the case that must be allowed, then prove again",
}


def _finding(probe: Probe, outcome: Outcome, kind: Kind, setting: str) -> Finding:
    # The value is a count or a word of ours; the server's message may quote somebody's row.
    value = outcome.value if outcome.value in _TELLING or outcome.value.isdigit() else "something"
    came = f"it gave {value or 'nothing'}" if outcome.state == _FINE else outcome.state
    return Finding(
        section=probe.section,
        kind=kind,
        subject=probe.subject,
        text=_TEXTS[kind].format(who=probe.identity, what=probe.what, came=came),
        identity=probe.identity,
        operation=probe.operation,
        reproduce=reproduction(probe, setting),
        next_step=_NEXT[kind],
    )


def reproduction(probe: Probe, setting: str) -> str:
    """A script for psql that shows what a probe did, and takes it back."""
    lines = ["begin;", setting.strip()]
    if any("meterledger_tell" in step.sql for step in probe.steps):
        lines.append("-- with pg_temp.meterledger_tell() of toolkit/isolation/probe_runner.sql")
    for step in probe.steps:
        lines.append(f"set local role {step.role};")
        claims = sql.Literal(step.claims).as_string(None)
        lines.append(f"select set_config('request.jwt.claims', {claims}, true);")
        lines.append(f"{step.sql.strip()};")
    return "\n".join([*lines, "rollback;"])


def claims(role: str, user: object | None = None) -> str:
    """The claims that PostgREST would set for a token of this role and user."""
    return json.dumps({"role": role} | ({"sub": str(user)} if user is not None else {}))
