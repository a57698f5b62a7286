"""Items about the app's tables, and who depends on them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache

from psycopg.types.json import Jsonb

from toolkit.operations.preflight.context import Context, from_sql, rows, skipped
from toolkit.operations.preflight.report import CheckItem, Finding, Verdict, judged
from toolkit.rollout.phases import phases

# What a phase demands of a found table stands in the phase, and is read from there.
_DEMAND = re.compile(
    r"ledger\.require_columns\(\s*'(?P<table>public\.\w+)',\s*'(?P<columns>\{[^']*\})'\s*\)"
)

permissions = from_sql(
    "permissions", "rights of the role", quiet="it owns the tables, sees every row and may create"
)


@cache
def expected_columns() -> Mapping[str, Mapping[str, str]]:
    """Table → column → the types that it may have (a|b), as the phases demand them."""
    return {
        found["table"]: json.loads(found["columns"])
        for phase in phases()
        for found in _DEMAND.finditer(phase.migration.read_text("utf-8"))
    }


def dependencies(context: Context) -> CheckItem:
    """Supabase's auth schema, and the shape of the tables that are there."""
    expected = dict(expected_columns())
    if not context.scene.has_legacy:
        expected.pop("public.electricity_readings", None)  # a view of the rollout's own
    found = rows(context.connection, "preflight_dependencies", {"shapes": Jsonb(expected)})
    there = [
        name
        for name, is_there in (
            ("user_profiles", context.scene.has_profiles),
            ("electricity_readings", context.scene.legacy_kind is not None),
            ("token_events", context.scene.has_events),
        )
        if is_there
    ]
    return judged(
        "dependencies",
        "what the phases stand on",
        found,
        quiet=f"auth.users, auth.uid(); {', '.join(there) or 'no table of the app yet'}, "
        "in a known shape",
        figures={"tables": there},
    )


def legacy_dependents(context: Context) -> CheckItem:
    """Who knows electricity_readings by name and will meet a view after the cutover."""
    name, title = "legacy_dependents", "what depends on electricity_readings"
    if not context.scene.has_legacy:
        return skipped(name, title, _no_legacy(context))
    found = rows(context.connection, "preflight_legacy_dependents")
    item = judged(name, title, found, quiet="nothing but the app's clients")
    if found and "dependents" in context.options.acknowledged:
        return CheckItem(
            name, title, Verdict.PASS, f"acknowledged: {item.detail}", "", item.figures
        )
    return item


def event_dependents(context: Context) -> CheckItem:
    """What keeps the phases from changing token_events' key and limits."""
    name, title = "event_dependents", "what depends on token_events' old key"
    if not context.scene.has_events:
        return skipped(name, title, "there is no token_events yet")
    return judged(
        name, title, rows(context.connection, "preflight_event_dependents"), quiet="nothing"
    )


def client_upserts(context: Context) -> CheckItem:
    """No statement can tell what clients in the field send: a person vouches for it."""
    name, title = "client_upserts", "clients' upserts"
    if not context.scene.has_legacy and not context.scene.has_events:
        return skipped(name, title, "the app has no tables yet")
    if context.scene.legacy_kind == "v":
        return skipped(name, title, _no_legacy(context))
    if "upsert" in context.options.acknowledged:
        return CheckItem(name, title, Verdict.PASS, "acknowledged: no client upserts")
    finding = Finding(
        Verdict.WARN,
        "upsert",
        "upserts on id (on conflict (id), PUT) stop working: on token_events with its new key, "
        "on electricity_readings at the cutover",
        "see that no client sends one, or send plain inserts and PATCH; then: --acknowledge upsert",
    )
    return judged(name, title, [finding], quiet="")


def _no_legacy(context: Context) -> str:
    if context.scene.legacy_kind is None:
        return "there is no electricity_readings yet"
    return "electricity_readings is a view: the cutover is behind"
