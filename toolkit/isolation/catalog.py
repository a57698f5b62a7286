"""What there is in a database, as far as the proof must know it before it acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import psycopg
from psycopg.rows import TupleRow

from toolkit.isolation.access import Access, Rule
from toolkit.isolation.report import Finding, Kind, Section
from toolkit.resources import statement

_RELATIONS = ("table", "view", "materialized view")


@dataclass(frozen=True)
class Catalog:
    """The objects of the proven schemas.

    Attributes:
        objects: (kind, name) → the extension that it belongs to, or None.
        columns: relation → its columns in order, without generated ones.
        triggers: functions that return a trigger.
    """

    objects: Mapping[tuple[str, str], str | None]
    columns: Mapping[str, tuple[str, ...]]
    triggers: frozenset[str]


def read_catalog(connection: psycopg.Connection[TupleRow], access: Access) -> Catalog:
    """Look at every object of the proven schemas, with an empty search_path."""
    proven = {"proven": list(access.proven), "exposed": list(access.exposed)}
    objects = {
        (kind, name): extension
        for kind, name, extension in connection.execute(statement("select_api_objects"), proven)
    }
    columns: dict[str, tuple[str, ...]] = {}
    for name, column, generated in connection.execute(statement("select_relation_columns"), proven):
        columns[name] = (*columns.get(name, ()), *(() if generated else (column,)))
    triggers = connection.execute(
        "select p.oid::pg_catalog.regprocedure::text from pg_catalog.pg_proc as p "
        "where p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype"
    ).fetchall()
    return Catalog(objects, columns, frozenset(name for (name,) in triggers))


def as_it_stands(connection: psycopg.Connection[TupleRow], access: Access) -> Access:
    """The declaration for this database: cut over, or not."""
    archived = connection.execute(
        "select to_regclass('ledger.electricity_readings_archive') is not null"
    ).fetchone()
    return access.after_cutover() if archived == (True,) else access


def uncovered(access: Access, catalog: Catalog) -> tuple[Finding, ...]:
    """Objects that the declaration does not name, and rules whose object is gone."""
    findings = []
    declared = {(rule.kind, rule.name) for rule in access.rules.values()}
    for (kind, name), extension in catalog.objects.items():
        if (kind, name) not in declared:
            findings.append(_unnamed(kind, name, extension))
    for rule in access.rules.values():
        if (rule.kind, rule.name) in catalog.objects:
            findings += _columns(rule, catalog)
        elif not rule.optional:
            findings.append(_gone(rule, catalog))
    return tuple(findings)


def present(access: Access, catalog: Catalog) -> Access:
    """The declaration without the rules whose object is not there, or is of another kind."""
    there = {n: r for n, r in access.rules.items() if (r.kind, n) in catalog.objects}
    return replace(access, rules=there)


def _unnamed(kind: str, name: str, extension: str | None) -> Finding:
    origin = f", of extension {extension}" if extension else ""
    return Finding(
        section=Section.COVERAGE,
        kind=Kind.UNNAMED,
        subject=name,
        text=f"the {kind} {name}{origin} is not declared, so nobody has said who may reach it",
        next_step="declare it in a file of your own and name that with --access, or drop it"
        + ("; an extension belongs into the schema extensions" if extension else ""),
    )


def _gone(rule: Rule, catalog: Catalog) -> Finding:
    other = next((kind for kind, name in catalog.objects if name == rule.name), None)
    return Finding(
        section=Section.COVERAGE,
        kind=Kind.GONE,
        subject=rule.name,
        text=f"the {rule.kind} {rule.name} is declared and "
        + (f"is a {other}" if other else "is not there"),
        next_step="push the phases again; where the object went on purpose, take out its rule",
    )


def _columns(rule: Rule, catalog: Catalog) -> list[Finding]:
    """Columns that a rule relies on and that are not there."""
    if rule.kind not in _RELATIONS:
        return []
    wanted = {*rule.row, *rule.insert_except, *(rule.update_columns or ())}
    wanted |= {rule.owner} if rule.owner else set()
    return [
        Finding(
            section=Section.COVERAGE,
            kind=Kind.GONE,
            subject=rule.name,
            text=f"column {column} of {rule.name} is declared and is not there",
            next_step="push the phases again",
        )
        for column in sorted(wanted - set(catalog.columns.get(rule.name, ())))
    ]
