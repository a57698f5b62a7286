"""What the phases promise of tables that the app had before; all else of them is the app's own."""

from __future__ import annotations

from typing import Any

from toolkit.operations.drift.scope import Scope

# Their policies and their API roles' grants are replaced, and they get the rollout's owner.
REPLACED = frozenset({"public.token_events", "public.recalculation_batches"})
API_ROLES = frozenset({"public", "anon", "authenticated", "service_role"})
# Rights that pass row level security by: taken from the API roles on every found table.
PASSING_BY = ("TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")
_PROFILES = "public.user_profiles"
# Columns that the phases bring to a state, and which part of it; the others keep what they had.
_PROMISED: dict[str, dict[str, tuple[str, ...]]] = {
    "public.token_events": {
        "id": ("default",),
        "is_voided": ("default", "not_null"),
        "created_at": ("default", "not_null"),
        "kwh_amount": ("type",),
        "token_cost": ("type",),
        "observed_kwh": ("type", "not_null", "default"),
        "reading_id": ("type", "not_null", "default"),
        "idempotency_key": ("type", "not_null", "default"),
        "legacy_token_amount": ("type", "not_null", "default"),
    },
    "public.recalculation_batches": {"can_rollback_until": ("default",)},
}
# Of user_profiles the phases ask for no more than its key.
_KNOWN = {_PROFILES: frozenset({"id"})}


def guard_of_found(_: Scope, __: str, ___: None, facts: dict[str, Any]) -> dict[str, Any]:
    """Of the table itself: that row level security is on."""
    return {"kind": facts["kind"], "guarded": facts["guarded"]}


def column_of_found(scope: Scope, table: str, name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """The promised facts of a column; empty where it is the app's own."""
    if name not in _KNOWN.get(table, scope.columns.get(table, frozenset())):
        return {}
    promised = _PROMISED.get(table, {}).get(name, ())
    base = facts["base"].replace("character varying", "text")
    return {"base": base, "type": base} | {part: facts[part] for part in promised}


def cascade_of_found(table: str, facts: dict[str, Any]) -> bool:
    """Whether a constraint is the one that lets a user's events go with the profile.

    Under whatever name, for the app may have had it before.
    """
    return table == "public.token_events" and facts["cascades_from"] == _PROFILES


def grants_of_found(
    scope: Scope, table: str, column: str | None, facts: dict[str, Any]
) -> dict[str, Any]:
    """The promised part of what a role may do; empty where it is the app's own affair."""
    if facts["grantee"] not in API_ROLES:
        return {}
    if table not in REPLACED:
        kept = [p for p in facts["privileges"] if p.split(" ")[0] in PASSING_BY]
        return facts | {"privileges": kept} if kept else {}
    if column is not None and column not in scope.columns[table]:
        return {}
    return facts
