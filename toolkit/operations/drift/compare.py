"""Where two fingerprints differ, and what to do about each difference."""

from __future__ import annotations

import re

from toolkit.operations.drift.model import Difference, DifferenceKind, Fingerprint, plain
from toolkit.operations.drift.scope import file_of

_GRANTS = re.compile(r"grants on (?P<what>.+) to (?P<role>\S+)")
_OWNED = re.compile(r"owner of (?P<what>.+)")
_ON_TABLE = re.compile(
    r"(?P<kind>trigger|constraint|policy|rule) (?P<name>\".+\"|.+) on (?P<table>\S+)"
)


def compare(actual: Fingerprint, expected: Fingerprint) -> tuple[Difference, ...]:
    """Every object that is missing, extra or changed, by name.

    Args:
        actual: of the database.
        expected: of the replay. Where that is of another version of PostgreSQL, what only the
            versions spell differently is no difference.
    """
    same_version = actual.major == expected.major
    found = []
    for name in sorted(actual.objects.keys() | expected.objects.keys()):
        is_, should = actual.objects.get(name), expected.objects.get(name)
        if is_ == should:
            continue
        if is_ is None or should is None:
            kind = DifferenceKind.MISSING if is_ is None else DifferenceKind.EXTRA
        elif not same_version and plain(name, is_) == plain(name, should):
            continue
        else:
            kind = DifferenceKind.CHANGED
        found.append(Difference(name, kind, should, is_, _next_step(name, kind, should, is_)))
    return tuple(found)


def _next_step(name: str, kind: DifferenceKind, should: str | None, is_: str | None) -> str:
    """The exact statement where it follows from the name and the text; else the file to look at."""
    statement = (
        _granting(name, should, is_)
        or _owning(name, should)
        or _indexing(name, kind, should)
        or _on_table(name, kind, should, is_)
    )
    if statement is not None:
        return statement
    where = _file(name)
    if kind is DifferenceKind.EXTRA:
        return f"drop it, or bring it in by a migration of its own: {name}"
    return f"run what {where} says of it again, or push the phases again"


def _granting(name: str, should: str | None, is_: str | None) -> str | None:
    match = _GRANTS.fullmatch(name)
    if match is None:
        return None
    wanted, held = (set((text or "").split(", ")) - {""} for text in (should, is_))
    steps = [
        f"{verb} {_privileges(rights, match['what'])} {way} {match['role']};"
        for verb, rights, way in (("revoke", held - wanted, "from"), ("grant", wanted - held, "to"))
        if rights
    ]
    return " ".join(steps)


def _privileges(rights: set[str], what: str) -> str:
    listed = ", ".join(sorted(right.split(" ")[0].lower() for right in rights))
    if what.startswith("column "):
        table, _, column = what.removeprefix("column ").rpartition(".")
        return f"{', '.join(f'{right} ({column})' for right in listed.split(', '))} on {table}"
    return f"{listed} on {what}"


def _owning(name: str, should: str | None) -> str | None:
    match = _OWNED.fullmatch(name)
    if match is None or should is None:
        return None
    what = match["what"] if match["what"].startswith("function ") else f"table {match['what']}"
    return f"alter {what} owner to the owner of schema ledger (meterledger doctor names it)"


def _indexing(name: str, kind: DifferenceKind, should: str | None) -> str | None:
    if not name.startswith("index "):
        return None
    index = name.removeprefix("index ")
    create = (should or "").replace("INDEX ", "INDEX CONCURRENTLY ", 1)
    if kind is DifferenceKind.MISSING:
        return f"{create};"
    drop = f"drop index concurrently {index};"
    return drop if kind is DifferenceKind.EXTRA else f"{drop} {create};"


def _on_table(name: str, kind: DifferenceKind, should: str | None, is_: str | None) -> str | None:
    match = _ON_TABLE.fullmatch(name)
    if match is None:
        return None
    what, bare, table = match["kind"], match["name"], match["table"]
    if what == "trigger" and is_ is not None and should is not None and is_.startswith(should):
        return f"alter table {table} enable trigger {bare};"
    drop = f"drop {what} {bare} on {table};"
    add = f"{should};"
    if what == "constraint":
        drop = f"alter table {table} drop constraint {bare};"
        add = f"alter table {table} add constraint {bare} {should};"
    if kind is DifferenceKind.EXTRA:
        return drop
    if what == "policy":
        return f"create it as {_file(bare.strip(chr(34)))} says" + (
            f", after {drop}" if kind is DifferenceKind.CHANGED else ""
        )
    return add if kind is DifferenceKind.MISSING else f"{drop} {add}"


def _file(name: str) -> str:
    """The file that says the last name in an object's name, or a policy's sentence."""
    sentence = " " in name and name[0].isupper()
    bare = name if sentence else re.split(r"[ .]", name.partition("(")[0])[-1]
    found = file_of(bare)
    return f"supabase/migrations/{found}" if found else "the phase that made it"
