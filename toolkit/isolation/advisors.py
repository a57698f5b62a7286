"""Supabase's own advisors, run by the real CLI: each of their results mended or waived."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import MeterledgerError
from toolkit.isolation.access import Access, Waiver
from toolkit.isolation.advice import Advice, ask, version_of
from toolkit.isolation.report import Finding, Kind, Part, Section
from toolkit.resources import statement
from toolkit.rollout.push import find_cli


@dataclass(frozen=True)
class Described:
    """An object of the live catalog.

    Attributes:
        object: as a waiver names it: its kind and its qualified identity.
        definition: its exact definition.
    """

    object: str
    definition: str


class Catalog:
    """The definitions of the objects that advisors may name, read once."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._known: dict[tuple[str, str, str], list[tuple[str, Described]]] = defaultdict(list)
        # Rolled back, so that the caller's settings stay as they are.
        with connection.transaction(force_rollback=True):
            connection.execute(
                "select set_config('search_path', '', true), set_config('timezone', 'UTC', true),"
                " set_config('datestyle', 'ISO', true),"
                " set_config('quote_all_identifiers', 'off', true)"
            )
            rows = connection.execute(statement("select_advised_objects")).fetchall()
        for part, schema, name, detail, identity, definition in rows:
            described = Described(identity, (definition or "").strip())
            self._known[part, schema, name].append((detail, described))
        self.objects = frozenset(row[4] for row in rows)

    def behind(self, advice: Advice) -> list[Described]:
        """What a result is about: mostly one object; none where nobody can tell."""
        named = self._known.get((advice.part, advice.schema, advice.name), [])
        if advice.part in ("relation", "extension"):
            return [described for _, described in named]
        meant = [described for detail, described in named if detail == advice.detail]
        # Without a digest that fits, every overload of a function has to account for itself.
        return meant or [described for _, described in named if advice.part == "function"]


def prove_advisors(
    database_url: str, connection: psycopg.Connection[TupleRow], access: Access
) -> Part:
    """Run `supabase db advisors` at its lowest level, and account for each result.

    A result stands when a waiver of its lint holds the exact definition that the object has
    now; every other is a finding. A waiver that is not needed here is a fact, no finding:
    databases start from different shapes, and whether an index is used depends on their use.

    Args:
        database_url: a direct or session connection for the CLI, as the owner.
        connection: to the same database; the CLI does not see what it has not committed.
        access: the declaration, with its waivers.

    Returns:
        The part; `skipped` says so where there is no CLI that can be run.

    Raises:
        UsageError: the URL cannot be parsed.
        OperationalError: the CLI ran and gave no results.
    """
    started = time.monotonic()
    try:
        cli = find_cli()
        version = version_of(cli)
    except MeterledgerError as error:
        words = f"Supabase's advisors were not asked: {error.message}; {error.next_step}"
        return Part(Section.ADVISORS, skipped=words, seconds=time.monotonic() - started)
    results = ask(cli, version, database_url, access.exposed)
    findings, facts = account(results, Catalog(connection), access.waivers)
    asked = f"Supabase CLI {version}: {len(results)} results of its advisors, of every level"
    return Part(
        Section.ADVISORS,
        findings=findings,
        seconds=time.monotonic() - started,
        facts=(asked, *facts),
    )


def account(
    results: Iterable[Advice], catalog: Catalog, waivers: Iterable[Waiver]
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Findings for the results that no waiver covers, and facts about the waivers."""
    by_object: dict[tuple[str, str], list[Waiver]] = defaultdict(list)
    for waiver in waivers:
        by_object[waiver.lint, waiver.object].append(waiver)
    findings: list[Finding] = []
    waived: list[str] = []
    reported: set[tuple[str, str]] = set()
    for advice in results:
        described = catalog.behind(advice)
        if not described:
            findings.append(_finding(advice, None, changed=False))
        for found in described:
            key = (advice.lint, found.object)
            reported.add(key)
            covering = _covering(by_object.get(key, []), found)
            if covering is None:
                findings.append(_finding(advice, found, changed=key in by_object))
            else:
                waived.append(f"waived: {advice.lint} on {found.object}: {covering.reason}")
    unneeded = [
        f"a waiver not needed here: {lint} on {name}"
        for lint, name in by_object
        if (lint, name) not in reported and name in catalog.objects
    ]
    # Overloads with the same body come once for each result about one of them.
    findings, waived = list(dict.fromkeys(findings)), list(dict.fromkeys(waived))
    counts = f"{len(waived)} waived, {len(findings)} neither mended nor waived"
    return tuple(findings), (counts, *waived, *unneeded)


def waiver_entry(lint: str, described: Described) -> str:
    """A waiver of an object as it is now, for an access file; its reason is left to a person."""
    return "\n".join(
        (
            "[[waivers]]",
            f"lint = {_toml(lint)}",
            f"object = {_toml(described.object)}",
            'reason = ""',
            f"definition = {_toml(described.definition)}",
        )
    )


def _covering(waivers: Iterable[Waiver], found: Described) -> Waiver | None:
    """The waiver that holds this very definition. What cannot be read, nothing covers."""
    if not found.definition:
        return None
    return next((w for w in waivers if w.definition.strip() == found.definition), None)


def _finding(advice: Advice, found: Described | None, *, changed: bool) -> Finding:
    subject = f"{advice.schema}.{advice.name}".strip(".") or advice.lint
    text = f"{advice.lint} ({advice.level}): {advice.text}"
    if found is None:
        step = f"mend it ({advice.remedy}); meterledger cannot tell the object, so it has no waiver"
        return Finding(Section.ADVISORS, Kind.WEAK, subject, text, next_step=step)
    if advice.part not in ("relation", "extension"):
        subject = found.object.removeprefix("function ")  # with its arguments
    if changed:
        text += "; it was waived, and the definition has changed since"
    again = "renew the waiver" if changed else "waive it"
    step = f"mend it ({advice.remedy}), or {again} with a reason, in an access file:"
    entry = waiver_entry(advice.lint, found)
    return Finding(Section.ADVISORS, Kind.WEAK, subject, text, next_step=f"{step}\n{entry}")


def _toml(text: str) -> str:
    """A string of TOML, in its most readable form."""
    if "\n" in text and "'''" not in text:
        return f"'''\n{text}'''"
    if '"' in text and "'" not in text:
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False)
