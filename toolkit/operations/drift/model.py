"""What a catalog is said to hold, what it should have begun as, and where the two differ."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from enum import StrEnum

from toolkit.bootstrap import DateType

# PostgreSQL 15 says r.id where 17 says id, in views that read one relation.
_QUALIFIER = re.compile(r"\b[a-z]\.(?=[a-z_]+\b)")
_DEPARSED = ("view ", "materialized view ", "policy ")


@dataclass(frozen=True)
class Fingerprint:
    """The objects that the migrations make, each as text, without data and oids.

    Attributes:
        sha256: of all of them, in words that do not depend on PostgreSQL's version; equal ones
            mean equal catalogs.
        objects: text by name, for example 'index public.token_events_order'.
        major: of the server that spelled them.
    """

    sha256: str
    objects: dict[str, str] = field(repr=False)
    major: int = 0


Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StartingShape:
    """What a rollout began with, as far as it decides what the migrations give.

    Attributes:
        found: the public tables that were there before.
        date_type: of electricity_readings.date.
        unique_days: the legacy table allows one reading a day.
        cut_over: a view has the legacy name, and the table is archived.
        newest: the newest version of ours that the history names.
        major: PostgreSQL's major version.
        columns: of found tables that views of the rollout read whole: (name, type) in order.
    """

    found: frozenset[str]
    date_type: DateType
    unique_days: bool
    newest: str
    major: int
    columns: tuple[tuple[str, Columns], ...] = ()
    cut_over: bool = False


class DifferenceKind(StrEnum):
    """MISSING: gone. EXTRA: made by nobody of ours. CHANGED: there, and something else."""

    MISSING = "missing"
    EXTRA = "extra"
    CHANGED = "changed"


@dataclass(frozen=True)
class Difference:
    """One object that is not as the migrations make it.

    Attributes:
        object: its name, as in Fingerprint.objects.
        kind: see DifferenceKind.
        expected: its text after the migrations; None for an extra one.
        actual: its text in the database; None for a missing one.
        next_step: what to do about it.
    """

    object: str
    kind: DifferenceKind
    expected: str | None
    actual: str | None
    next_step: str

    @property
    def lines(self) -> tuple[str, ...]:
        """The difference as lines: the name, and below it what was expected and what is there.

        Of long texts only the lines that differ.
        """
        before = (self.expected or "").splitlines()
        after = (self.actual or "").splitlines()
        common = set(before) & set(after)
        return (
            f"{self.kind}: {self.object}",
            *(f"- {line}" for line in before if line not in common),
            *(f"+ {line}" for line in after if line not in common),
        )


def fingerprint_of(objects: dict[str, str], major: int) -> Fingerprint:
    """The fingerprint of objects that were read from a server of a major version."""
    spelled = {name: plain(name, text) for name, text in sorted(objects.items())}
    digest = hashlib.sha256(json.dumps(spelled, ensure_ascii=False).encode()).hexdigest()
    return Fingerprint(digest, objects, major)


def plain(name: str, text: str) -> str:
    """An object's text without what only a version's way of spelling adds."""
    return _QUALIFIER.sub("", text) if name.startswith(_DEPARSED) else text
