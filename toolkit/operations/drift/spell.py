"""How objects are called and spelled: one line, or the lines of a definition."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

_STATES = {"O": "", "D": " (switched off)", "R": " (for replicas)", "A": " (always)"}


def name_of(row: Row) -> str:
    """What an object of the catalog is called, for example 'trigger t on public.x'."""
    aspect, name, facts = row["aspect"], row["name"], row["facts"]
    relation = f"{row['schema_name']}.{row['relation_name']}"
    if aspect == "relation":
        return f"{facts['kind']} {relation}"
    if aspect == "grants":
        return f"grants on {_granted(row, relation)} to {facts['grantee']}"
    forms = {
        "column": f"column {relation}.{name}",
        "index": f"index {row['schema_name']}.{name}",
        "function": f"function {relation}({name})",
        "policy": f'policy "{name}" on {relation}',
    }
    return forms.get(aspect, f"{aspect} {name} on {relation}")


def text_of(aspect: str, facts: Row) -> str:
    """An object's text; of facts that are missing, nothing is said."""
    if aspect == "relation":
        return _relation(facts)
    if aspect == "column":
        return _column(facts)
    if aspect == "grants":
        return ", ".join(sorted(facts["privileges"]))
    definition = str(facts["definition"])
    if aspect == "index":
        return definition if facts["valid"] else f"{definition} (invalid)"
    return definition + _STATES[facts.get("enabled", "O")]


def _granted(row: Row, relation: str) -> str:
    return {
        "schema": f"schema {row['schema_name']}",
        "column": f"column {relation}.{row['name']}",
        "function": f"function {relation}({row['name']})",
        "type": f"type {relation}",
    }.get(row["facts"]["kind"], relation)


def _relation(facts: Row) -> str:
    lines = []
    if facts["kind"] in ("table", "partitioned table"):
        forced = ", forced" if facts.get("forced") else ""
        lines.append(f"row level security {'on' if facts['guarded'] else 'off'}{forced}")
    if facts.get("options"):
        lines.append(f"with ({facts['options']})")
    if facts.get("unlogged"):
        lines.append("unlogged")
    if facts.get("definition"):
        lines.append(facts["definition"])
    return "\n".join(lines) or str(facts["kind"])


def _column(facts: Row) -> str:
    parts = [facts["type"]]
    if facts.get("not_null"):
        parts.append("not null")
    if facts.get("default") is not None:
        word = "generated as" if facts.get("generated") else "default"
        parts.append(f"{word} {facts['default']}")
    if facts.get("identity"):
        parts.append("identity always" if facts["identity"] == "a" else "identity by default")
    return ", ".join(parts)
