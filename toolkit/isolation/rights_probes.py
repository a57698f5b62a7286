"""Rights that are asked for and not tried: trying one would lock, or ask the wrong table."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.isolation.access import NO, Rule
from toolkit.isolation.probing import Probe, Step, allowed, empty
from toolkit.isolation.stage import Stage
from toolkit.isolation.statements import compose

# These pass row level security by, and trying one locks the table.
_PASSING_BY = ("truncate", "references", "trigger")
# Of a view: a denial of the write itself may come from the table behind it.
_WRITES = ("insert", "update", "delete")


def rights_probes(stage: Stage, rule: Rule) -> Iterator[Probe]:
    """Whether each identity's role holds a right on a relation that it must not hold."""
    question = "select has_table_privilege({}, {}, {})::int"
    for privilege in (*_PASSING_BY, *(_WRITES if rule.kind == "view" else ())):
        twin = f"{rule.name} owner right to {privilege}"
        what = f"{privilege} {rule.name}"
        owner = Step(compose("select has_table_privilege({}, {})::int", rule.name, privilege))
        yield Probe(twin, rule.name, "owner", privilege, what, (owner,), allowed())
        for identity in stage.access.identities:
            if stage.access.reach(rule, privilege, identity) != NO:
                continue
            step = Step(compose(question, identity.role, rule.name, privilege))
            yield Probe(
                key=f"{rule.name} {identity.name} right to {privilege}",
                subject=rule.name,
                identity=identity.name,
                operation=privilege,
                what=what,
                steps=(step,),
                expected=empty(),
                twin=twin,
            )
