"""Everything that the probes share: who asks, what is declared, and what happened so far."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from postgrest.types import CountMethod

from toolkit.isolation.access import ALL, ONCE, OWN, Access, Rule
from toolkit.isolation.api.people import Person
from toolkit.isolation.api.record import Denial, Probe, Record
from toolkit.isolation.api.schema import ApiSchema
from toolkit.isolation.api.values import (
    Columns,
    Moments,
    UnsendableError,
    change_of,
    row_of,
)
from toolkit.isolation.api.wire import Answer, Caller

EXACT = CountMethod.exact
RELATIONS = ("table", "view", "materialized view")
USER = "user"


@dataclass(frozen=True)
class Resident:
    """One of the two users, and the client that it asks with."""

    person: Person = field(repr=False)
    caller: Caller = field(repr=False)

    @property
    def id(self) -> str:
        """In auth.users."""
        return self.person.id


@dataclass
class Scene:
    """One run of the proof.

    Attributes:
        access: the declaration.
        record: what it came to.
        schema: what the API says of itself.
        a: the user who tries everything.
        b: the other one, who must not notice.
        anon: nobody signed in.
        service: the app's servers; None without their key.
        nameless: a token that names nobody; None without the secret.
        refresh: whether service_role may call a function that changes everybody's rows.
        scratch: whether writes without a filter may be sent.
    """

    access: Access
    record: Record
    schema: ApiSchema
    a: Resident
    b: Resident
    anon: Caller
    service: Caller | None = None
    nameless: Caller | None = None
    refresh: bool = False
    scratch: bool = False
    moments: Moments = field(default_factory=Moments)
    gone: set[str] = field(default_factory=set)
    _done: dict[tuple[str, str], bool] = field(default_factory=dict)

    def relations(self) -> Iterator[Rule]:
        """The rules of exposed relations that are there."""
        for rule in self.access.of_kind(*RELATIONS):
            if rule.schema in self.access.exposed and rule.name not in self.gone:
                yield rule

    def own(self, operation: str = "select") -> Iterator[Rule]:
        """Relations in which a user reaches its own rows with an operation."""
        for rule in self.relations():
            if rule.owner and self.reach(rule, operation, USER) in (OWN, ONCE):
                yield rule

    def reach(self, rule: Rule, operation: str, identity: str) -> str:
        """How far an identity reaches, by the declaration."""
        return self.access.reach(rule, operation, self.access.identity(identity))

    def others(self) -> Iterator[Caller]:
        """Who asks besides the two users."""
        yield self.anon
        if self.nameless is not None:
            yield self.nameless
        if self.service is not None:
            yield self.service

    def done(self, probe: Probe, answer: Answer, holds: bool) -> bool:
        """An allowed case, which stands as a twin for denials of the same kind."""
        held = self.record.allowed(probe, answer, holds)
        key = (probe.subject, probe.operation)
        self._done[key] = held and self._done.get(key, True)
        return held

    def twin(self, rule: Rule, operation: str) -> bool:
        """Whether somebody who may do this did it.

        Where nobody who takes part may, the same kind of request must have succeeded on
        another object; that the right one was refused, the error's words must say.
        """
        if (held := self._done.get((rule.name, operation))) is not None:
            return held
        taking_part = (USER, *(caller.name for caller in self.others()))
        if any(self.reach(rule, operation, who) in (OWN, ALL) for who in taking_part):
            return False
        return self.twin_of_any(operation)

    def twin_of_any(self, operation: str) -> bool:
        """Whether anybody did this to anything."""
        return any(held for (_, kind), held in self._done.items() if kind == operation)

    def refusal(self, rule: Rule, *, nothing: bool = False) -> Denial:
        """A refusal of this very object; of the app's own, or where said, also no row."""
        return Denial(about=rule.local_name, nothing=nothing or rule.found)

    def columns(self, rule: Rule) -> Columns:
        """The relation's columns, as far as the API shows them."""
        return self.schema.of(rule.name)

    def row(self, rule: Rule, user: str) -> dict[str, Any] | None:
        """A valid new row of a user; None, noted as skipped, where none can be sent."""
        try:
            return row_of(rule, user, self.columns(rule), self.moments)
        except UnsendableError as error:
            self.record.skip(f"the row declared of {rule.name} cannot be sent: {error}")
            return None

    def change(self, rule: Rule) -> dict[str, Any] | None:
        """A change that a user may make; None, noted as skipped, where none can be sent."""
        if rule.owner and not rule.touch and not self.columns(rule):
            return {rule.owner: self.a.id}  # of an object that the API does not describe
        try:
            return change_of(rule, self.columns(rule), self.moments)
        except UnsendableError as error:
            self.record.skip(f"the change declared of {rule.name} cannot be sent: {error}")
            return None

    def rows_of(self, rule: Rule, who: Resident) -> list[Mapping[str, Any]]:
        """A user's own rows, as the user sees them."""
        table = who.caller.table(rule.name).select("*").eq(rule.owner, who.id)
        return list(who.caller.send(table).rows)

    def names(self, rule: Rule) -> set[str]:
        """The names of a relation's columns, from the API or from a row."""
        return set(self.columns(rule)) or {n for row in self.rows_of(rule, self.a) for n in row}

    def state(self, rule: Rule, *who: Resident) -> dict[str, list[str]]:
        """What users hold in a relation, to be compared later."""
        return {
            one.id: sorted(json.dumps(row, sort_keys=True) for row in self.rows_of(rule, one))
            for one in who
        }


def only(answer: Answer, rule: Rule, *users: str) -> bool:
    """Whether rows came back, and all of these users."""
    owners = {row.get(rule.owner) for row in answer.rows}
    return answer.ok and bool(answer.rows) and owners <= set(users)
