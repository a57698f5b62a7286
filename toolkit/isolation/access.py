"""The declared access policy: `supabase/access.toml`, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import UsageError
from toolkit.resources import supabase_folder

FILE = "access.toml"
VERSION = 1
OWN, ONCE, ALL, NONE, NO = "own", "once", "all", "none", "no"
REACHES = (OWN, ONCE, ALL, NONE, NO)
ROW_OPERATIONS = ("select", "insert", "update", "delete")
_KINDS = {
    "tables": "table",
    "views": "view",
    "materialized_views": "materialized view",
    "sequences": "sequence",
    "functions": "function",
    "schemas": "schema",
}
_OPERATIONS = {
    "tables": ROW_OPERATIONS,
    "views": ROW_OPERATIONS,
    "materialized_views": ("select",),
    "sequences": ("usage",),
    "functions": ("execute",),
    "schemas": ("usage", "create"),
}
_TEXTS = {
    "tables": {"text", "owner", "touch", "keys", "optional"},
    "views": {"text", "owner", "touch", "optional", "owner_rights", "over"},
    "materialized_views": {"text", "owner", "optional"},
    "sequences": {"text", "optional"},
    "functions": {"text", "definer", "volatility", "search_path", "call", "optional"},
    "schemas": {"text"},
}


@dataclass(frozen=True)
class Identity:
    """Somebody who asks.

    Attributes:
        name: as the declaration calls it.
        role: the database role that the request runs as.
        text: who that is.
        like: the identity whose rules it has where none of its own is declared.
        owns: whether it has rows of its own.
    """

    name: str
    role: str
    text: str
    like: str = ""
    owns: bool = True


@dataclass(frozen=True)
class Rule:
    """What the declaration says of one object.

    Attributes:
        name: schema-qualified; of a function with its argument types.
        kind: table, view, materialized view, sequence, function, schema.
        text: what it is for.
        reach: operation → identity → how far (own, once, all, none, no), as declared.
        found: the app's own, whose grants may be wider than their reach.
        optional: why it may be missing; empty where it must be there.
        owner: of a relation, the column that says whose a row is; empty: nobody's.
        row: of a table, column → SQL expression of a valid row; {user} is the user's id.
        touch: of a table, a change that a user may make, as in `set …`.
        insert_except: columns that no API role may insert.
        update_columns: the only columns that API roles may update; None: all.
        keys: why not every key carries the owner's column; empty where each does.
        guards: trigger → the function that it must call.
        owner_rights: of a view, why it may run with its owner's rights; empty: it may not.
        over: of such a view, the relation whose users it shows, since its owner sees none in it.
        definer: of a function, why it runs with its owner's rights; empty: it must not.
        volatility: of a function.
        search_path: what a function's search_path is pinned to; 'none: …' gives the reason
            why it is not pinned.
        call: of a function, a statement that counts what it answers.
    """

    name: str
    kind: str
    text: str = ""
    reach: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    found: bool = False
    optional: str = ""
    owner: str = ""
    row: Mapping[str, str] = field(default_factory=dict)
    touch: str = ""
    insert_except: tuple[str, ...] = ()
    update_columns: tuple[str, ...] | None = None
    keys: str = ""
    guards: Mapping[str, str] = field(default_factory=dict)
    owner_rights: str = ""
    over: str = ""
    definer: str = ""
    volatility: str = "volatile"
    search_path: str = ""
    call: str = ""

    @property
    def schema(self) -> str:
        """Of the object; a schema's own name."""
        return self.name.partition(".")[0]

    @property
    def local_name(self) -> str:
        """The name without its schema."""
        return self.name.partition(".")[2]


@dataclass(frozen=True)
class Waiver:
    """A finding of Supabase's advisors that stands, for one exact definition.

    Attributes:
        lint: the advisor's name of the lint.
        object: what it is about, as Postgres describes it.
        definition: the object's definition; another one is not waived.
        reason: why it stands.
    """

    lint: str
    object: str
    definition: str
    reason: str


@dataclass(frozen=True)
class Access:
    """The whole declaration.

    Attributes:
        identities: in the order of the file.
        exposed: schemas that the REST API serves.
        proven: schemas whose every object must be declared.
        platform: Supabase's own schemas, not proven here.
        later: schema → kind of object (tables, …) → no, or platform.
        rules: name → rule, of every kind.
        waivers: of the advisors' findings.
    """

    identities: tuple[Identity, ...]
    exposed: tuple[str, ...]
    proven: tuple[str, ...]
    platform: tuple[str, ...]
    later: Mapping[str, Mapping[str, str]]
    rules: Mapping[str, Rule]
    waivers: tuple[Waiver, ...] = ()

    def identity(self, name: str) -> Identity:
        """One identity by its name."""
        return next(identity for identity in self.identities if identity.name == name)

    def of_kind(self, *kinds: str) -> Iterator[Rule]:
        """The rules of some kinds, in the order of the file."""
        return (rule for rule in self.rules.values() if rule.kind in kinds)

    def reach(self, rule: Rule, operation: str, identity: Identity) -> str:
        """How far an identity reaches with an operation: own, once, all, none or no."""
        declared = rule.reach.get(operation, {})
        if identity.name in declared:
            return declared[identity.name]
        return declared.get(identity.like, NO)

    def roles(self) -> tuple[str, ...]:
        """The database roles that identities run as, each once."""
        return tuple(dict.fromkeys(identity.role for identity in self.identities))


