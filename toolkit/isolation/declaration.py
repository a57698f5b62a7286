"""Reads `supabase/access.toml`, and an app's own declaration on top; refuses what it can't mean."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.errors import UsageError
from toolkit.isolation.access import REACHES, ROW_OPERATIONS, Access, Identity, Rule, Waiver
from toolkit.resources import supabase_folder

FILE = "access.toml"
VERSION = 1
_MODIFIERS = ("except", "columns", "conditions")  # beside the identities of an operation
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
    "tables": {"text", "owner", "touch", "keys", "policies", "optional"},
    "views": {"text", "owner", "touch", "optional", "owner_rights", "over"},
    "materialized_views": {"text", "owner", "optional"},
    "sequences": {"text", "optional"},
    "functions": {"text", "definer", "volatility", "search_path", "call", "optional"},
    "schemas": {"text"},
}


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


CUT_OVER = "cut_over"


def _merge(section: str, before: Any, value: Any) -> Any:  # noqa: ANN401 - TOML's values
    if section == "waivers":
        return [*(before or []), *value]
    if section == CUT_OVER:
        kinds = {**(before or {}), **value}
        return {k: {**(before or {}).get(k, {}), **value.get(k, {})} for k in kinds}
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
    known = {"version", "rooms", "later", "identities", "waivers", CUT_OVER, *_KINDS}
    for section, entries in content.items():
        require(section in known, f"there is no section {section}")
        require(
            isinstance(entries, int | dict) or section == "waivers", f"{section} must be a table"
        )
    later = content.get(CUT_OVER, {})
    for section in later:
        require(section in _KINDS, f"{CUT_OVER} has no section {section}")
    for section in _KINDS:
        allowed = {*_TEXTS[section], *_OPERATIONS[section], "found", "row", "guards", "reads"}
        for name, entry in (*content.get(section, {}).items(), *later.get(section, {}).items()):
            where = f"{section} {name!r}"
            require(isinstance(entry, dict), f"{where} must be a table")
            require(section == "schemas" or "." in name, f"{where} must be schema-qualified")
            unknown = sorted(set(entry) - allowed)
            require(not unknown, f"{where} says {', '.join(unknown)}, which means nothing")
            for operation in _OPERATIONS[section]:
                for who, how in entry.get(operation, {}).items():
                    if who not in _MODIFIERS:
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
    rules, cut_over = _rules(content), _rules(content.get(CUT_OVER, {}))
    names = {identity.name for identity in identities}
    for rule in (*rules.values(), *cut_over.values()):
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
        identities=identities,
        later=content["later"],
        rules=rules,
        waivers=waivers,
        cut_over=cut_over,
        **rooms,
    )


def _rules(content: Mapping[str, Any]) -> dict[str, Rule]:
    return {
        name: _rule(name, kind, section, entry)
        for section, kind in _KINDS.items()
        for name, entry in content.get(section, {}).items()
    }


def _rule(name: str, kind: str, section: str, entry: Mapping[str, Any]) -> Rule:
    reach = {
        operation: {
            who: how for who, how in entry.get(operation, {}).items() if who not in _MODIFIERS
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
        reads=tuple(entry.get("reads", ())),
        insert_except=tuple(entry.get("insert", {}).get("except", ())),
        conditions=tuple(entry.get("insert", {}).get("conditions", ())),
        update_columns=None if columns is None else tuple(columns),
        **texts,
    )
