"""Holds a restored copy against what the backup's manifest says of the original."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from toolkit.operations.backup.facts import KINDS, Fact, Facts

# Version 17 brought MAINTAIN, which is part of ALL there and unknown before.
_NEWER_RIGHT = re.compile(r"(?:, )?\bMAINTAIN\*?(?=,|$)")
_OLDEST_WITH_MAINTAIN = 17
_DEFAULT_PRIVILEGES = "default privileges of "


@dataclass(frozen=True)
class Difference:
    """Something that is not in the copy as it was in the original.

    Attributes:
        kind: rows, users, sequences, policies, grants, owners or objects.
        relation: the table, view or function.
        name: of the fact.
        expected, found: None where it is missing.
    """

    kind: str
    relation: str
    name: str
    expected: str | None
    found: str | None

    @property
    def text(self) -> str:
        """One sentence."""
        if self.found is None:
            return f"{self.kind}: {self.name} is missing"
        if self.expected is None:
            return f"{self.kind}: {self.name} is there and was not: {self.found}"
        return f"{self.kind}: {self.name} was {self.expected} and is {self.found}"


@dataclass(frozen=True)
class Lost:
    """What could not be restored and need not be: it has nothing to do with the rollout.

    Attributes:
        relations: 'schema.table' of tables, views and functions.
        names: of single objects, such as 'trigger x of public.y'.
        relaxed: foreign keys that rows of the original break, made for new rows only.
    """

    relations: Collection[str] = ()
    names: Collection[str] = ()
    relaxed: Collection[str] = ()

    def excuses(self, difference: Difference) -> bool:
        """Whether a difference is that such a thing is missing, or holds for new rows only."""
        if difference.found is None:
            return difference.relation in self.relations or difference.name in self.names
        return difference.name in self.relaxed and difference.found == (
            f"{difference.expected} NOT VALID"
        )


def compare(
    expected: Facts, found: Facts, *, majors: tuple[int, int] = (0, 0), users_exactly: bool = True
) -> tuple[Difference, ...]:
    """The differences of a copy from its original, in a steady order.

    Args:
        expected: of the original.
        found: of the copy.
        majors: PostgreSQL's version of either; where they differ, names of objects are
            compared without their definitions, whose text is the version's own.
        users_exactly: the copy's auth.users holds the original's users and nobody else.
    """
    same = majors[0] == majors[1]
    differences = [*_rows(expected, found, users_exactly), *_sequences(expected, found)]
    for kind in KINDS:
        old, new = _named(expected.of(kind)), _named(found.of(kind))
        for name in sorted(old.keys() | new.keys()):
            difference = _difference(kind, name, old.get(name), new.get(name), majors)
            if difference is None:
                continue
            both = difference.expected is not None and difference.found is not None
            if kind == "objects" and both and not same:
                continue
            differences.append(difference)
    return tuple(differences)


def _difference(
    kind: str, name: str, old: Fact | None, new: Fact | None, majors: tuple[int, int]
) -> Difference | None:
    relation = (old or new or Fact("", "", "")).relation
    expected, found = (fact.definition if fact else None for fact in (old, new))
    if kind == "grants":
        if old is None and relation.startswith(_DEFAULT_PRIVILEGES):
            return None  # of a role that is the target's own
        if min(majors) < _OLDEST_WITH_MAINTAIN <= max(majors):
            expected, found = (_NEWER_RIGHT.sub("", t) if t else t for t in (expected, found))
    if expected == found:
        return None
    return Difference(kind, relation, name, expected, found)


def _rows(expected: Facts, found: Facts, users_exactly: bool) -> Iterator[Difference]:
    for name in sorted(expected.tables.keys() | found.tables.keys()):
        old, new = expected.tables.get(name), found.tables.get(name)
        if old == new:
            continue
        yield Difference(
            "rows",
            name,
            name,
            f"{old.rows} rows, hash {old.hash}" if old else None,
            f"{new.rows} rows, hash {new.hash}" if new else None,
        )
    if users_exactly and expected.users is not None and expected.users != found.users:
        now = found.users
        yield Difference(
            "users",
            "auth.users",
            "auth.users",
            f"{expected.users.rows} ids and addresses, hash {expected.users.hash}",
            f"{now.rows} ids and addresses, hash {now.hash}" if now else None,
        )


def _sequences(expected: Facts, found: Facts) -> Iterator[Difference]:
    """A dump reads a sequence a moment later than the snapshot: further is fine, less is not."""
    for name, value in sorted(expected.sequences.items()):
        now = found.sequences.get(name)
        if now is None or now < value:
            yield Difference("sequences", name, name, str(value), None if now is None else str(now))


def _named(facts: tuple[Fact, ...]) -> dict[str, Fact]:
    return {fact.name: fact for fact in facts}