def load_access(*extra: Path) -> Access:
    """The declaration that meterledger ships, and an app's own on top of it.

    Args:
        extra: further files of the same form; what they declare of an object replaces what
            stood before, the rest is added.

    Raises:
        UsageError: a file cannot be read, or says something that it cannot mean.
    """
    merged: dict[str, Any] = {}
    for path in (supabase_folder() / FILE, *extra):
        content = _read(path)
        _check(path, content)
        for section, value in content.items():
            merged[section] = _merge(section, merged.get(section), value)
    return _access(merged)


def _merge(section: str, before: Any, value: Any) -> Any:  # noqa: ANN401 - TOML's values
    if section == "waivers":
        return [*(before or []), *value]
    if section == "rooms":
        rooms = before or {}
        return {k: list(dict.fromkeys([*rooms.get(k, []), *value.get(k, [])])) for k in _ROOMS}
    return {**(before or {}), **value} if isinstance(value, dict) else value


_ROOMS = ("exposed", "proven", "platform")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", next_step="name a readable file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no TOML: {error}", next_step="mend the line that the message names"
        ) from error


def _check(path: Path, content: dict[str, Any]) -> None:
    """Every word must be known: a typing error must not open or close anything silently."""

    def require(holds: bool, what: str) -> None:
        if not holds:
            raise UsageError(f"{path.name}: {what}", next_step=f"mend {path}")

    require(content.get("version") == VERSION, f"version must be {VERSION}")
    known = {"version", "rooms", "later", "identities", "waivers", *_KINDS}
    for section, entries in content.items():
        require(section in known, f"there is no section {section}")
        require(
            isinstance(entries, int | dict) or section == "waivers", f"{section} must be a table"
        )
    for section in _KINDS:
        allowed = {*_TEXTS[section], *_OPERATIONS[section], "found", "row", "guards"}
        for name, entry in content.get(section, {}).items():
            where = f"{section} {name!r}"
            require(isinstance(entry, dict), f"{where} must be a table")
            require(section == "schemas" or "." in name, f"{where} must be schema-qualified")
            unknown = sorted(set(entry) - allowed)
            require(not unknown, f"{where} says {', '.join(unknown)}, which means nothing")
            for operation in _OPERATIONS[section]:
                for who, how in entry.get(operation, {}).items():
                    if who not in ("except", "columns"):
                        require(how in REACHES, f"{where}: {operation} {who} is {how!r}")


def _access(content: dict[str, Any]) -> Access:
    try:
        identities = tuple(Identity(name, **entry) for name, entry in content["identities"].items())
        waivers = tuple(Waiver(**entry) for entry in content.get("waivers", []))
    except TypeError as error:
        raise UsageError(
            f"{FILE}: an identity or a waiver has a wrong or missing key: {error}",
            next_step="compare it with the others",
        ) from error
    rules = {
        name: _rule(name, kind, section, entry)
        for section, kind in _KINDS.items()
        for name, entry in content.get(section, {}).items()
    }
    names = {identity.name for identity in identities}
    for rule in rules.values():
        for operation, reach in rule.reach.items():
            if strangers := sorted(set(reach) - names):
                raise UsageError(
                    f"{FILE}: {rule.name}: {operation} names {', '.join(strangers)}, "
                    "who is no identity",
                    next_step=f"the identities are {', '.join(sorted(names))}",
                )
    for rule in rules.values():
        if rule.owner_rights and not (rule.owner and rule.over in rules):
            raise UsageError(
                f"{FILE}: {rule.name} runs with its owner's rights and says no `owner` column, or "
                "no declared relation that it is `over`",
                next_step="say both, so that the proof knows whose rows to look for",
            )
    rooms = {name: tuple(content["rooms"].get(name, ())) for name in _ROOMS}
    return Access(
        identities=identities, later=content["later"], rules=rules, waivers=waivers, **rooms
    )


def _rule(name: str, kind: str, section: str, entry: Mapping[str, Any]) -> Rule:
    reach = {
        operation: {
            who: how
            for who, how in entry.get(operation, {}).items()
            if who not in ("except", "columns")
        }
        for operation in _OPERATIONS[section]
    }
    columns = entry.get("update", {}).get("columns")
    texts = {key: entry[key] for key in _TEXTS[section] if key in entry}
    return Rule(
        name=name,
        kind=kind,
        reach=reach,
        found=bool(entry.get("found", False)),
        row=entry.get("row", {}),
        guards=entry.get("guards", {}),
        insert_except=tuple(entry.get("insert", {}).get("except", ())),
        update_columns=None if columns is None else tuple(columns),
        **texts,
    )
